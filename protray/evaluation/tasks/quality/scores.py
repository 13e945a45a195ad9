"""How good predicted scores of models are: the columns of Table 1 (Guo et al., AAAI 2022), and those of PSR.

A decoy is one model of a target protein.  Rows are plain dicts, ready for JSON: what does not exist is None, never nan.
Intervals draw whole targets, since decoys of one target are alike.

Shape key:  N decoys, or residues of all decoys   T targets
"""

from collections.abc import Iterator, Sequence
from math import comb
from typing import Any

import numpy as np

from protray.evaluation.bootstrap import correlation_interval, interval, pair

FEWEST = 3  # values that a correlation is taken of: two always lie on a line
TOP = 5  # decoys that a user looks at: FRL_5
OF_TARGETS = ("r_target", "spearman_target", "z", "frl5")  # means over targets


def global_row(
    predicted_N: np.ndarray, true_N: np.ndarray, targets_N: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Compare one predicted number of each decoy, such as its GDT_TS, with the true one.

    Returns
    -------
    row : dict
        Each with its 95 % interval, ``NAME_ci95``:

        ``rmse``, ``r``, ``spearman``
            Over all decoys.
        ``r_target``, ``spearman_target``
            Mean over targets of the correlation within a target.
        ``z``
            Mean over targets of the z-score (population standard deviation) of the true score of the decoy that is
            predicted to be the best.
        ``frl5``
            First-ranked loss: the best true score of a target less the best among the five predicted best; the mean.

        And ``decoys``, ``targets``; ``skipped``: targets without a correlation, because they have fewer than three
        decoys or their predictions are all the same; ``alike``: targets of one true score, which have no z either.

    Notes
    -----
    Equal predictions are no order: z and FRL_5 are then the mean over all orders, so that a constant prediction has
    z = 0, and its FRL_5 is that of five decoys taken by chance.

    Raises
    ------
    ValueError
        If there is no decoy, or a value is not finite.
    """
    found = target_values(predicted_N, true_N, targets_N)
    sizes_T = np.array(found["decoys"])
    squares = interval(np.array(found["square"]), weights_B=sizes_T, seed=seed)
    row = {
        "decoys": len(true_N), "targets": len(sizes_T), "alike": sum(value is None for value in found["z"]),
        "skipped": sum(value is None for value in found["r_target"]),
        "rmse": float(np.sqrt(np.square(predicted_N - true_N).mean())),
        "rmse_ci95": pair((squares[0] ** 0.5, squares[1] ** 0.5)),
    }  # fmt: skip
    row |= _pooled("r", predicted_N, true_N, targets_N, seed)
    row |= _pooled("spearman", ranks(predicted_N), ranks(true_N), targets_N, seed)
    for name in OF_TARGETS:
        row |= mean_of(name, found[name], seed)
    return row


def target_values(
    predicted_N: np.ndarray, true_N: np.ndarray, targets_N: Sequence[str]
) -> dict[str, list[float | None]]:
    """For each target, in the order of their names: `OF_TARGETS`, ``square`` (mean squared error) and ``decoys``.

    None where a target has no such number.
    """
    _check(predicted_N, true_N, targets_N)
    found: dict[str, list[float | None]] = {name: [] for name in (*OF_TARGETS, "square", "decoys")}
    for predicted, true in _groups(predicted_N, true_N, targets_N):
        spread = float(true.std())
        values = {
            "r_target": pearson(predicted, true),
            "spearman_target": pearson(ranks(predicted), ranks(true)),
            "z": (expected_best(predicted, true, 1) - float(true.mean())) / spread if spread > 0 else None,
            "frl5": float(true.max()) - expected_best(predicted, true, TOP),
            "square": float(np.square(predicted - true).mean()),
            "decoys": len(true),
        }
        for name, value in values.items():
            found[name].append(value)
    return found


def local_row(
    predicted_N: np.ndarray, true_N: np.ndarray, decoys_N: Sequence[str], targets_N: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Compare one predicted number of each residue, such as its lDDT, with the true one.

    Returns
    -------
    row : dict
        ``rho``, Spearman's correlation over all residues, and ``rho_decoy``, its mean over decoys, both with their 95 %
        intervals over targets (``NAME_ci95``); ``residues``; ``decoys``; ``skipped``: decoys without a correlation.
    """
    _check(predicted_N, true_N, targets_N)
    names, of_target = np.asarray(decoys_N), np.asarray(targets_N)
    found = [pearson(ranks(predicted), ranks(true)) for predicted, true in _groups(predicted_N, true_N, names)]
    firsts = np.unique(names, return_index=True)[1]
    clusters = [target for target, value in zip(of_target[firsts], found, strict=True) if value is not None]
    values = np.array([value for value in found if value is not None])
    place = np.unique(clusters, return_inverse=True)[1] if clusters else np.zeros(0, dtype=int)
    sizes = np.bincount(place)
    means = np.bincount(place, weights=values) / sizes
    return {
        "residues": len(true_N), "decoys": len(found), "skipped": len(found) - len(values),
        **_pooled("rho", ranks(predicted_N), ranks(true_N), targets_N, seed),
        "rho_decoy": float(values.mean()) if len(values) else None,
        "rho_decoy_ci95": pair(interval(means, weights_B=sizes, seed=seed)),
    }  # fmt: skip


def pearson(x_N: np.ndarray, y_N: np.ndarray) -> float | None:
    """Pearson's correlation; None for fewer than three values, or where all values of one side are the same.

    >>> pearson(np.array([1.0, 2, 3]), np.array([2.0, 2, 2])) is None
    True
    """
    if len(x_N) < FEWEST or np.ptp(x_N) == 0 or np.ptp(y_N) == 0:
        return None
    x_N, y_N = x_N - x_N.mean(), y_N - y_N.mean()
    return float((x_N * y_N).sum() / np.sqrt(np.square(x_N).sum() * np.square(y_N).sum()))


def ranks(values_N: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values with the mean of theirs.

    >>> ranks(np.array([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place_N, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place_N]


def expected_best(predicted_N: np.ndarray, true_N: np.ndarray, top: int) -> float:
    """The best true score among the `top` best predicted; where predictions are equal, the mean over their orders.

    >>> expected_best(np.array([0.9, 0.5, 0.5]), np.array([0.2, 0.4, 0.8]), top=2)  # 0.4 or 0.8
    0.6000000000000001
    """
    top = min(top, len(predicted_N))
    last = np.sort(predicted_N)[::-1][top - 1]
    above = true_N[predicted_N > last]
    tied = np.sort(true_N[predicted_N == last])[::-1]
    left, sure = top - len(above), above.max(initial=-np.inf)
    ways = [comb(len(tied) - rank - 1, left - 1) for rank in range(len(tied))]  # the best of `left` of them is this one
    return float(np.dot(np.maximum(tied, sure), np.array(ways) / comb(len(tied), left)))


def _groups(
    x_N: np.ndarray, y_N: np.ndarray, names_N: Sequence[str] | np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The values of each name, in the order of the names."""
    _, place_N = np.unique(np.asarray(names_N), return_inverse=True)
    order_N = np.argsort(place_N, kind="stable")
    for rows in np.split(order_N, np.flatnonzero(np.diff(place_N[order_N])) + 1):
        yield x_N[rows], y_N[rows]


def _pooled(name: str, x_N: np.ndarray, y_N: np.ndarray, targets_N: Sequence[str], seed: int) -> dict[str, Any]:
    found = pearson(x_N, y_N)
    ends = (np.nan, np.nan) if found is None else correlation_interval(x_N, y_N, targets_N, seed=seed)
    return {name: found, f"{name}_ci95": pair(ends)}


def mean_of(name: str, values: Sequence[float | None], seed: int = 0) -> dict[str, Any]:
    """The mean over targets that have such a value, None if none has, and its interval ``NAME_ci95``."""
    found = np.array([value for value in values if value is not None], dtype=float)
    return {
        name: float(found.mean()) if len(found) else None, f"{name}_ci95": pair(interval(found, seed=seed))
    }  # fmt: skip


def _check(predicted_N: np.ndarray, true_N: np.ndarray, names_N: Sequence[str]) -> None:
    if not len(true_N) or not len(predicted_N) == len(true_N) == len(names_N):
        raise ValueError(
            f"{len(predicted_N)} predictions, {len(true_N)} true scores and {len(names_N)} names of targets"
        )
    if not (np.isfinite(predicted_N).all() and np.isfinite(true_N).all()):
        raise ValueError("scores that are not finite; leave decoys and residues without a true score out")
