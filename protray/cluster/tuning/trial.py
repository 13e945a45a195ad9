"""One trial of a sweep, in one process: train, score, and leave a record that says it is done.

``OUT/trials/KEY/trial.json`` is written when a trial is finished, or has failed for good; its presence, and nothing
that Ray keeps, decides whether the trial runs again.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from protray.cluster.storage import remote
from protray.cluster.storage.files import read_json, write_json
from protray.cluster.tuning.space import Point
from protray.training.checkpoint import DamagedCheckpointError, load_state, save_state

log = logging.getLogger(__name__)

STATE = "state"  # folder of a trial that is not finished
Report = Callable[[int | None, dict, dict | None], None]  # step (None: only progress), metrics, state


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out of a training; scores, objectives and history are of the choosing half of the validation split."""

    values: dict[str, float]  # of each protein of both halves, by id
    scores: dict[str, float]  # metric -> value
    objectives: dict[str, float]  # two that may pull apart
    history: list[dict[str, float]]  # metrics by "step"
    clusters: dict[str, str] = field(default_factory=dict)  # of all validation proteins; default: each its own


class JobModule(Protocol):
    """What `protray.pipelines.secondary.sweep_distil` and `sweep_score` offer."""

    def train(
        self, settings: Any, shared: Any, folder: Path, report: Report, resume: dict | None, device: str
    ) -> Outcome: ...


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One point and one seed."""

    key: str
    point: Point
    seed: int
    name: str
    role: Literal["paper", "trial", "repeat"]


@dataclass(kw_only=True)
class Record:
    """What became of a trial; `values` is empty unless it is finished."""

    key: str
    point: Point
    seed: int
    name: str
    role: str
    status: Literal["finished", "failed", "stopped"]
    score: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    objectives: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "trial.json", asdict(self))


def read_record(folder: Path) -> Record | None:
    path = folder / "trial.json"
    return Record(**read_json(path)) if path.is_file() else None


def run_trial(
    job: JobModule,
    trial: Trial,
    settings: object,
    shared: object,
    metric: str,
    folder: Path,
    report: Callable[[int, dict[str, float]], None],
    device: str = "cpu",
) -> Record:
    """Train `trial` in `folder`, or go on with it, or return its record if it is there.

    `report(step, metrics)` gets every epoch that was scored.

    Raises
    ------
    Exception
        Whatever the training raises, a loss that is not finite included.
    """
    folder = remote.pull(folder, exact=True)  # another node may have begun it
    if done := read_record(folder):
        return done
    begun = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    state_folder = folder / STATE
    resume = _resumed(state_folder)

    def on_report(step: int | None, metrics: dict, state: dict | None) -> None:
        if state is not None:
            save_state(state_folder, state)
            remote.push(state_folder)
        if step is not None:
            report(step, {name: value for name, value in metrics.items() if "/" in name})

    outcome = job.train(settings, shared, folder, on_report, resume, device)
    score = outcome.scores[metric]
    if not math.isfinite(score):
        raise FloatingPointError(f"{metric} is {score}")
    record = Record(
        **vars(trial), status="finished", score=score, seconds=time.monotonic() - begun,
        values=outcome.values, clusters=outcome.clusters, objectives=outcome.objectives,
        history=[_finite(point) for point in outcome.history],
    )  # fmt: skip
    remote.push(folder)  # before the record, which says that all is there
    record.write(folder)
    remote.remove(state_folder)
    return record


def _resumed(folder: Path) -> dict | None:
    """The state to go on from; None at the beginning, and where it is damaged."""
    try:
        return load_state(folder) if (folder / "state.pt").is_file() else None
    except DamagedCheckpointError as error:
        log.warning("the trial starts anew: %s", error)
        return None


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    """What JSON can hold; a noise level that no chain was seen with has no score."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
