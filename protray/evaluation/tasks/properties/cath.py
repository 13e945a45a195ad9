"""How good predicted folds (CATH) are: one class of many for each chain; and whether the nearest chain has the same.

Balanced accuracy is the mean over classes, that any evaluated chain has, of the share of their chains that are right.
Intervals draw whole clusters of related chains; gains are paired, on the same draws.  Rows are plain dicts.

Shape key:  B test chains   N chains of all splits   T classes   C clusters   D draws   F numbers of a vector
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from protray.evaluation.bootstrap import cluster_draws, interval_of
from protray.evaluation.cells import cell, gain_cell
from protray.evaluation.tasks.properties.read_outs import (
    AT_ONCE,
    input_of,
    read_out_of,
    same_read_out,
    standardised,
    unit,
)

Row = dict[str, Any]
Table = tuple[str, list[str], list[list[str]]]


def cath_rows(
    predictions: Mapping[str, np.ndarray], label_B: np.ndarray, clusters_B: Sequence[str], heads: Collection[str] = (),
    reference: str | None = None, *, seed: int = 0,
) -> list[Row]:  # fmt: skip
    """Score every method, whose `predictions` have shape (B, T), by its highest score.

    Returns
    -------
    rows : list of dict
        ``method``, ``read_out``, ``chains``, ``clusters``, ``classes``; ``accuracy`` and ``balanced`` with 95 %
        intervals (``NAME_ci95``); and ``gain``, ``gain_ci95``: what it gains in accuracy over the embedding `reference`
        with the same read-out.
    """
    times_DB, count = _times(clusters_B, seed)
    classes, place_B = np.unique(label_B, return_inverse=True)
    of_class_BT = place_B[:, None] == np.arange(len(classes))
    right = {method: (score_BT.argmax(axis=1) == label_B).astype(float) for method, score_BT in predictions.items()}
    rows = []
    for method, right_B in right.items():
        read_out = read_out_of(method, heads)
        row: Row = {
            "method": method, "read_out": read_out, "chains": len(label_B), "clusters": count, "classes": len(classes),
            **_mean("accuracy", right_B, times_DB),
            "balanced": float((right_B @ of_class_BT / of_class_BT.sum(axis=0)).mean()),
            "balanced_ci95": interval_of(_balanced(right_B, of_class_BT, times_DB)),
        }  # fmt: skip
        other = same_read_out(reference, read_out) if reference else None
        if other in right and other != method:
            row |= _mean("gain", right_B - right[other], times_DB)
        rows.append(row)
    return rows


def same_class(x_NF: np.ndarray, label_N: np.ndarray, clusters_N: Sequence[str]) -> np.ndarray:
    """Whether the nearest chain, by the cosine of standardised vectors, has the same class; float, shape (N,).

    Chains of the same cluster are no candidates.  NaN for a chain without a vector, or without a candidate.  No label
    is used, so that chains which an encoder was trained on may be candidates, too.
    """
    found_N = np.full(len(x_NF), np.nan)
    known = np.flatnonzero(np.isfinite(x_NF).all(axis=1))
    if not len(known):
        return found_N
    unit_NF = unit(standardised(x_NF[known])[0])
    cluster_N = np.unique(np.asarray(clusters_N)[known], return_inverse=True)[1]
    for start in range(0, len(known), AT_ONCE):
        mine = slice(start, start + AT_ONCE)
        cosine_QN = unit_NF[mine] @ unit_NF.T
        cosine_QN[cluster_N[mine, None] == cluster_N] = -np.inf
        best_Q = cosine_QN.argmax(axis=1)
        some_Q = np.isfinite(cosine_QN.max(axis=1))
        same_Q = label_N[known[mine]] == label_N[known[best_Q]]
        found_N[known[mine]] = np.where(some_Q, same_Q, np.nan)
    return found_N


def retrieval_rows(
    same: Mapping[str, np.ndarray], clusters_N: Sequence[str], reference: str | None = None, *, seed: int = 0
) -> list[Row]:
    """Rows of `same_class` of each kind of vectors: ``method``, ``chains``, ``clusters``, ``agreement`` with its
    interval; and ``gain``, ``gain_ci95`` over `reference`, of the chains that have both vectors.
    """
    times_DN, count = _times(clusters_N, seed)
    rows = []
    for method, same_N in same.items():
        row: Row = {
            "method": method, "chains": int(np.isfinite(same_N).sum()), "clusters": count,
            **_mean("agreement", same_N, times_DN),
        }  # fmt: skip
        if reference and reference in same and reference != method:
            row |= _mean("gain", same_N - same[reference], times_DN)
        rows.append(row)
    return rows


def cath_tables(rows: Sequence[Row], retrieval: Sequence[Row], level: str, reference: str | None) -> list[Table]:
    """Title, header and lines: predicted classes of the test chains, then nearest neighbours among all chains."""
    first, most = rows[0], max(retrieval, key=lambda row: row["chains"])
    plural = {"class": "classes", "architecture": "architectures", "topology": "topologies"}[level]
    title = f"{first['chains']} test chains in {first['clusters']} clusters, {first['classes']} {plural}"
    gain = f"gain over {reference}" if reference else "gain"
    body = [
        [input_of(row["method"], row["read_out"]), row["read_out"], cell(row, "accuracy"), cell(row, "balanced"),
         gain_cell(row)]
        for row in rows
    ]  # fmt: skip
    header = ["", "read-out", "accuracy", "balanced accuracy", f"{gain}, same read-out"]
    found: list[Table] = [(title, header, body)]
    title = f"nearest of {most['chains']} chains in {most['clusters']} clusters"
    body = [[row["method"], str(row["chains"]), cell(row, "agreement"), gain_cell(row)] for row in retrieval]
    return [*found, (title, ["", "chains", f"same {level}", gain], body)]


def _times(clusters_N: Sequence[str], seed: int) -> tuple[np.ndarray, int]:
    """How often each chain is drawn, with its cluster, shape (D, N); and the number of clusters."""
    names, place_N = np.unique(np.asarray(clusters_N), return_inverse=True)
    return cluster_draws(len(names), seed=seed)[:, place_N], len(names)


def _mean(name: str, value_N: np.ndarray, times_DN: np.ndarray) -> Row:
    """The mean of the values that are known, and its interval."""
    known_N = np.isfinite(value_N)
    if not known_N.any():
        return {name: None, f"{name}_ci95": [None, None]}
    weight_D = times_DN @ known_N
    mean_D = (times_DN @ np.where(known_N, value_N, 0))[weight_D > 0] / weight_D[weight_D > 0]
    return {name: float(value_N[known_N].mean()), f"{name}_ci95": interval_of(mean_D)}


def _balanced(right_B: np.ndarray, of_class_BT: np.ndarray, times_DB: np.ndarray) -> np.ndarray:
    """Balanced accuracy of each draw, over the classes that it has."""
    all_DT, right_DT = times_DB @ of_class_BT, times_DB @ (of_class_BT * right_B[:, None])
    share_DT = np.divide(right_DT, all_DT, out=np.zeros_like(right_DT), where=all_DT > 0)
    return share_DT.sum(axis=1) / (all_DT > 0).sum(axis=1)
