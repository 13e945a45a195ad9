"""What the trials of a sweep say: table, main effects, Pareto front, and whether seeds differ as much as settings.

Shape key:  B validation proteins
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, variance
from typing import Any, Literal

import numpy as np

from protray.evaluation.bootstrap import interval, paired_interval

Row = dict[str, Any]
Mode = Literal["max", "min"]
Point = Mapping[str, Any]

MOST_LEVELS = 5  # values of a setting that are shown one by one; more are put into bins
BINS = 3  # of a setting with more values


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One finished trial on the validation split."""

    name: str
    point: Point  # setting -> value
    seed: int
    score: float
    values: Mapping[str, float]  # protein id -> its score; `score` is their mean
    objectives: Mapping[str, float] = field(default_factory=dict)  # of two kinds of proteins, say
    paper: bool = False

    def array(self, ids: Sequence[str]) -> np.ndarray:
        """Scores in the order of `ids`, shape (B,)."""
        return np.array([self.values[name] for name in ids])


def trial_rows(trials: Sequence[Scored], mode: Mode) -> list[Row]:
    """One row per trial, best first: score and its interval, and the paired difference to the paper's point and its.

    Both intervals are 95 % bootstrap intervals over proteins.
    """
    paper = next((trial for trial in trials if trial.paper), None)
    rows = []
    for trial in sorted(trials, key=lambda trial: trial.score, reverse=mode == "max"):
        ids = sorted(trial.values)
        scores_B = trial.array(ids)
        row: Row = {"name": trial.name, "paper": trial.paper, "point": dict(trial.point), "n": len(ids)}
        row |= {"score": trial.score, "ci95": _pair(interval(scores_B)), "objectives": dict(trial.objectives)}
        row |= {"gain": None, "gain_ci95": None}
        if paper is not None and not trial.paper:
            paper_B = paper.array(ids)
            row["gain"] = float((scores_B - paper_B).mean())
            row["gain_ci95"] = _pair(paired_interval(scores_B, paper_B))
        rows.append(row)
    return rows


def main_effects(trials: Sequence[Scored]) -> list[Row]:
    """Mean score of the trials at each value of each setting; numbers of more than five values fall into three bins.

    ``se`` is the standard error over those trials, None for a single one: how far the other settings move it.
    """
    rows = []
    for name in trials[0].point:
        values = [trial.point[name] for trial in trials]
        for label, chosen in levels(values):
            scores = [trials[place].score for place in chosen]
            error = math.sqrt(variance(scores) / len(scores)) if len(scores) > 1 else None
            rows.append(
                {"setting": name, "value": label, "trials": len(scores), "score": fmean(scores), "se": error}
                | {"paper": any(trials[place].paper for place in chosen)}
            )
    return rows


def levels(values: Sequence[Any]) -> list[tuple[str, list[int]]]:
    """Label and places of each value, or of each third of the values."""
    distinct = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    if len(distinct) <= MOST_LEVELS or isinstance(distinct[-1], str):
        return [(_label(value), [place for place, one in enumerate(values) if one == value]) for value in distinct]
    order = sorted(range(len(values)), key=lambda place: values[place])
    parts = [part.tolist() for part in np.array_split(order, BINS)]
    return [(f"{_label(values[part[0]])} to {_label(values[part[-1]])}", part) for part in parts]


def _label(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def pareto_front(trials: Sequence[Scored], names: tuple[str, str]) -> list[int]:
    """Places of the trials that no other one matches in both objectives and beats in one; more is better in both."""
    points = [tuple(trial.objectives[name] for name in names) for trial in trials]
    return [
        place
        for place, (x, y) in enumerate(points)
        if not any(a >= x and b >= y and (a > x or b > y) for a, b in points)
    ]


def repeat_rows(repeats: Sequence[Scored], mode: Mode) -> list[Row]:
    """One row per point that was trained with several fresh seeds: mean, spread, and the difference to the paper's.

    ``gain_seeds`` is the 95 % interval of the difference of the means over seeds, by Student's t with the pooled
    variance of all points; ``gain_proteins`` that over proteins, whose scores are first averaged over seeds.  A point
    is ``better`` where both exclude 0: the difference is then larger than seeds and the choice of proteins explain.
    """
    groups: dict[str, list[Scored]] = {}
    for trial in repeats:
        groups.setdefault(repr(sorted(trial.point.items())), []).append(trial)
    several = {name: group for name, group in groups.items() if len(group) > 1}
    if not several:
        return []
    freedom = sum(len(group) - 1 for group in several.values())
    pooled = sum(variance([one.score for one in group]) * (len(group) - 1) for group in several.values()) / freedom
    paper = next((group for group in several.values() if group[0].paper), None)
    rows = []
    for group in several.values():
        scores = [one.score for one in group]
        row: Row = {"name": group[0].name.rsplit(" seed=", 1)[0], "paper": group[0].paper, "scores": scores}
        row |= {"mean": fmean(scores), "sd": math.sqrt(variance(scores)), "pooled_sd": math.sqrt(pooled)}
        row |= {"gain": None, "gain_seeds": None, "gain_proteins": None, "better": None}
        if paper is not None and not group[0].paper:
            ids = sorted(group[0].values)
            ours_B, paper_B = (np.mean([one.array(ids) for one in which], axis=0) for which in (group, paper))
            gain = fmean(scores) - fmean(one.score for one in paper)
            half = student_t(0.975, freedom) * math.sqrt(pooled * (1 / len(group) + 1 / len(paper)))
            over = paired_interval(ours_B, paper_B)
            row |= {"gain": gain, "gain_seeds": [gain - half, gain + half], "gain_proteins": _pair(over)}
            sign = 1 if mode == "max" else -1
            row["better"] = all(sign * low > 0 for low in (gain - half, gain + half, *over))
        rows.append(row)
    return sorted(rows, key=lambda row: row["mean"], reverse=mode == "max")


def student_t(share: float, freedom: int) -> float:
    """Quantile of Student's t distribution, within 1 % from 3 degrees of freedom on.

    References
    ----------
    .. [AbramowitzStegun1964] Handbook of Mathematical Functions, 26.7.5, three terms.
    """
    z, v = NormalDist().inv_cdf(share), freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3


def verdict(rows: Sequence[Row], metric: str) -> str:
    """The sentence that matters: is the best point better than the paper's by more than seeds differ?"""
    others = [row for row in rows if not row["paper"] and row["gain"] is not None]
    if not others:
        return (
            "Neither the paper's point nor any other was trained with several seeds, so nothing can be said of chance."
        )
    best, n = others[0], len(others[0]["scores"])
    low, high = best["gain_seeds"]
    compared = (
        f"With {n} fresh seeds each, the best point ({best['name']}) differs from the paper's by {best['gain']:+z.4f} "
        f"in {metric}, one training from another of the same point by {best['pooled_sd']:.4f} (standard deviation over "
        f"seeds)"
    )
    intervals = (
        f"(95 % interval over seeds {low:+z.4f} to {high:+z.4f}, over proteins {best['gain_proteins'][0]:+z.4f} to "
        f"{best['gain_proteins'][1]:+z.4f})"
    )
    if best["better"]:
        return f"{compared}: better, by more than either seeds or the choice of proteins explain {intervals}."
    if low <= 0 <= high:
        return f"{compared}: not more than the seeds can explain {intervals}."
    return f"{compared}: more than seeds explain, but no gain that other proteins would be sure to show {intervals}."


def _pair(bounds: tuple[float, float]) -> list[float | None]:
    return [None if math.isnan(bound) else bound for bound in bounds]
