r"""How good predicted interaction sites are: the columns of Table 2 (Guo et al., AAAI 2022), and two areas.

With the counts TP, FP, FN, TN over all labelled residues of a set:

.. math:: P = \frac{TP}{TP + FP}, \quad R = \frac{TP}{TP + FN}, \quad F = \frac{2 P R}{P + R}, \quad
          MCC = \frac{TP \cdot TN - FP \cdot FN}{\sqrt{(TP+FP)(TP+FN)(TN+FP)(TN+FN)}}

AUPRC is the average precision, :math:`\sum_n (R_n - R_{n-1}) P_n` over the distinct scores from the top; AUROC is the
chance that a site has a higher score than a residue that is none, ties counting half.  A residue is called a site from
a threshold on.  DeepPPISP takes the one with the highest F on the very set that it reports; here it comes from the
validation set, and columns that use the other say so.

Shape key:  N residues   B proteins   C clusters of them   D draws of a bootstrap
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RATES = ("acc", "precision", "recall", "f", "mcc")
AREAS = ("auprc", "auroc")
_CHUNK = 2_000_000  # weights of residues held at once


@dataclass(frozen=True)
class Scored:
    """Scores of the labelled residues of a set, by protein, and the truth."""

    score_N: np.ndarray  # float
    site_N: np.ndarray  # bool
    cluster_N: np.ndarray  # int, the cluster of its protein, from 0

    @classmethod
    def of(cls, scores: Sequence[np.ndarray], labels: Sequence[np.ndarray], clusters: Sequence[str]) -> "Scored":
        """From scores and labels (1, 0, negative: not known) of each protein, and the names of their clusters.

        Raises ValueError if no residue has a label, a score is not finite, or lengths differ.
        """
        for score_L, label_L in zip(scores, labels, strict=True):
            if len(score_L) != len(label_L):
                raise ValueError(f"{len(score_L)} scores for {len(label_L)} residues")
        known = [label_L >= 0 for label_L in labels]
        score_N = np.concatenate([score_L[mask_L] for score_L, mask_L in zip(scores, known, strict=True)])
        site_N = np.concatenate([label_L[mask_L] == 1 for label_L, mask_L in zip(labels, known, strict=True)])
        if not len(score_N) or not np.isfinite(score_N).all():
            raise ValueError(f"{len(score_N)} residues have labels, and {np.isfinite(score_N).sum()} finite scores")
        place_B = np.unique(np.asarray(clusters), return_inverse=True)[1]
        return cls(score_N.astype(np.float64), site_N, np.repeat(place_B, [int(mask_L.sum()) for mask_L in known]))

    @property
    def clusters(self) -> int:
        """C."""
        return int(self.cluster_N.max()) + 1


def rates(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> dict[str, np.ndarray]:
    """`RATES` of counts of any one shape; 0 where a rate has no denominator.

    >>> {name: round(float(value), 3) for name, value in rates(*np.array([30.0, 20, 10, 40])).items()}
    {'acc': 0.7, 'precision': 0.6, 'recall': 0.75, 'f': 0.667, 'mcc': 0.408}
    """
    # one root at a time: the product of four counts of a large set is beyond a float's digits
    root = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return {
        "acc": _divided(tp + tn, tp + fp + fn + tn),
        "precision": _divided(tp, tp + fp),
        "recall": _divided(tp, tp + fn),
        "f": _divided(2 * tp, 2 * tp + fp + fn),
        "mcc": _divided(tp * tn - fp * fn, root),
    }


def _divided(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1), 0.0)


def best_threshold(score_N: np.ndarray, site_N: np.ndarray) -> float:
    """The score from which on residues are called sites, so that F is the highest; of several the highest.

    >>> best_threshold(np.array([0.9, 0.8, 0.4, 0.1]), np.array([True, False, True, False]))
    0.4
    """
    order_N = np.argsort(-score_N, kind="stable")
    sorted_N, true_N = score_N[order_N], np.cumsum(site_N[order_N])
    ends = np.flatnonzero(np.append(sorted_N[1:] != sorted_N[:-1], True))
    f = 2 * true_N[ends] / (ends + 1 + site_N.sum())  # 2 TP / ((TP + FP) + (TP + FN))
    return float(sorted_N[ends[np.argmax(f)]])


def average_precision(score_N: np.ndarray, site_N: np.ndarray) -> float:
    """AUPRC; nan without a site.

    >>> average_precision(np.array([3.0, 2, 1]), np.array([True, False, True]))  # (1 + 2/3) / 2
    0.8333333333333333
    """
    return float(areas(score_N, site_N, np.ones((1, len(score_N))))["auprc"][0])


def areas(score_N: np.ndarray, site_N: np.ndarray, weight_DN: np.ndarray) -> dict[str, np.ndarray]:
    """`AREAS` for each row of weights, such as how often a residue's protein was drawn; shape (D,).

    nan where a draw has no site, or nothing else.
    """
    order_N = np.argsort(-score_N, kind="stable")
    sorted_N = score_N[order_N]
    ends = np.flatnonzero(np.append(sorted_N[1:] != sorted_N[:-1], True))
    weight_DN = weight_DN[:, order_N]
    true_DE = np.cumsum(weight_DN * site_N[order_N], axis=1)[:, ends]
    called_DE = np.cumsum(weight_DN, axis=1)[:, ends]
    false_DE = called_DE - true_DE
    sites_D, others_D = true_DE[:, -1], false_DE[:, -1]
    step_DE, wrong_DE = np.diff(true_DE, axis=1, prepend=0), np.diff(false_DE, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision_DE = np.where(called_DE > 0, true_DE / called_DE, 0)
        auprc_D = (step_DE * precision_DE).sum(axis=1) / sites_D
        auroc_D = (wrong_DE * (true_DE - step_DE / 2)).sum(axis=1) / (sites_D * others_D)
    return {"auprc": auprc_D, "auroc": auroc_D}


def measured(scored: Scored, threshold: float, times_DC: np.ndarray) -> dict[str, np.ndarray]:
    """`RATES` at a threshold, `AREAS`, and `RATES` with ``_test`` at the threshold that is best on these very residues.

    Parameters
    ----------
    times_DC : ndarray, shape=(D, C)
        How often each cluster is drawn; ones for the set as it is.

    Returns
    -------
    values : dict of name to ndarray, shape=(D,)
    """
    found = _at(scored, threshold, times_DC)
    own = _at(scored, best_threshold(scored.score_N, scored.site_N), times_DC)
    found |= {f"{name}_test": values_D for name, values_D in own.items()}
    chunk = max(1, _CHUNK // len(scored.score_N))
    parts = [
        areas(scored.score_N, scored.site_N, times_DC[start : start + chunk][:, scored.cluster_N])
        for start in range(0, max(1, len(times_DC)), chunk)
    ]
    return found | {name: np.concatenate([part[name] for part in parts]) for name in AREAS}


def _at(scored: Scored, threshold: float, times_DC: np.ndarray) -> dict[str, np.ndarray]:
    called_N = scored.score_N >= threshold
    kinds = (called_N & scored.site_N, called_N & ~scored.site_N, ~called_N & scored.site_N, ~called_N & ~scored.site_N)
    counts = [np.bincount(scored.cluster_N, weights=mask_N, minlength=scored.clusters) for mask_N in kinds]
    return rates(*(times_DC @ count_C for count_C in counts))
