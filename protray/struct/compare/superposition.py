r"""GDT and TM-score: what share of a native structure a model gets right after the superposition that suits it best.

Both are maxima over all rigid motions.  The search starts from superpositions of fragments of several lengths, as
TM-score and LGA do, and improves the most promising ones; all of them at once, as arrays.

Shape key:  M matched residues   F superpositions   J cutoffs   3 x, y, z in Å
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CUTOFFS = (0.5, 1.0, 2.0, 4.0, 8.0)  # Å; GDT_HA takes the first four, GDT_TS the last four
SHORTEST = 4  # residues of a fragment to start from
STARTS = 300  # fragments of one length, at most, give or take: memory then grows with the length, not its square
KEPT, KEPT_TM = 100, 20  # superpositions that are improved for each cutoff, and for the TM-score
ROUNDS = 12  # of improving, at most


@dataclass(frozen=True)
class Superposed:
    """The scores of one model, shares in [0, 1], and the superposition of its TM-score: model @ rotation + shift."""

    tm: float
    gdt_ts: float
    gdt_ha: float
    within_J: np.ndarray  # share of the native's residues within each of `CUTOFFS`
    rotation_33: np.ndarray
    shift_3: np.ndarray


def tm_scale(length: int) -> float:
    """d_0 = 1.24 (N - 15)^(1/3) - 1.8 Å, at least 0.5 Å: short proteins would have less [Zhang2004]_.

    >>> float(round(tm_scale(100), 2))
    3.65
    """
    return max(0.5, 1.24 * np.cbrt(length - 15) - 1.8)


def superposition_scores(model_M3: np.ndarray, native_M3: np.ndarray, length: int) -> Superposed:
    r"""GDT_TS, GDT_HA [Zemla2003]_ and TM-score [Zhang2004]_ of a model.

    .. math:: \mathrm{GDT} = \frac{1}{4 N} \sum_{c} \max_{R, t} |\{i : d_i \le c\}|, \quad
              \mathrm{TM} = \max_{R, t} \frac{1}{N} \sum_i \frac{1}{1 + (d_i / d_0)^2}

    with d_i the distance between the C-alpha atoms of residue i after the motion R, t, and N the residues of the
    native, so that residues which the model lacks count as wrong.

    Parameters
    ----------
    model_M3, native_M3 : ndarray, shape=(M, 3), M >= 1
        C-alpha atoms of the residues that both have, in Å.
    length : int
        N, at least M.

    Notes
    -----
    A search finds no less than the best fragment, and may miss the maximum by a few thousandths.  The result is the
    same for the same arrays: nothing is drawn.

    Raises
    ------
    ValueError
        If the shapes do not fit, a coordinate is not finite, or `length` is less than M.

    References
    ----------
    .. [Zemla2003] Zemla. LGA: a method for finding 3D similarities in protein structures. Nucleic Acids Res 31:3370.
    .. [Zhang2004] Zhang, Skolnick. Scoring function for automated assessment of protein structure template quality.
       Proteins 57:702-710.

    Examples
    --------
    >>> ca_43 = np.array([[0.0, 0, 0], [3.8, 0, 0], [3.8, 3.8, 0], [3.8, 3.8, 3.8]])
    >>> found = superposition_scores(ca_43 + 7, ca_43, length=8)  # half of the residues are missing
    >>> float(round(found.gdt_ts, 6)), float(round(found.tm, 6))
    (0.5, 0.5)
    """
    _check(model_M3, native_M3, length)
    middles = model_M3.mean(axis=0, dtype=np.float64), native_M3.mean(axis=0, dtype=np.float64)
    pair = _Pair(model_M3 - middles[0], native_M3 - middles[1])
    scale = tm_scale(length)
    best = _Best(length, scale)
    squared_FM, motions = pair.superpose(_fragments(len(model_M3)))
    best.see(squared_FM, motions)
    for cutoff in CUTOFFS:
        _improve(pair, best, _promising(squared_FM, cutoff, KEPT), lambda found_FM, c=cutoff: _inside(found_FM, c))
    _improve(pair, best, _promising(squared_FM, scale, KEPT_TM), lambda found_FM: np.square(_soft(found_FM, scale)))
    rotation_33, shift_3 = best.rotation_33, middles[1] + best.shift_3 - middles[0] @ best.rotation_33
    return Superposed(
        best.tm, float(best.within_J[1:].mean()), float(best.within_J[:-1].mean()), best.within_J, rotation_33, shift_3
    )


@dataclass
class _Best:
    """The best that was seen of each score."""

    length: int
    scale: float
    tm: float = 0.0

    def __post_init__(self) -> None:
        self.within_J = np.zeros(len(CUTOFFS))
        self.rotation_33, self.shift_3 = np.eye(3), np.zeros(3)

    def see(self, squared_FM: np.ndarray, motions: tuple[np.ndarray, np.ndarray]) -> None:
        """Take what is better."""
        within_J = np.array([(squared_FM <= cutoff**2).sum(axis=1).max() for cutoff in CUTOFFS]) / self.length
        tm_F = _soft(squared_FM, self.scale).sum(axis=1) / self.length
        first = int(tm_F.argmax())
        self.within_J = np.maximum(within_J, self.within_J)
        if tm_F[first] > self.tm:
            self.tm, self.rotation_33, self.shift_3 = float(tm_F[first]), motions[0][first], motions[1][first]


class _Pair:
    """Two matched structures, each about its middle, and the sums of products that superpositions are made of."""

    def __init__(self, model_M3: np.ndarray, native_M3: np.ndarray) -> None:
        self.model_M3, self.native_M3 = model_M3, native_M3
        products_M9 = (model_M3[:, :, None] * native_M3[:, None, :]).reshape(-1, 9)
        self.sums_M16 = np.concatenate([products_M9, model_M3, native_M3, np.ones((len(model_M3), 1))], axis=1)

    def superpose(self, weights_FM: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Squared distances (F, M) after the best motion for each row of weights, and the motions (F, 3, 3), (F, 3)."""
        sums_F16 = weights_FM.astype(np.float64) @ self.sums_M16
        sums_F16 /= sums_F16[:, 15:]
        x_F3, y_F3 = sums_F16[:, 9:12], sums_F16[:, 12:15]
        u_F33, _, v_F33 = np.linalg.svd(sums_F16[:, :9].reshape(-1, 3, 3) - x_F3[:, :, None] * y_F3[:, None, :])
        u_F33[:, :, 2] *= np.sign(np.linalg.det(u_F33 @ v_F33))[:, None]
        rotation_F33 = u_F33 @ v_F33
        shift_F3 = y_F3 - (x_F3[:, None] @ rotation_F33)[:, 0]
        off_FM3 = self.model_M3 @ rotation_F33 + (shift_F3[:, None] - self.native_M3)
        return np.square(off_FM3).sum(axis=2), (rotation_F33, shift_F3)


