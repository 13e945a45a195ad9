"""The plan of a job on Ray Train: its own loop, timed for some seconds on a small share of its work."""

import time
from contextlib import suppress
from typing import Any

from protray.cluster.health.estimate import Estimate, Line, Process, Timed, Trials, mean_rate, seconds_for
from protray.cluster.train.checkpoints import Checkpoints
from protray.cluster.train.driver import checked, finished, resources, training_name
from protray.cluster.train.fit import KEEP_FREED_MEMORY
from protray.cluster.train.job import Loop, TrainingJob
from protray.training.world import World

LONGEST_S = 40.0  # of a loop that is timed; a large network takes so long for a few steps
LEAVES_OUT = (
    "starting Ray and its processes (about 10 s on a free machine), reading the dataset, what is measured and drawn at "
    "the end, MLflow; several workers also send each other gradients"
)


def estimate(job: TrainingJob, run: Any) -> Estimate:
    """What is missing in ``run.out`` and about how long it takes; writes nothing.

    Raises
    ------
    ValueError
        As the job itself does.
    """
    if finished(job, run, checked(job, run)):
        return Estimate()
    stages = job.stages(run, None)
    state = Checkpoints(run.out / "cache", training_name(job, stages)).newest()[1] or {}
    with Trials(run.out) as trials:
        plan = resources(job, run, trials.cluster)
        lines = job.before(run, trials) if job.before else []
        rates: dict[str, float | None] = {}
        for stage in stages:
            done = max(stage.done, job.step_of(state) if state and state.get("stage", stage.name) == stage.name else 0)
            left, alike = stage.of - done, stage.alike or stage.name
            if left and alike not in rates:
                settings = job.trial(run, stage)
                found = trials.run(
                    plan[job.name], plan.threads(job.name), time_loop, job.loop, settings, env=KEEP_FREED_MEMORY
                )
                rates[alike] = mean_rate(found)
            seconds = seconds_for(left * stage.cost, rates.get(alike), run.workers)
            lines.append(
                Line(name=stage.name, unit=stage.unit, rows=stage.of, done=done, stage=plan[job.name], seconds=seconds)
            )
        return trials.estimate(lines, LEAVES_OUT)


def time_loop(process: Process, loop: Loop, settings: dict) -> Timed:
    """Steps of a loop between its first state, which comes after caches are warm, and one some seconds later."""
    process.use_torch()
    ticks = Ticks(process.seconds)
    with suppress(EnoughError):
        loop(settings, ticks, None, World(device=process.device))
    return ticks.timed


class EnoughError(Exception):
    """Ends a training of which enough was timed."""


class Ticks:
    """What a loop reports to, while it is timed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = self.last = (time.monotonic(), 0.0)  # time and step: of the start, and of the last report
        self.warm: tuple[float, float] | None = None  # of the first state

    def __call__(self, metrics: dict[str, float], state: dict | None) -> None:
        self.last = time.monotonic(), metrics["step"]
        if state is not None and self.warm is None:
            self.warm = self.last
        since = self.warm or self.begun
        if (state is not None and self.last[0] - since[0] > self.seconds) or self.last[0] - self.begun[0] > LONGEST_S:
            raise EnoughError

    @property
    def timed(self) -> Timed:
        since = self.warm if self.warm and self.last[1] > self.warm[1] else self.begun
        return Timed(self.last[1] - since[1], self.last[0] - since[0])
