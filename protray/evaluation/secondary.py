"""Accuracy of predicted secondary structure: Q_S, SOV'99 and the confusion matrix, on integer codes.

Labels are codes 0..S-1 or ``IGNORE``; a residue without a label counts nowhere, every other residue counts,
alanine included.

Shape key:  B proteins of a set   L residues   S secondary-structure states
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protray.seq.secondary import IGNORE, STATES


@dataclass(frozen=True)
class SetScores:
    """Scores of one method on one set; every array has shape (B,), in the order of the set."""

    correct: np.ndarray  # int64, residues predicted right
    labelled: np.ndarray  # int64, residues with a label
    sov: np.ndarray  # float64, in [0, 1]

    @property
    def accuracy(self) -> np.ndarray:
        """Q_S of each protein; its mean over proteins is the paper's accuracy."""
        return self.correct / self.labelled


def count_correct(pred_L: np.ndarray, label_L: np.ndarray) -> tuple[int, int]:
    """Count residues predicted right, and residues with a label; their ratio is Q3 or Q8.

    >>> from protray.seq.secondary import encode_states
    >>> count_correct(encode_states("HHEC"), encode_states("HEE-"))
    (2, 3)
    """
    known_L = label_L != IGNORE
    return int((pred_L[known_L] == label_L[known_L]).sum()), int(known_L.sum())


