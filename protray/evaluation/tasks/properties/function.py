r"""How good predicted functions of proteins (EC numbers, GO terms) are: Fmax as CAFA defines it, and two AUPR.

For a threshold t, a protein's predictions are the labels with a score of at least t; a score of 0 is no prediction.

.. math:: pr(t) = \frac{1}{m(t)} \sum_{b: n_b(t) > 0} \frac{tp_b(t)}{n_b(t)}, \quad
    rc(t) = \frac{1}{B} \sum_b \frac{tp_b(t)}{y_b}, \quad F_{max} = \max_t \frac{2\,pr(t)\,rc(t)}{pr(t) + rc(t)}

with n predictions of a protein, tp true ones among them, y true labels, and m(t) proteins with any prediction.
Proteins without a label have no recall and are dropped.  Source: Radivojac et al., Nature Methods 10:221 (2013).

Shape key:  B proteins   T labels   N = B T pairs in the order of their scores   K thresholds   C clusters   D draws
            P proteins with a label
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protray.evaluation.bootstrap import cluster_draws, interval_of
from protray.evaluation.tasks.sites.scores import average_precision

GRID = 300  # thresholds that a bootstrap looks at: more would not move an interval's second digit
MACRO_DRAWS = 200  # 15 s of a core for 2,000 GO terms of 3,400 proteins


@dataclass(frozen=True)
class Curve:
    """Protein-centric precision and recall at falling thresholds."""

    threshold_K: np.ndarray
    precision_K: np.ndarray
    recall_K: np.ndarray

    @property
    def f_K(self) -> np.ndarray:  # noqa: N802
        return _harmonic(self.precision_K, self.recall_K)

    def best(self) -> tuple[float, float]:
        """Fmax, and the threshold of it; (0, inf) if nothing is predicted."""
        if not len(self.threshold_K):
            return 0.0, float("inf")
        best = int(np.argmax(self.f_K))
        return float(self.f_K[best]), float(self.threshold_K[best])


def curve(score_BT: np.ndarray, true_BT: np.ndarray) -> Curve:
    """Precision and recall at each distinct score above 0: pairs of equal scores come in together.

    Raises ValueError for shapes that differ, scores that are not finite, or a protein without a label.
    """
    score_N, precision_N, recall_N = _running(score_BT, true_BT)
    ends_N = np.append(score_N[1:] != score_N[:-1], True) & (score_N > 0)
    return Curve(score_N[ends_N], precision_N[ends_N], recall_N[ends_N])


def fmax(score_BT: np.ndarray, true_BT: np.ndarray) -> float:
    """Fmax of CAFA, on all distinct thresholds."""
    return curve(score_BT, true_BT).best()[0]


def fmax_pairs(score_BT: np.ndarray, true_BT: np.ndarray) -> float:
    """The Fmax of torchdrug: pairs come in one by one, also those of equal score, and those of score 0.

    It equals `fmax` where all scores differ.  Where some are equal, their order (here that of proteins, then labels)
    says more than a threshold could, so that it is a little higher.
    """
    _, precision_N, recall_N = _running(score_BT, true_BT)
    return float(_harmonic(precision_N, recall_N).max())


@dataclass(frozen=True)
class Scored:
    """One method's numbers on some proteins, and the same numbers of bootstrap draws."""

    row: dict[str, Any]
    fmax_D: np.ndarray


