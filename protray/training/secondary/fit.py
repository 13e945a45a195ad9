"""The epoch loop of every secondary-structure network: train, score on validation, keep the best, resume exactly."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from protray.data.collate import Batch
from protray.training.errors import NonFiniteLossError
from protray.training.world import World, bare

Report = Callable[[dict[str, float], dict | None], None]


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Optimisation; the batch is global, whatever the number of workers."""

    epochs: int = 15
    per_batch: int = 16  # proteins in a global batch
    learning_rate: float = 2e-3  # of Adam; the paper's is 0.01, the released code's 0.001
    decay_every: int = 50  # epochs; the paper's
    decay: float = 0.5  # factor; the paper does not say
    anneal: bool = True  # half a cosine down to 0 at the last epoch, in place of the paper's steps
    clip: float = 10.0  # largest norm of the gradient, as in the released code
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "per_batch", "decay_every", "learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def learning_rate_at(self, epoch: float) -> float:
        """The learning rate at a fractional epoch, counted from 0."""
        if self.anneal:
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))
        return self.learning_rate * self.decay ** (epoch // self.decay_every)


def fit(
    step: nn.Module,
    batches: Callable[[int], Iterable[Batch]],
    n_batches: int,
    score: Callable[[], dict[str, float]],
    config: FitConfig,
    report: Report,
    resume: dict | None = None,
    world: World = World(),  # noqa: B008  (frozen)
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Train `step`; return its weights at the epoch with the highest validation score, and the metrics of all epochs.

    Parameters
    ----------
    step : Module
        ``step(batch, world_size) -> (loss, parts)``, with losses over the global batch.
    batches : callable
        Epoch -> this worker's share of that epoch's `n_batches` global batches.
    score : callable
        Metrics of `step` on the validation split, among them ``validation/score``, of which more is better; the same
        on every worker.
    report : callable
        Called with the metrics of each epoch and the state that `resume` takes to continue after it; between epochs
        without a state.  All have ``step``, the batches that are done, and ``of``, those there are.
    """
    model = world.wrap(step)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=config.learning_rate)
    first, best_score, best = 0, -math.inf, _copy(step)
    history: list[dict[str, float]] = []
    if resume:
        step.load_state_dict(resume["weights"])
        optimizer.load_state_dict(resume["optimizer"])
        first, best_score, best, history = (resume[name] for name in ("epoch", "best_score", "best", "history"))
    for epoch in range(first, config.epochs):
        metrics = _epoch(model, optimizer, trained, batches(epoch), n_batches, epoch, config, report, world)
        step.eval()
        metrics |= score()
        if metrics["validation/score"] > best_score:
            best_score, best = metrics["validation/score"], _copy(step)
        places = {"step": (epoch + 1) * n_batches, "of": config.epochs * n_batches}
        history = [*history, metrics | {"epoch": epoch + 1} | places]
        state = {
            "weights": step.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch + 1,
            "best_score": best_score,
            "best": best,
            "history": history,
        }
        report(history[-1], state)
    return best, history


def _epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, trained: list[nn.Parameter], batches: Iterable[Batch],
    n_batches: int, epoch: int, config: FitConfig, report: Report, world: World,
) -> dict[str, float]:  # fmt: skip
    bare(model).train()
    totals: dict[str, float] = {}
    shown = time.monotonic()
    for number, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate_at(epoch + number / n_batches)
        loss, parts = model(batch.to(world.device), world.size)
        if not torch.isfinite(loss):
            raise NonFiniteLossError(f"loss is {loss.item()} in epoch {epoch + 1}, batch {number} with {batch.ids}")
        loss.backward()
        norm = nn.utils.clip_grad_norm_(trained, config.clip)
        optimizer.step()
        optimizer.zero_grad()
        for name, value in ({"loss": loss.detach()} | parts).items():
            totals[name] = totals.get(name, 0.0) + value.item() / world.size
        totals["gradient_norm"] = totals.get("gradient_norm", 0.0) + norm.item() / world.size
        if time.monotonic() - shown > 1.0:
            shown = time.monotonic()
            report({"step": epoch * n_batches + number + 1, "of": config.epochs * n_batches}, None)
    names = sorted(totals)
    summed = world.sum([totals[name] for name in names])
    means = {f"train/{name}": value / n_batches for name, value in zip(names, summed, strict=True)}
    return means | {"train/world_size": world.size}


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in module.state_dict().items()}
