"""What a sweep needs of a job: functions that train one trial in one process.  Light: no torch, no Ray."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from protray.cluster.runtime.resources import Plan

if TYPE_CHECKING:
    from protray.cluster.runtime.start import Cluster
    from protray.cluster.train.job import Context

TrialReport = Callable[[int | None, dict, dict | None], None]  # step (None: only progress), metrics, state


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out of a training; scores, objectives and history are of the choosing half of the validation split."""

    values: dict[str, float]  # of each protein of both halves, by id
    scores: dict[str, float]  # metric -> value
    objectives: dict[str, float]  # two that may pull apart
    history: list[dict[str, float]]  # metrics by "step"
    clusters: dict[str, str] = field(default_factory=dict)  # of all validation proteins; default: each its own


class Shared(Protocol):
    """What all trials read; pickled to them."""

    @property
    def steps(self) -> int:
        """Reports of a trial."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sweepable:
    """Functions of a sweep's settings `run`, and of the settings of one trial; all at the top of a module."""

    identity: Callable[[Any], dict]  # of the dataset, the language model, ...: what trials have in common
    base: Callable[[Any], Any]  # a dataclass of dataclasses: the settings that a study starts from
    params: Callable[[Any, Any], dict] = lambda settings, shared: asdict(settings)  # of a trial's run in MLflow
    prepare: "Callable[[Any, Context], Shared]"  # compute what all trials share, where it is missing
    train: Callable[[Any, Any, Path, TrialReport, dict | None, str], Outcome]  # settings, shared, folder, ..., device
    save_model: Callable[[Any, Any, Any, Path, Path], None]  # run, settings, shared, folder of the trial, target
    guess_seconds: Callable[[Any], float]  # of one core, for a trial
    plan: "Callable[[Any, Cluster], Plan]" = lambda run, cluster: Plan((), cluster.nodes)  # resources of `prepare`
    scored: str = "validation proteins"  # what the report says that scores are of
