"""How good predicted stabilities are: correlations of numbers, and the ranking of mutants that bind better or not.

Intervals draw whole clusters of related proteins.

Shape key:  N measurements   D draws
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from protray.evaluation.bootstrap import cluster_draws, correlation_draws, interval_of
from protray.evaluation.cells import cell, gain_cell
from protray.evaluation.tasks.properties.function_tables import with_gains
from protray.evaluation.tasks.properties.read_outs import input_of, read_out_of
from protray.evaluation.tasks.quality.scores import global_row, mean_of, ranks
from protray.evaluation.tasks.sites.scores import areas

Row = dict[str, Any]

NUMBERS = {"spearman": "Spearman", "r": "Pearson", "rmse": "RMSE", "spearman_target": "within clusters"}
RANKINGS = {"auroc": "AUROC", "aupr": "AUPR", "auroc_within": "AUROC within clusters"}


def value_rows(
    predictions: Mapping[str, np.ndarray], true_N: np.ndarray, clusters_N: Sequence[str], *,
    heads: Collection[str] = (), reference: str | None = None, first: str | None = None, seed: int = 0,
) -> list[Row]:  # fmt: skip
    """Score methods that predict a number: the columns of `protray.evaluation.tasks.quality.scores.global_row`, whose
    targets are the clusters; ``spearman_target`` is the mean over clusters with three measurements at least;
    ``read_out``; and gains in Spearman's correlation, as of `with_gains`.
    """
    rows: list[Row] = []
    drawn: dict[str, np.ndarray] = {}
    for method, found_N in predictions.items():
        row = global_row(found_N.astype(float), true_N.astype(float), clusters_N, seed=seed)
        kept = {name: value for name, value in row.items() if name.removesuffix("_ci95") in NUMBERS}
        sizes = {"measurements": len(true_N), "clusters": row["targets"]}
        named = {"method": method, "read_out": read_out_of(method, heads)}
        rows.append(named | {"within": row["targets"] - row["skipped"]} | sizes | kept)
        drawn[method] = correlation_draws(ranks(found_N), ranks(true_N), clusters_N, seed=seed)
    return with_gains(rows, drawn, "spearman", reference, first)


def ranking_rows(
    predictions: Mapping[str, np.ndarray], true_N: np.ndarray, clusters_N: Sequence[str], *,
    heads: Collection[str] = (), reference: str | None = None, first: str | None = None, seed: int = 0,
) -> list[Row]:  # fmt: skip
    """Score methods that rank: ``auroc``, ``aupr`` and ``auroc_within``, the mean of the AUROC over the ``within``
    clusters that have both kinds, with their 95 % intervals; how many are ``positive``; and gains in AUROC, as of
    `with_gains`.

    Raises ValueError if all measurements are of one kind.
    """
    if true_N.all() or not true_N.any():
        raise ValueError(f"all {len(true_N)} test measurements are of one kind: there is nothing to rank")
    names, place_N = np.unique(np.asarray(clusters_N), return_inverse=True)
    times_DC = cluster_draws(len(names), seed=seed)
    rows: list[Row] = []
    drawn: dict[str, np.ndarray] = {}
    for method, found_N in predictions.items():
        once, of_draws = (areas(found_N, true_N, times) for times in (np.ones((1, len(true_N))), times_DC[:, place_N]))
        row: Row = {
            "method": method,
            "read_out": read_out_of(method, heads),
            "measurements": len(true_N),
            "clusters": len(names),
            "positive": int(true_N.sum()),
        }
        for name, theirs in (("auroc", "auroc"), ("aupr", "auprc")):
            values_D = of_draws[theirs]
            row |= {name: float(once[theirs][0]), f"{name}_ci95": interval_of(values_D[np.isfinite(values_D)])}
        row |= _within(found_N, true_N, place_N, seed)
        drawn[method] = of_draws["auroc"]
        rows.append(row)
    return with_gains(rows, drawn, "auroc", reference, first)


def _within(found_N: np.ndarray, true_N: np.ndarray, place_N: np.ndarray, seed: int) -> Row:
    """The mean of the AUROC over clusters, without those of one kind."""
    groups = [place_N == place for place in np.unique(place_N)]
    groups = [group_N for group_N in groups if 0 < true_N[group_N].sum() < group_N.sum()]
    each = [areas(found_N[one_N], true_N[one_N], np.ones((1, one_N.sum())))["auroc"][0] for one_N in groups]
    return {"within": len(each)} | mean_of("auroc_within", each, seed)


def stability_tables(
    rows: Sequence[Row], reference: str | None = None, first: str | None = None
) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and lines of the table of `value_rows` or `ranking_rows`."""
    one = rows[0]
    title = f"{one['measurements']:,} test measurements in {one['clusters']} clusters"
    if "auroc" in one:
        columns = RANKINGS | {"auroc_within": f"AUROC within clusters (n = {one['within']})"}
        title = f"{title}, {one['positive']} bind better"
    else:
        within = max(row["within"] for row in rows)
        columns = NUMBERS | {"spearman_target": f"Spearman within clusters (n = {within})"}
    what = next(iter(columns.values()))
    titles = {"gain": f"gain in {what} over {reference}", "gain_first": f"gain over {first}, same read-out"}
    titles = {name: title for name, title in titles.items() if any(name in row for row in rows)}
    body = [
        [input_of(row["method"], row["read_out"]), row["read_out"], *(cell(row, name) for name in columns),
         *(gain_cell(row, name) for name in titles)]
        for row in rows
    ]  # fmt: skip
    return [(title, ["", "read-out", *columns.values(), *titles.values()], body)]
