"""Trials that train one network: scored at each point of the curve on the half that chooses, and at the end on both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from protray.cluster.tuning.job import Outcome, TrialReport
from protray.evaluation.sweep_halves import HALVES, ids_of
from protray.training.checkpoint import save_state

BEST = "best"  # folder of the weights to keep
Net = TypeVar("Net")


@dataclass(frozen=True, kw_only=True)
class NetSettings:
    """What may vary: settings of a network, and of its training, with `epochs` and `seed`."""

    net: Any
    fit: Any


@dataclass(frozen=True)
class Shared:
    """What all trials read."""

    data: Any  # where it is
    steps: int  # of a trial


def rows_of_halves(ids: Sequence[str], clusters: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the validation split that choose, and those that confirm; int64."""
    choosing, confirming = (np.flatnonzero(np.isin(ids, ids_of(half, clusters))) for half in HALVES)
    return choosing, confirming


def fit_and_score(
    metric: str,
    fit: Callable[[Callable[[dict[str, float], dict | None], None]], dict],
    score: Callable[[dict, Any], tuple[dict[str, float], dict[str, float]]],
    halves: tuple[Any, Any],
    clusters: dict[str, str],
    folder: Path,
    report: TrialReport,
) -> Outcome:
    """Train in this process, keep the best weights in ``folder/BEST``, and score both halves.

    Parameters
    ----------
    metric : str
        Name of the mean over proteins.
    fit
        Called with what the training reports to; gives its last state, with ``"best"`` weights and ``"position"``.
        It validates on the choosing half.
    score
        Of weights and a half: a value for each protein, by id, and objectives.
    halves, clusters
        The two halves of the validation split, and the cluster of each of their proteins.
    """
    choosing, confirming = halves

    def on_report(metrics: dict[str, float], state: dict | None) -> None:
        if state is None:
            report(None, metrics, None)
            return
        values, _ = score(state["best"], choosing)
        report(int(metrics["step"]), metrics | {metric: mean(values)}, state)

    state = fit(on_report)
    save_state(folder / BEST, state["best"])
    values, objectives = score(state["best"], choosing)
    return Outcome(
        values=values | score(state["best"], confirming)[0], scores={metric: mean(values)}, objectives=objectives,
        history=state["position"]["history"], clusters=clusters,
    )  # fmt: skip


def mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values())))


def with_weights(net: Net, weights: dict) -> Net:
    """The same network, with these weights."""
    net.load_state_dict(weights)  # type: ignore[attr-defined]
    return net


def n_weights(*nets: Any) -> int:
    """How many weights networks have together."""
    return sum(weight.numel() for net in nets for weight in net.parameters())