def sov_sums(pred_L: np.ndarray, label_L: np.ndarray, n_states: int = 3) -> tuple[np.ndarray, np.ndarray]:
    r"""Sums of the segment overlap measure SOV'99 for each state.

    .. math::
        \mathrm{SOV}_i = \frac{1}{N_i} \sum_{(s_1, s_2) \in S_i}
            \frac{\mathrm{minov}(s_1, s_2) + \delta(s_1, s_2)}{\mathrm{maxov}(s_1, s_2)} \, |s_1|
        , \qquad
        N_i = \sum_{(s_1, s_2) \in S_i} |s_1| + \sum_{s_1 \in S'_i} |s_1|

    :math:`s_1` is an observed and :math:`s_2` a predicted segment of state i; :math:`S_i` holds the pairs that share a
    residue, :math:`S'_i` the observed segments without a partner.  minov is the length that a pair shares, maxov the
    length that it spans, and :math:`\delta = \min(\mathrm{maxov} - \mathrm{minov}, \mathrm{minov},
    \lfloor |s_1| / 2 \rfloor, \lfloor |s_2| / 2 \rfloor)` forgives ragged ends.

    Parameters
    ----------
    pred_L, label_L : ndarray, dtype=int, shape=(L,)
        Codes; residues whose label is ``IGNORE`` end the segments of both.

    Returns
    -------
    score_S, norm_S : ndarray, dtype=float64, shape=(S,)
        The sum in SOV_i, and N_i.

    Notes
    -----
    An observed segment with several partners counts in N_i once per partner, as the definition says: this is what
    keeps SOV'99 at or below 1, where the first definition [Rost1994]_ could exceed it.

    References
    ----------
    .. [Zemla1999] Zemla, Venclovas, Fidelis, Rost. A modified definition of Sov. Proteins 34:220-223.
    .. [Rost1994] Rost, Sander, Schneider. Redefining the goals of protein secondary structure prediction.
       J Mol Biol 235:13-26.
    """
    start1, stop1, state1 = _segments(label_L)
    start2, stop2, state2 = _segments(np.where(label_L == IGNORE, IGNORE, pred_L))
    minov = np.minimum(stop1[:, None], stop2) - np.maximum(start1[:, None], start2)
    maxov = np.maximum(stop1[:, None], stop2) - np.minimum(start1[:, None], start2)
    length1, length2 = stop1 - start1, stop2 - start2
    pair = (minov > 0) & (state1[:, None] == state2)
    delta = np.minimum(np.minimum(maxov - minov, minov), np.minimum(length1[:, None] // 2, length2 // 2))
    score_1 = (np.where(pair, (minov + delta) / maxov, 0) * length1[:, None]).sum(axis=1)
    norm_1 = length1 * np.maximum(pair.sum(axis=1), 1)
    return np.bincount(state1, score_1, n_states), np.bincount(state1, norm_1, n_states)


def sov(pred_L: np.ndarray, label_L: np.ndarray, n_states: int = 3) -> float:
    """SOV'99 over all states, in [0, 1]; see `sov_sums`.  nan where no residue has a label.

    >>> from protray.seq.secondary import encode_states
    >>> sov(encode_states("CHHHHC"), encode_states("CHHHHC"))
    1.0
    >>> round(sov(encode_states("HHHCHH"), encode_states("HHHHHH")), 3)  # a helix that is broken in two
    0.583
    """
    score_S, norm_S = sov_sums(pred_L, label_L, n_states)
    return float(score_S.sum() / norm_S.sum()) if norm_S.sum() else float("nan")


def confusion(predictions: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Count labelled residues by true state (row) and predicted state (column).

    Returns
    -------
    residues_SS : ndarray, dtype=int64, shape=(3, 3)

    Examples
    --------
    >>> confusion({"p": np.array([0, 0, 2])}, {"p": np.array([0, 1, 2])}).tolist()
    [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    """
    found_SS = np.zeros((len(STATES), len(STATES)), dtype=np.int64)
    for id, label_L in labels.items():
        pred_L = _prediction(predictions, id, label_L, len(STATES))
        known_L = label_L != IGNORE
        np.add.at(found_SS, (label_L[known_L], pred_L[known_L]), 1)
    return found_SS


def score_set(predictions: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], n_states: int = 3) -> SetScores:
    """Score every protein of `labels`, in its order; predictions of other proteins are not looked at.

    Raises
    ------
    ValueError
        If a protein has no prediction, one of another length, a code outside 0..S-1, or no labelled residue.

    Examples
    --------
    >>> score_set({"p": np.array([0, 0, 2, 2])}, {"p": np.array([0, 1, 2, 2])}).accuracy.tolist()
    [0.75]
    """
    rows = []
    for id, label_L in labels.items():
        pred_L = _prediction(predictions, id, label_L, n_states)
        right, known = count_correct(pred_L, label_L)
        if known == 0:
            raise ValueError(f"protein {id!r} has no labelled residue among {len(label_L)}; leave it out of the set")
        rows.append((right, known, sov(pred_L, label_L, n_states)))
    correct_B, labelled_B, sov_B = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return SetScores(correct_B.astype(np.int64), labelled_B.astype(np.int64), sov_B)


def _prediction(predictions: Mapping[str, np.ndarray], id: str, label_L: np.ndarray, n_states: int) -> np.ndarray:
    """The prediction for one protein, checked against its labels."""
    if id not in predictions:
        raise ValueError(f"no prediction for protein {id!r}; there are predictions for {len(predictions)} proteins")
    pred_L = predictions[id]
    if len(pred_L) != len(label_L):
        raise ValueError(f"protein {id!r} has {len(label_L)} labels but {len(pred_L)} predicted states")
    codes_L = pred_L.astype(np.int64)
    wrong_L = (codes_L < 0) | (codes_L >= n_states)
    if wrong_L.any():
        at = int(np.argmax(wrong_L))
        raise ValueError(
            f"protein {id!r}: predicted code {codes_L[at]} at residue {at + 1} is not in 0..{n_states - 1}"
        )
    return pred_L


def _segments(codes_L: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maximal runs of one state as (start, stop, state), stop exclusive; runs of ``IGNORE`` are left out."""
    codes_L = codes_L.astype(np.int64)
    edges = np.flatnonzero(np.diff(codes_L)) + 1
    start = np.concatenate([[0], edges])[: codes_L.size]
    stop = np.concatenate([edges, [codes_L.size]])[: codes_L.size]
    state = codes_L[start]
    real = state != IGNORE
    return start[real], stop[real], state[real]
