"""A small training that faults hit: settings, what an unbroken run gives, and what a broken one lost."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protray.evaluation.denoising import DenoisingConfig
from protray.models.score.score_config import ScoreNetConfig
from protray.pipelines.structure.score_net import JOB, ScoreNetRun, settings
from protray.training.structure.score_steps import ScoreFitConfig
from protray.training.world import World

NET = ScoreNetConfig(blocks=1, channels=16, bottleneck=16, positional=4, distances=4)
FIT = ScoreFitConfig(
    epochs=3, batch=64, micro_batch=16, crop=8, validate_every=5, validation_levels=1, validation_chains=40, bf16=False
)
RUN = ScoreNetRun(
    net=NET, fit=FIT, denoising=DenoisingConfig(chains=3, longest=60, every=16, sampled=2, stop=2.0, shown=1)
)
SETTINGS = settings(RUN, None)
STEPS = 30  # of 640 chains of the sample; a checkpoint after every 5
NAMES = ("train/loss", "validation/loss", "validation/explained")


def unbroken() -> list[dict]:
    """The curve of one process without Ray, which any training below has to give."""
    states = []
    JOB.loop(SETTINGS, lambda _, state: states.append(state), None, World())
    return states[-1]["position"]["history"]


def same_curve(found: list[dict], expected: list[dict]) -> None:
    assert [point["step"] for point in found] == [point["step"] for point in expected]
    for name in NAMES:
        assert [point[name] for point in found] == pytest.approx([point[name] for point in expected], rel=1e-4)


def faulty(fault: Callable[[dict, World], None], pause: float = 0.0, train_on: Callable = JOB.loop) -> Callable:
    """A training loop with `fault(metrics, world)` after every step, and a pause, so that nothing is over too soon.

    A nested function, since those travel to the workers by value.
    """

    def loop(settings, report, resume, world):  # noqa: ANN001, ANN202
        def report_and_fail(metrics, state):  # noqa: ANN001, ANN202
            report(metrics, state)
            time.sleep(pause)
            fault(metrics, world)

        train_on(settings, report_and_fail, resume, world)

    return loop


def once(marker: Path, step: int, rank: int, what: Callable[[], None]) -> Callable[[dict, World], None]:
    """Let `what` happen to one worker after one step, the first time that it comes there."""

    def fault(metrics, world):  # noqa: ANN001, ANN202
        if metrics["step"] == step and world.rank == rank and not marker.exists():
            marker.touch()
            what()

    return fault


def note_node(folder: Path) -> Callable[[dict, World], None]:
    """A fault that is none: every rank writes down its node."""

    def fault(metrics, world):  # noqa: ANN001, ANN202
        import ray

        (folder / f"rank-{world.rank}").write_text(ray.get_runtime_context().get_node_id())

    return fault


def kill() -> Callable[[], None]:
    """Something that ends the process it happens to, as a kernel out of memory does."""

    def now() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return now


@dataclass
class Letters:
    """What a training reports to the driver, and when."""

    seen: list[tuple[float, dict]] = field(default_factory=list)

    def __call__(self, metrics: dict) -> None:
        self.seen.append((time.monotonic(), metrics))

    @property
    def step(self) -> int:
        return self.seen[-1][1]["step"] if self.seen else 0

    def lost(self) -> int:
        """The most steps that were taken again after one fault."""
        steps = [metrics["step"] for _, metrics in self.seen]
        return max(0, *(before - after + 1 for before, after in zip(steps, steps[1:], strict=False)))

    def recovery(self) -> float:
        """Seconds from the last step before a fault to the first new one after it; the longest of several faults."""
        longest, most, when = 0.0, -1, 0.0
        for time_seen, metrics in self.seen:
            if metrics["step"] > most:
                longest = max(longest, time_seen - when) if most >= 0 else 0.0
                most, when = metrics["step"], time_seen
        return longest

    def tell(self, fault: str) -> None:
        told = f"{self.lost()} steps again, {self.recovery():.1f} s to the next new step"
        print(f"MEASURED {fault}: {told}", file=sys.stderr)
