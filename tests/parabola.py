"""What a sweep trains where nothing is to be trained: a parabola, a point that crashes once, one never finite."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import ray

from protray.cluster.tuning.job import Outcome, Sweepable
from protray.data.location import Location
from protray.data.parquet import DamagedError

STEPS = 3
STUDY = """
JOB, METRIC, MODE = "distil", "validation/q3", "max"
PAPER = {"x": 0.0}
SPACE = {"x": (0.0, 1.0, 2.0, 3.0)}
"""


@dataclass(frozen=True, kw_only=True)
class Fit:
    seed: int = 0
    rate: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Settings:
    x: float = 0.0
    fit: Fit = field(default_factory=Fit)


@dataclass(frozen=True)
class Shared:
    out: Location
    crash: float | None = None  # value of x that takes its process down, once
    not_finite: float | None = None  # value of x whose loss is never finite
    damaged: float | None = None  # value of x whose data cannot be read
    pause: float = 0.0  # seconds of an epoch
    steps: int = STEPS


def parabola(
    crash: float | None = None, not_finite: float | None = None, damaged: float | None = None, pause: float = 0.0
) -> Sweepable:
    """`protray.pipelines.secondary.sweep_distil.SWEEP` in small: best at x = 2."""
    return Sweepable(
        identity=lambda run: {"digest of the data": "parabola"},
        base=lambda run: Settings(),
        prepare=lambda run, context: Shared(run.out, crash, not_finite, damaged, pause),
        train=train,
        save_model=save_model,
        guess_seconds=lambda run: 36.0,
    )


def train(settings, shared, folder: Path, report, resume, device) -> Outcome:  # noqa: ANN001
    with open(shared.out / "trained.txt", "a") as file:
        file.write(f"{settings.x} {settings.fit.seed} {resume['epoch'] if resume else 0}\n")
    (Path(shared.out) / f"node-{ray.get_runtime_context().get_node_id()}").touch()
    if settings.x == shared.not_finite:
        raise FloatingPointError("loss is nan in epoch 1 with ['1abcA']")
    if settings.x == shared.damaged:
        raise DamagedError("the maps are damaged")
    first = resume["epoch"] if resume else 0
    history = list(resume["history"]) if resume else []
    for epoch in range(first + 1, STEPS + 1):
        time.sleep(shared.pause)
        history.append({"step": epoch, "validation/q3": value(settings, epoch)})
        report(epoch, history[-1], {"epoch": epoch, "history": history})
        if settings.x == shared.crash and epoch == 2 and not resume and not settings.fit.seed:
            time.sleep(0.3)  # let the report arrive, so that a second one would be seen
            os._exit(1)
    folder.mkdir()
    (folder / "x.txt").write_text(str(settings.x))
    values = {f"protein {n}": history[-1]["validation/q3"] + 0.001 * (n % 5) - 0.002 for n in range(50)}
    return Outcome(
        values=values,
        scores={"validation/q3": history[-1]["validation/q3"]},
        objectives={"deep": values["protein 4"], "none": -settings.x},
        history=history,
    )


def save_model(run, settings, shared, folder: Path, target: Path) -> None:  # noqa: ANN001
    target.mkdir()
    (target / "x.txt").write_text((folder / "x.txt").read_text())


def value(settings: Settings, epoch: int) -> float:
    """Rises to 0.8 - (x - 2)^2 / 100, a little different for each seed."""
    return 0.8 - (settings.x - 2) ** 2 / 100 - 0.1 * (STEPS - epoch) + 0.0001 * settings.fit.seed
