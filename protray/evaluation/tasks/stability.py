"""How good predicted stabilities are: correlations of numbers, and the ranking of mutants that are more stable or not.

Intervals draw whole clusters of related proteins.

Shape key:  N measurements   D draws
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from protray.evaluation.tasks.function import average_precision, interval_of
from protray.evaluation.tasks.quality import global_row, ranks
from protray.evaluation.tasks.quality_tables import cell

Row = dict[str, Any]

NUMBERS = {"spearman": "Spearman", "r": "Pearson", "rmse": "RMSE", "spearman_target": "Spearman within clusters"}
RANKINGS = {"auroc": "AUROC", "aupr": "AUPR"}
DRAWS = 1000


def value_rows(
    predictions: Mapping[str, np.ndarray], true_N: np.ndarray, clusters_N: Sequence[str], *, seed: int = 0
) -> list[Row]:
    """Score methods that predict a number: the columns of `protray.evaluation.tasks.quality.global_row`, whose targets
    are the clusters; ``spearman_target`` is the mean over clusters with three measurements at least.
    """
    rows = []
    for method, found_N in predictions.items():
        row = global_row(found_N.astype(float), true_N.astype(float), clusters_N, seed=seed)
        kept = {name: value for name, value in row.items() if name.removesuffix("_ci95") in NUMBERS}
        sizes = {"measurements": len(true_N), "clusters": row["targets"]}
        rows.append({"method": method, "within": row["targets"] - row["skipped"]} | sizes | kept)
    return rows


def auroc(score_N: np.ndarray, true_N: np.ndarray) -> float | None:
    """Probability that a positive has a higher score than a negative, ties half; None if all are of one kind.

    >>> auroc(np.array([0.1, 0.4, 0.4]), np.array([False, True, False]))
    0.75
    """
    positives = int(true_N.sum())
    negatives = len(true_N) - positives
    if not positives or not negatives:
        return None
    return float((ranks(score_N)[true_N].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def ranking_rows(
    predictions: Mapping[str, np.ndarray], true_N: np.ndarray, clusters_N: Sequence[str], *, seed: int = 0
) -> list[Row]:
    """Score methods that rank: ``auroc`` and ``aupr`` with their 95 % intervals, and how many are ``positive``.

    Raises ValueError if all measurements are of one kind.
    """
    if auroc(true_N.astype(float), true_N) is None:
        raise ValueError(f"all {len(true_N)} test measurements are of one kind: there is nothing to rank")
    names, place_N = np.unique(np.asarray(clusters_N), return_inverse=True)
    members = [np.flatnonzero(place_N == cluster) for cluster in range(len(names))]
    rng = np.random.default_rng(seed)
    draws = [np.concatenate([members[c] for c in rng.integers(len(names), size=len(names))]) for _ in range(DRAWS)]
    rows = []
    for method, found_N in predictions.items():
        drawn = [(auroc(found_N[rows_N], true_N[rows_N]), average_precision(found_N[rows_N], true_N[rows_N]))
                 for rows_N in draws if true_N[rows_N].any() and not true_N[rows_N].all()]  # fmt: skip
        both_D2 = np.array(drawn if len(names) > 1 else np.zeros((0, 2)), dtype=float).reshape(-1, 2)
        rows.append({
            "method": method, "measurements": len(true_N), "clusters": len(names), "positive": int(true_N.sum()),
            "auroc": auroc(found_N, true_N), "auroc_ci95": interval_of(both_D2[:, 0]),
            "aupr": average_precision(found_N, true_N), "aupr_ci95": interval_of(both_D2[:, 1]),
        })  # fmt: skip
    return rows


def stability_tables(rows: Sequence[Row]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and lines of the table of `value_rows` or `ranking_rows`."""
    first = rows[0]
    title = f"{first['measurements']:,} test measurements in {first['clusters']} clusters"
    if "auroc" in first:
        columns, title = RANKINGS, f"{title}, {first['positive']} more stable"
    else:
        columns = NUMBERS
    body = [[row["method"], *(cell(row, name) for name in columns)] for row in rows]
    return [(title, ["", *columns.values()], body)]