def score_function(
    score_BT: np.ndarray, true_BT: np.ndarray, clusters_B: Sequence[str], threshold: float, *, seed: int = 0
) -> Scored:
    """All numbers of one method but `macro_row`; the AUPR is that of all pairs of protein and label (micro).

    Parameters
    ----------
    threshold : float
        The best one of the validation split.

    Returns
    -------
    scored : Scored
        Its row has ``fmax``, ``f_validation`` (F at `threshold`) and ``aupr`` with 95 % intervals (``NAME_ci95``) over
        clusters of proteins; ``fmax_pairs``; and ``proteins``, ``clusters``, ``labels`` (that any protein has).

    Notes
    -----
    Draws look at a grid of thresholds, dense where scores are high, and are shifted by what the grid misses of the
    number itself.  Two calls with the same clusters and seed draw the same clusters, so that their draws can be paired.
    """
    kept_B = true_BT.any(axis=1)
    score_BT, true_BT = score_BT[kept_B], true_BT[kept_B]
    names = [clusters_B[b] for b in np.flatnonzero(kept_B).tolist()]
    found = curve(score_BT, true_BT)
    grid_K = np.append(_grid(score_BT), threshold)
    counts_6BK = _counts(score_BT, true_BT, grid_K)
    drawn = _on_grid(counts_6BK, _times(names, 1000, seed))
    whole = _on_grid(counts_6BK, np.ones((1, len(true_BT))))
    fmax_D = drawn.fmax_D + found.best()[0] - whole.fmax_D
    aupr = average_precision(score_BT.ravel(), true_BT.ravel())
    at = found.threshold_K >= threshold
    row: dict[str, Any] = {
        "proteins": len(true_BT), "clusters": len(set(names)), "labels": int(true_BT.any(axis=0).sum()),
        "fmax": found.best()[0], "fmax_ci95": interval_of(fmax_D),
        "f_validation": float(found.f_K[at][-1]) if at.any() else 0.0, "f_validation_ci95": interval_of(drawn.f_D),
        "fmax_pairs": fmax_pairs(score_BT, true_BT),
        "aupr": aupr, "aupr_ci95": interval_of(drawn.aupr_D + aupr - whole.aupr_D),
    }  # fmt: skip
    return Scored(row, fmax_D)


