"""A job for sweeps that trains nothing: a parabola, one point that crashes once, and one that never is finite."""

import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ray

from protray.cluster.tuning.trial import Outcome

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
    out: Path
    crash: float | None = None  # value of x that takes its process down, once
    not_finite: float | None = None  # value of x whose loss is never finite
    pause: float = 0.0  # seconds of an epoch
    steps: int = STEPS


class ParabolaJob:
    """`protray.pipelines.secondary.sweep_distil` in small: best at x = 2."""

    def __init__(self, crash: float | None = None, not_finite: float | None = None, pause: float = 0.0) -> None:
        self.crash, self.not_finite, self.pause = crash, not_finite, pause

    def base(self, run) -> Settings:  # noqa: ANN001
        return Settings()

    def params(self, settings, shared) -> dict:  # noqa: ANN001
        return asdict(settings)

    def prepare(self, run, cluster, tracker, parent) -> Shared:  # noqa: ANN001
        return Shared(run.out.resolve(), self.crash, self.not_finite, self.pause)

    def train(self, settings, shared, folder, report, resume, device) -> Outcome:  # noqa: ANN001
        with open(shared.out / "trained.txt", "a") as file:
            file.write(f"{settings.x} {settings.fit.seed} {resume['epoch'] if resume else 0}\n")
        (shared.out / f"node-{ray.get_runtime_context().get_node_id()}").touch()
        if settings.x == shared.not_finite:
            raise FloatingPointError("loss is nan in epoch 1 with ['1abcA']")
        first = resume["epoch"] if resume else 0
        history = list(resume["history"]) if resume else []
        for epoch in range(first + 1, STEPS + 1):
            time.sleep(shared.pause)
            score = value(settings, epoch)
            history.append({"step": epoch, "validation/q3": score})
            report(epoch, history[-1], {"epoch": epoch, "history": history})
            if settings.x == shared.crash and epoch == 2 and not resume and not settings.fit.seed:
                time.sleep(0.3)  # let the report arrive, so that a second one would be seen
                os._exit(1)
        values = {f"protein {n}": history[-1]["validation/q3"] + 0.001 * (n % 5) - 0.002 for n in range(50)}
        objectives = {"deep": values["protein 4"], "none": -settings.x}
        return Outcome(
            values=values,
            scores={"validation/q3": history[-1]["validation/q3"]},
            objectives=objectives,
            history=history,
        )

    def save_model(self, run, settings, shared, folder) -> None:  # noqa: ANN001
        (run.out / "model").mkdir(exist_ok=True)
        (run.out / "model" / "x.txt").write_text(str(settings.x))

    def guess_seconds(self, run) -> float:  # noqa: ANN001
        return 36.0


def value(settings: Settings, epoch: int) -> float:
    """Rises to 0.8 - (x - 2)^2 / 100, a little different for each seed."""
    return 0.8 - (settings.x - 2) ** 2 / 100 - 0.1 * (STEPS - epoch) + 0.0001 * settings.fit.seed
