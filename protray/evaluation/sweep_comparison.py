"""Is a point of a sweep better than the paper's?  Fresh seeds, on the half of the proteins that chose nothing.

Shape key:  B validation proteins of the confirming half
"""

import math
from collections.abc import Sequence
from statistics import fmean, variance

import numpy as np

from protray.evaluation.bootstrap import FEWEST, cluster_interval, pair
from protray.evaluation.sweep import Mode, Row, Scored

LEVEL = 0.95  # of all comparisons of a sweep together


def repeat_rows(repeats: Sequence[Scored], mode: Mode) -> list[Row]:
    r"""One row per point that was trained with several fresh seeds; the order is that of the choosing half.

    ``choosing`` is the mean on the choosing half, and orders the rows.  All else is of the confirming half: ``n``
    proteins in so many ``clusters``; ``scores`` by seed, their ``mean`` and ``sd``, and ``pooled_sd`` of all points.
    Each other point is compared with the paper's, paired by protein:

    ``gain``           difference of the means over seeds and proteins
    ``gain_seeds``     its interval for other seeds, by Student's t with the pooled variance of all points
    ``gain_proteins``  its interval for other proteins: scores averaged over seeds, clusters drawn (bootstrap)
    ``gain_ci95``      its interval for other seeds and other proteins, and what decides whether it is ``better``

    The last one adds the two sources of chance, as variances add [Zou2008]_:
    :math:`low = g - \sqrt{(g - low_{seeds})^2 + (g - low_{proteins})^2}`.  That both single ones exclude 0 is not
    enough: where both are equally wide, a difference that does not exist passes in 8 % of cases instead of 2.5 %.  What
    is random in one training and one protein is in both intervals, so that the sum errs to the safe side.

    The points' trainings have one seed effect on both halves of the proteins, so the best of m repeated points may owe
    its rank to its seeds.  Every interval is therefore one of level 1 - 0.05 / m (Bonferroni): in 95 % of sweeps all m
    of them hold.  The pooled variance supposes that seeds matter about as much at every point.

    References
    ----------
    .. [Zou2008] Zou & Donner. Construction of confidence limits about effect measures. Stat Med 27:1693-1702.
    """
    groups = _several_seeds(repeats)
    if not groups:
        return []
    ids = groups[0][0].ids("confirming")
    clusters_B = groups[0][0].clusters_of(ids)
    n_clusters = len(set(clusters_B))
    scores_of = [[float(one.array(ids).mean()) for one in group] for group in groups]
    freedom = sum(len(scores) - 1 for scores in scores_of)
    pooled = sum(variance(scores) * (len(scores) - 1) for scores in scores_of) / freedom
    paper = next((group for group in groups if group[0].paper), None)
    level = 1 - (1 - LEVEL) / max(1, len(groups) - 1)
    rows = []
    for group, scores in zip(groups, scores_of, strict=True):
        row: Row = {"name": group[0].name.rsplit(" seed=", 1)[0], "paper": group[0].paper}
        row |= {"choosing": fmean(one.score for one in group), "scores": scores, "n": len(ids), "clusters": n_clusters}
        row |= {"mean": fmean(scores), "sd": math.sqrt(variance(scores)), "pooled_sd": math.sqrt(pooled)}
        row |= {"gain": None, "gain_seeds": None, "gain_proteins": None, "gain_ci95": None, "better": None}
        if paper is not None and not group[0].paper and n_clusters >= FEWEST:
            gain_B = _mean_over_seeds(group, ids) - _mean_over_seeds(paper, ids)
            gain = float(gain_B.mean())
            width = student_t((1 + level) / 2, freedom) * math.sqrt(pooled * (1 / len(group) + 1 / len(paper)))
            seeds, proteins = (gain - width, gain + width), cluster_interval(gain_B, clusters_B, level=level)
            low = gain - math.hypot(gain - seeds[0], gain - proteins[0])
            high = gain + math.hypot(gain - seeds[1], gain - proteins[1])
            row |= {"gain": gain, "gain_seeds": pair(seeds), "gain_proteins": pair(proteins)}
            row |= {"gain_ci95": [low, high], "better": low > 0 if mode == "max" else high < 0}
        rows.append(row)
    return sorted(rows, key=lambda row: row["choosing"], reverse=mode == "max")


def _several_seeds(repeats: Sequence[Scored]) -> list[list[Scored]]:
    """The trials of each point that has more than one."""
    groups: dict[str, list[Scored]] = {}
    for trial in repeats:
        groups.setdefault(repr(sorted(trial.point.items())), []).append(trial)
    return [group for group in groups.values() if len(group) > 1]


def _mean_over_seeds(group: Sequence[Scored], ids: Sequence[str]) -> np.ndarray:
    """Shape (B,)."""
    return np.mean([one.array(ids) for one in group], axis=0)


def conclusion(rows: Sequence[Row], metric: str, mode: Mode) -> str:
    """Say whether the point that the choosing half put first is better than the paper's."""
    others = [row for row in rows if not row["paper"]]
    if not others or len(others) == len(rows):
        return (
            "No difference to the paper's point can be tested: it takes the paper's point and another one, each "
            "trained with several new seeds."
        )
    best = others[0]
    if best["gain"] is None:
        return (
            f"No difference to the paper's point can be tested: the proteins kept for that are in {best['clusters']} "
            f"clusters of related proteins, and at least {FEWEST} are needed."
        )
    low, high = best["gain_ci95"]
    worse = high < 0 if mode == "max" else low > 0
    found = (
        f"The best point apart from the paper's ({best['name']}) and the paper's were trained again with "
        f"{len(best['scores'])} new seeds each and compared on {best['n']} other validation proteins, which had no "
        f"part in the choice. The difference in {metric} is {best['gain']:+z.4f} (95 % interval {low:+z.4f} to "
        f"{high:+z.4f}, over seeds and proteins)"
    )
    if best["better"]:
        return f"{found}: it is better than the paper's."
    if worse:
        return f"{found}: it is worse than the paper's."
    return f"{found}: it may be chance, since the interval contains 0."


def student_t(share: float, freedom: int) -> float:
    """Quantile of Student's t distribution, for a share above one half.

    Bisection of the finite sums for a whole number of degrees of freedom [AbramowitzStegun1964]_.

    References
    ----------
    .. [AbramowitzStegun1964] Handbook of Mathematical Functions, 26.7.3 and 26.7.4.

    Examples
    --------
    >>> round(student_t(0.975, 4), 4)
    2.7764
    """
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t / sqrt(freedom)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _share_within(middle, freedom) < 2 * share - 1 else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _share_within(angle: float, freedom: int) -> float:
    """P(-t < T < t) for t = sqrt(freedom) tan(angle)."""
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for n in range(freedom // 2):
        total += term
        term *= math.cos(angle) ** 2 * (2 * n + 1 + odd) / (2 * n + 2 + odd)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
