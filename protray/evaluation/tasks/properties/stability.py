"""How good predicted stabilities are: correlations of numbers, and the ranking of mutants that are more stable or not.

Intervals draw whole clusters of related proteins.

Shape key:  N measurements   D draws
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from protray.evaluation.tasks.properties.function import interval_of
from protray.evaluation.tasks.properties.read_outs import input_of, read_out_of
from protray.evaluation.tasks.quality.scores import global_row
from protray.evaluation.tasks.quality.tables import cell
from protray.evaluation.tasks.sites.scores import areas, draws_of

Row = dict[str, Any]

NUMBERS = {"spearman": "Spearman", "r": "Pearson", "rmse": "RMSE", "spearman_target": "within clusters"}
RANKINGS = {"auroc": "AUROC", "aupr": "AUPR"}


def value_rows(
    predictions: Mapping[str, np.ndarray], true_N: np.ndarray, clusters_N: Sequence[str], *,
    heads: Collection[str] = (), seed: int = 0,
) -> list[Row]:  # fmt: skip
    """Score methods that predict a number: the columns of `protray.evaluation.tasks.quality.scores.global_row`, whose
    targets are the clusters; ``spearman_target`` is the mean over clusters with three measurements at least; and
    ``read_out``.
    """
    rows = []
    for method, found_N in predictions.items():
        row = global_row(found_N.astype(float), true_N.astype(float), clusters_N, seed=seed)
        kept = {name: value for name, value in row.items() if name.removesuffix("_ci95") in NUMBERS}
        sizes = {"measurements": len(true_N), "clusters": row["targets"]}
        named = {"method": method, "read_out": read_out_of(method, heads)}
        rows.append(named | {"within": row["targets"] - row["skipped"]} | sizes | kept)
    return rows


def ranking_rows(
    predictions: Mapping[str, np.ndarray], true_N: np.ndarray, clusters_N: Sequence[str], *,
    heads: Collection[str] = (), seed: int = 0,
) -> list[Row]:  # fmt: skip
    """Score methods that rank: ``auroc`` and ``aupr`` with their 95 % intervals, and how many are ``positive``.

    Raises ValueError if all measurements are of one kind.
    """
    if true_N.all() or not true_N.any():
        raise ValueError(f"all {len(true_N)} test measurements are of one kind: there is nothing to rank")
    names, place_N = np.unique(np.asarray(clusters_N), return_inverse=True)
    times_DC = draws_of(len(names), seed)
    rows = []
    for method, found_N in predictions.items():
        once, drawn = areas(found_N, true_N, np.ones((1, len(true_N)))), areas(found_N, true_N, times_DC[:, place_N])
        row: Row = {
            "method": method,
            "read_out": read_out_of(method, heads),
            "measurements": len(true_N),
            "clusters": len(names),
            "positive": int(true_N.sum()),
        }
        for name, theirs in (("auroc", "auroc"), ("aupr", "auprc")):
            values_D = drawn[theirs][np.isfinite(drawn[theirs])] if len(names) > 1 else np.zeros(0)
            row |= {name: float(once[theirs][0]), f"{name}_ci95": interval_of(values_D)}
        rows.append(row)
    return rows


def stability_tables(rows: Sequence[Row]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and lines of the table of `value_rows` or `ranking_rows`."""
    first = rows[0]
    title = f"{first['measurements']:,} test measurements in {first['clusters']} clusters"
    if "auroc" in first:
        columns, title = RANKINGS, f"{title}, {first['positive']} more stable"
    else:
        within = max(row["within"] for row in rows)
        columns = NUMBERS | {"spearman_target": f"Spearman within clusters (n = {within})"}
    body = [
        [input_of(row["method"], row["read_out"]), row["read_out"], *(cell(row, name) for name in columns)]
        for row in rows
    ]
    return [(title, ["", "read-out", *columns.values()], body)]
