"""What training loops keep beside their networks: the step, the curve, the best weights; how they report and go on.

Light: a loop reads top to bottom, and it is the loop that knows of networks, batches and losses.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from protray.training.world import World

Report = Callable[[dict[str, float], dict | None], None]  # of metrics, and at points of the curve a state
Sums = dict[str, tuple[float, float]]  # of a measure a sum, and the count that it is divided by
Point = dict[str, float]  # of a curve: its metrics
Batch = TypeVar("Batch")


class Stateful(Protocol):
    """A network or an optimiser: what a checkpoint keeps of a training."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Learner(Protocol):
    """A network of which a part may stay as it is."""

    def learnt(self) -> "dict[str, Tensor]": ...
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any: ...


@dataclass(frozen=True)
class Learnt:
    """What a checkpoint keeps of such a network; what stays as it is comes from its own folder."""

    net: Learner

    def state_dict(self) -> "dict[str, Tensor]":
        return self.net.learnt()

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        return self.net.load_state_dict(state_dict, strict=False)


@dataclass
class Position:
    """Where a training is, beside its weights: plain numbers, as they go into a checkpoint."""

    step: int = 0
    sums: Sums = field(default_factory=dict)  # of this worker since the last point
    history: list[dict[str, float]] = field(default_factory=list)  # the curve
    best_step: int = 0
    best_epoch: int = 0  # 0 where points have no ``epoch``
    best_loss: float = math.inf  # on validation


class Progress:
    """Counts the steps of a training, reports its curve with states to go on from, and keeps the best weights.

    A loop with it is its batches, its step and its points: `protray.training.tasks.sites.fit.fit` is a short one.

    Parameters
    ----------
    parts : mapping
        All that a step changes; they are loaded from `resume`, the state of a point, where there is one.
    best : str
        The part whose weights at the lowest validation loss are kept as ``state["best"]``.
    total : int
        Steps of the whole training.
    patience : float
        Steps without a better point after which it ends before that.
    better : callable, optional
        Whether a point is better than the best before it; default: its validation loss is lower.
    """

    def __init__(
        self, parts: Mapping[str, Stateful], best: str, total: int, report: Report, resume: dict | None = None,
        patience: float = math.inf, better: Callable[[Point, Point], bool] | None = None,
    ) -> None:  # fmt: skip
        self.parts, self.best_of, self.total, self.report, self.patience = parts, parts[best], total, report, patience
        self.better = better
        self.at, self.state = Position(), resume or {}
        if resume:
            for name, part in parts.items():
                part.load_state_dict(resume[name])
            self.at = Position(**copy.deepcopy(resume["position"]))
        self.best: dict[str, Tensor] = resume["best"] if resume else copied(self.best_of)
        self._since = self.at.step, time.monotonic()

    @property
    def step(self) -> int:
        """Steps that were taken."""
        return self.at.step

    @property
    def ended(self) -> bool:
        """After the last step, or since validation has got no better for too long."""
        return self.step >= self.total or self.step - self.at.best_step >= self.patience

    @property
    def steps_per_second(self) -> float:
        """Since the last point."""
        step, clock = self._since
        return (self.step - step) / (time.monotonic() - clock)

    def add(self, found: Sums) -> None:
        """Count a step, and add up what it found."""
        self.at.sums = added(self.at.sums, found)
        self.at.step += 1

    def means(self, world: "World") -> dict[str, float]:
        """``train/...``, what steps found since the last point, on all workers."""
        return {f"train/{name}": mean for name, mean in world.means(self.at.sums).items()}

    def due(self, every: int) -> bool:
        """Whether the curve has a point here: after each `every` steps, and after the last."""
        return not self.step % every or self.step == self.total

    def tell(self) -> None:
        """Report between points, without a state."""
        self.report({"step": self.step, "of": self.total}, None)

    def point(self, metrics: dict[str, float]) -> None:
        """Report a point of the curve with its ``validation/loss``, and a state to go on from; all workers do."""
        at, loss = self.at, metrics["validation/loss"]
        if self._is_best(metrics):
            at.best_step, at.best_epoch, at.best_loss = at.step, int(metrics.get("epoch", 0)), loss
            self.best = copied(self.best_of)
        metrics = {"step": at.step, "of": at.step if self.ended else self.total} | metrics
        at.history.append(metrics)
        at.sums, self._since = {}, (at.step, time.monotonic())
        self.state = {name: part.state_dict() for name, part in self.parts.items()}
        self.state |= {"best": self.best, "position": asdict(at)}
        self.report(metrics, self.state)

    def _is_best(self, metrics: Point) -> bool:
        if self.better is None:
            return metrics["validation/loss"] < self.at.best_loss
        best = [point for point in self.at.history if point["step"] == self.at.best_step]
        return not best or self.better(metrics, best[0])


def from_step(batches: Callable[[int], Iterable[Batch]], per_epoch: int, step: int) -> Iterator[Batch]:
    """The batches of step `step` and of all that follow, for ever; `batches` gives the `per_epoch` of an epoch.

    >>> list(islice(from_step(lambda epoch: [f"{epoch}a", f"{epoch}b"], 2, 1), 3))
    ['0b', '1a', '1b']
    """
    first, done = divmod(step, per_epoch)
    for epoch in count(first):
        yield from islice(batches(epoch), done if epoch == first else 0, None)


def added(one: Mapping[str, tuple[Any, float]], other: Mapping[str, tuple[Any, float]]) -> dict[str, tuple[Any, float]]:
    """Sums and counts of both; a measure that only one has stays.

    >>> added({"a": (1.0, 2)}, {"a": (0.5, 1), "b": (3.0, 1)})
    {'a': (1.5, 3), 'b': (3.0, 1)}
    """
    both = {name: (one[name][0] + other[name][0], one[name][1] + other[name][1]) for name in one if name in other}
    return {**one, **other, **both}


def copied(part: Stateful) -> "dict[str, Tensor]":
    """Its weights as they are now."""
    return {name: weight.detach().clone() for name, weight in part.state_dict().items()}
