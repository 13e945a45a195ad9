"""One trial of a sweep, in one process: train, score, and leave a record that says it is done.

``OUT/trials/KEY/trial.json`` is written when a trial is finished, or has failed for good; its presence, and nothing
that Ray keeps, decides whether the trial runs again.
"""

import logging
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from protray.cluster.tuning.job import Sweepable
from protray.cluster.tuning.space import Point
from protray.data.location import Location
from protray.training.checkpoint import DamagedCheckpointError, load_state, save_state

log = logging.getLogger(__name__)

STATE = "state.pt"  # of a trial that is not finished


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One point and one seed."""

    key: str
    point: Point
    seed: int
    name: str
    role: Literal["paper", "trial", "repeat"]


@dataclass(frozen=True, kw_only=True)
class Record(Trial):
    """What became of a trial; `values` is empty unless it is finished."""

    status: Literal["finished", "failed", "stopped"]
    score: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    objectives: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None

    def write(self, folder: Location) -> None:
        (folder / "trial.json").write_json(asdict(self))


def read_record(folder: Location) -> Record | None:
    record = folder / "trial.json"
    return Record(**record.read_json()) if record.is_file() else None


def run_trial(
    job: Sweepable,
    trial: Trial,
    settings: object,
    shared: object,
    metric: str,
    folder: Location,
    report: Callable[[int, dict[str, float]], None],
    device: str = "cpu",
) -> Record:
    """Train `trial` in a folder of this node, or go on with it, and keep the results in `folder`; a record that is
    there already is returned.

    `report(step, metrics)` gets every epoch that was scored.

    Raises
    ------
    Exception
        Whatever the training raises, a loss that is not finite included.
    """
    if done := read_record(folder):
        return done
    begun, resume = time.monotonic(), _resumed(folder / STATE)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)

        def on_report(step: int | None, metrics: dict, state: dict | None) -> None:
            if state is not None:
                save_state(here, state)
                with (folder / STATE).writing() as partial:
                    shutil.move(here / STATE, partial)
            if step is not None:
                report(step, {name: value for name, value in metrics.items() if "/" in name})

        outcome = job.train(settings, shared, here / "result", on_report, resume, device)
        score = outcome.scores[metric]
        if not math.isfinite(score):
            raise FloatingPointError(f"{metric} is {score}")
        with (folder / "result").writing() as target:
            shutil.copytree(here / "result", target)
    record = Record(
        **vars(trial), status="finished", score=score, seconds=time.monotonic() - begun,
        values=outcome.values, clusters=outcome.clusters, objectives=outcome.objectives,
        history=[_finite(point) for point in outcome.history],
    )  # fmt: skip
    record.write(folder)
    (folder / STATE).remove()
    return record


def _resumed(state: Location) -> dict | None:
    """The state to go on from; None at the beginning, and where it is damaged."""
    try:
        return load_state(state.fetch().parent) if state.is_file() else None
    except DamagedCheckpointError as error:
        log.warning("the trial starts anew: %s", error)
        return None


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    """What JSON can hold; a noise level that no chain was seen with has no score."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
