"""What the trials of a sweep say: table, main effects, Pareto front; all on the proteins that choose.

`protray.evaluation.sweep_comparison` holds what was chosen against the paper's point, on the proteins that confirm.

Shape key:  B validation proteins of one half
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, variance
from typing import Any, Literal

import numpy as np

from protray.evaluation.bootstrap import cluster_interval, pair
from protray.evaluation.sweep_halves import HALVES, Half, ids_of

Row = dict[str, Any]
Mode = Literal["max", "min"]
Point = Mapping[str, Any]

MOST_LEVELS = 5  # values of a setting that are shown one by one; more are put into bins
BINS = 3  # of a setting with more values


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One finished trial; `score` and `objectives` are of the choosing half of the validation split."""

    name: str
    point: Point  # setting -> value
    seed: int
    score: float
    values: Mapping[str, float]  # protein id -> its score, both halves
    clusters: Mapping[str, str] = field(default_factory=dict)  # of all validation proteins; default: each its own
    objectives: Mapping[str, float] = field(default_factory=dict)  # of two kinds of proteins, say
    history: Sequence[Mapping[str, float]] = ()  # metrics by "step"
    paper: bool = False

    def ids(self, half: Half) -> list[str]:
        """The scored proteins of one half, sorted."""
        clusters = self.clusters or dict.fromkeys(self.values, "")
        return [name for name in ids_of(half, clusters) if name in self.values]

    def array(self, ids: Sequence[str]) -> np.ndarray:
        """Scores in the order of `ids`, shape (B,)."""
        return np.array([self.values[name] for name in ids])

    def clusters_of(self, ids: Sequence[str]) -> list[str]:
        """Clusters in the order of `ids`."""
        return [self.clusters.get(name) or name for name in ids]


def half_sizes(trial: Scored) -> Row:
    """Half -> how many ``proteins`` and ``clusters`` it has."""
    found: Row = {}
    for half in HALVES:
        ids = trial.ids(half)
        found[half] = {"proteins": len(ids), "clusters": len(set(trial.clusters_of(ids)))}
    return found


def trial_rows(trials: Sequence[Scored], mode: Mode) -> list[Row]:
    """One row per trial, best first: score and its interval, and the paired difference to the paper's point and its.

    Both intervals are 95 % bootstrap intervals over clusters of the choosing half, ``n`` proteins.
    """
    paper = next((trial for trial in trials if trial.paper), None)
    rows = []
    for trial in sorted(trials, key=lambda trial: trial.score, reverse=mode == "max"):
        ids = trial.ids("choosing")
        scores_B, clusters_B = trial.array(ids), trial.clusters_of(ids)
        row: Row = {"name": trial.name, "paper": trial.paper, "point": dict(trial.point), "n": len(ids)}
        row |= {
            "score": trial.score,
            "ci95": pair(cluster_interval(scores_B, clusters_B)),
            "objectives": dict(trial.objectives),
        }
        row |= {"gain": None, "gain_ci95": None}
        if paper is not None and not trial.paper:
            paper_B = paper.array(ids)
            row["gain"] = float((scores_B - paper_B).mean())
            row["gain_ci95"] = pair(cluster_interval(scores_B - paper_B, clusters_B))
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
    """Label and places of each value, or of each third of the values.

    >>> levels([0.1, 0.3, 0.1])
    [('0.1', [0, 2]), ('0.3', [1])]
    """
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