def macro_row(score_BT: np.ndarray, true_BT: np.ndarray, clusters_B: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """``aupr_macro``, the AUPR of each label over proteins, averaged over labels; and its 95 % interval over clusters.

    Draws are moved so that their mean is the number itself: a rare label's protein that is drawn twice is found twice
    at once, which makes draws higher than the number.
    """
    found = float(macro_aupr(score_BT, true_BT, np.ones((1, len(true_BT))))[0])
    drawn_D = macro_aupr(score_BT, true_BT, _times(clusters_B, MACRO_DRAWS, seed))
    moved_D = drawn_D + found - drawn_D.mean() if len(drawn_D) else drawn_D
    return {"aupr_macro": found, "aupr_macro_ci95": interval_of(moved_D)}


def macro_aupr(score_BT: np.ndarray, true_BT: np.ndarray, times_DB: np.ndarray) -> np.ndarray:
    """Mean over labels of the average precision over proteins, of which each is there so many times; shape (D,).

    Labels that no protein of a draw has are not in that draw's mean.

    >>> macro_aupr(np.array([[0.9, 0.1], [0.5, 0.7]]), np.array([[False, True], [True, False]]), np.ones((1, 2)))
    array([0.5])
    """
    total_D, labels_D = np.zeros((2, len(times_DB)))
    for score_B, true_B in zip(score_BT.T, true_BT.T, strict=True):
        above_BP = (score_B[:, None] >= score_B[true_B]).astype(float)  # what is predicted when each true one comes in
        times_DP = times_DB[:, true_B]
        precision_DP = times_DP @ above_BP[true_B] / np.maximum(times_DB @ above_BP, 1)
        there_D = times_DP.sum(axis=1)
        total_D += (times_DP * precision_DP).sum(axis=1) / np.maximum(there_D, 1)
        labels_D += there_D > 0
    return total_D / labels_D


@dataclass(frozen=True)
class _Draws:
    fmax_D: np.ndarray
    f_D: np.ndarray  # at the last threshold
    aupr_D: np.ndarray


def _running(score_BT: np.ndarray, true_BT: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of all pairs from the highest, and pr and rc once each pair has come in."""
    if score_BT.shape != true_BT.shape or not np.isfinite(score_BT).all():
        raise ValueError(f"scores of shape {score_BT.shape}, finite: {np.isfinite(score_BT).all()}; labels of shape "
                         f"{true_BT.shape}")  # fmt: skip
    if not true_BT.any(axis=1).all():
        raise ValueError(f"{(~true_BT.any(axis=1)).sum()} of {len(true_BT)} proteins have no label; leave them out")
    proteins, labels = score_BT.shape
    order_N = np.argsort(-score_BT.ravel(), kind="stable")
    by_protein_N = np.argsort(order_N // labels, kind="stable")  # each protein's pairs, from its highest
    hits_BT = true_BT.ravel()[order_N][by_protein_N].reshape(proteins, labels).cumsum(axis=1)

    def total(value_BT: np.ndarray) -> np.ndarray:
        """Sum over proteins of a number that changes with each of their pairs."""
        change_N = np.empty(proteins * labels)
        change_N[by_protein_N] = np.diff(value_BT, axis=1, prepend=0).ravel()
        return change_N.cumsum()

    any_N = total(np.ones((proteins, labels)))
    precision_N = total(hits_BT / np.arange(1, labels + 1)) / any_N
    recall_N = total(hits_BT / true_BT.sum(axis=1, keepdims=True)) / proteins
    return score_BT.ravel()[order_N], precision_N, recall_N


def _grid(score_BT: np.ndarray) -> np.ndarray:
    """Scores above 0, from the highest, at ranks whose steps grow."""
    score_N = np.sort(score_BT[score_BT > 0])[::-1]
    if not len(score_N):
        return np.zeros(0)
    ranks = np.unique(np.geomspace(1, len(score_N), GRID).astype(int))
    return np.unique(score_N[ranks - 1])[::-1]


def _counts(score_BT: np.ndarray, true_BT: np.ndarray, threshold_K: np.ndarray) -> np.ndarray:
    """Of each protein and threshold: precision, whether it is predicted, recall, tp, n, and y; shape (6, B, K)."""
    counts = np.empty((6, len(score_BT), len(threshold_K)))
    for b, (score_T, true_T) in enumerate(zip(score_BT, true_BT, strict=True)):
        order_T = np.argsort(-score_T)
        n_K = np.searchsorted(-score_T[order_T], -threshold_K, side="right")
        tp_K = np.append(0, true_T[order_T].cumsum())[n_K]
        y = true_T.sum()
        counts[:, b] = tp_K / np.maximum(n_K, 1), n_K > 0, tp_K / y, tp_K, n_K, np.full(len(n_K), y)
    return counts


def _times(clusters_B: Sequence[str], draws: int, seed: int) -> np.ndarray:
    """How often each protein is there in each draw of clusters, shape (D, B)."""
    _, place_B = np.unique(np.asarray(clusters_B), return_inverse=True)
    return cluster_draws(int(place_B.max()) + 1, draws, seed)[:, place_B]


def _on_grid(counts_6BK: np.ndarray, times_DB: np.ndarray) -> _Draws:
    """The numbers of proteins that are there so many times, as far as a grid of thresholds tells."""
    precision, some, recall, tp, n, y = (times_DB @ counts_BK for counts_BK in counts_6BK)
    pr_DK, rc_DK = precision / np.maximum(some, 1), recall / times_DB.sum(axis=1, keepdims=True)
    f_DK = _harmonic(pr_DK, rc_DK)
    micro_DK, recall_DK = (tp / np.maximum(n, 1))[:, :-1], (tp / np.maximum(y, 1))[:, :-1]
    aupr_D = (np.diff(recall_DK, axis=1, prepend=0) * micro_DK).sum(axis=1)
    return _Draws(f_DK.max(axis=1), f_DK[:, -1], aupr_D)


def _harmonic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    total = a + b
    return np.divide(2 * a * b, total, out=np.zeros_like(total), where=total > 0)