def _fragments(residues: int) -> np.ndarray:
    """Where superpositions start from: the whole, halves, quarters, ... down to four neighbours; bool, (F, M)."""
    rows, size = [], residues
    while True:
        starts = np.arange(0, residues - size + 1, max(1, size // 8, residues // STARTS))
        place_M = np.arange(residues)
        rows.append((place_M >= starts[:, None]) & (place_M < starts[:, None] + size))
        if size <= SHORTEST:
            return np.concatenate(rows)
        size = max(SHORTEST, size // 2)


def _promising(squared_FM: np.ndarray, cutoff: float, count: int) -> np.ndarray:
    """The `count` superpositions under which most residues are within about `cutoff`."""
    order_F = np.argsort(-_soft(squared_FM, cutoff).sum(axis=1), kind="stable")
    return squared_FM[order_F[:count]]


def _improve(pair: _Pair, best: _Best, squared_FM: np.ndarray, weigh: Callable[[np.ndarray], np.ndarray]) -> None:
    """Superpose again with weights from the distances, round by round; those that stay or meet are done."""
    before = np.zeros((0, squared_FM.shape[1]))
    for _ in range(ROUNDS):
        weights_FM = weigh(squared_FM)
        known = {row.tobytes() for row in before}
        fresh = {row.tobytes(): row for row in weights_FM}
        weights_FM = np.array([row for key, row in fresh.items() if key not in known])
        if not len(weights_FM):
            return
        squared_FM, motions = pair.superpose(weights_FM)
        best.see(squared_FM, motions)
        before = weights_FM


def _soft(squared_FM: np.ndarray, scale: float) -> np.ndarray:
    """1 / (1 + (d / scale)^2).

    Its square is the weight that improves a TM-score in every round: the summand is concave in d^2, so its tangent
    there, of slope -(this)^2 / scale^2, lies above it.
    """
    return 1 / (1 + squared_FM / scale**2)


def _inside(squared_FM: np.ndarray, cutoff: float) -> np.ndarray:
    """The residues within the cutoff, or the nearest few where these are too few to superpose."""
    few = min(SHORTEST, squared_FM.shape[1]) - 1
    nearest_F1 = np.partition(squared_FM, few, axis=1)[:, few : few + 1]
    return squared_FM <= np.maximum(cutoff**2, nearest_F1)


def _check(model_M3: np.ndarray, native_M3: np.ndarray, length: int) -> None:
    if model_M3.shape != native_M3.shape or model_M3.ndim != 2 or model_M3.shape[1] != 3 or not len(model_M3):
        raise ValueError(f"model and native must both be of shape (M, 3), got {model_M3.shape} and {native_M3.shape}")
    if not (np.isfinite(model_M3).all() and np.isfinite(native_M3).all()):
        raise ValueError("coordinates that are not finite; leave residues without C-alpha out of both")
    if length < len(model_M3):
        raise ValueError(f"a native structure of {length} residues cannot have {len(model_M3)} matched ones")
