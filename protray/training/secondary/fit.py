"""The epoch loop of every secondary-structure network: train, score on validation, keep the best, resume exactly."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from protray.data.secondary.collate import Batch, Totals
from protray.training.errors import NonFiniteLossError
from protray.training.micro_batches import check_positive
from protray.training.progress import Report, copied
from protray.training.secondary.steps import Count
from protray.training.threads import Map, side_by_side
from protray.training.updates import descend, half_cosine, summed
from protray.training.world import World


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
        check_positive(self, "epochs", "per_batch", "decay_every", "learning_rate", "clip")

    def learning_rate_at(self, epoch: float) -> float:
        """The learning rate at a fractional epoch, counted from 0."""
        if self.anneal:
            return self.learning_rate * half_cosine(epoch / self.epochs)
        return self.learning_rate * self.decay ** (epoch // self.decay_every)


@dataclass(frozen=True)
class Share:
    """One worker's part of a global batch, cut so that each part is prepared and computed by a thread."""

    parts: Sequence[Callable[[], Batch]]  # none where there are more workers than proteins
    totals: Totals  # of the whole batch


def fit(
    step: nn.Module,
    batches: Callable[[int], Iterable[Share]],
    n_batches: int,
    score: Callable[[Map], dict[str, float]],
    config: FitConfig,
    report: Report,
    resume: dict | None = None,
    world: World = World(),  # noqa: B008  (frozen)
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Train `step`; return its weights at the epoch with the highest validation score, and the metrics of all epochs.

    Parameters
    ----------
    step : Module
        ``step(batch) -> (loss, parts)``, shares of means over the global batch; ``step.per`` names the total that
        each of them, the loss included, is a mean over.
    batches : callable
        Epoch -> this worker's share of that epoch's `n_batches` global batches.
    score : callable
        Metrics of `step` on the validation split, among them ``validation/score``, of which more is better; the same
        on every worker.  It is given the map that works on batches side by side.
    report : callable
        Called with the metrics of each epoch and the state that `resume` takes to continue after it; between epochs
        without a state.  All have ``step``, the batches that are done, and ``of``, those there are.

    Raises
    ------
    NonFiniteLossError
        As soon as a loss is NaN or infinite, with the proteins of its batch.
    """
    step = step.to(world.device)
    optimizer = torch.optim.Adam([w for w in step.parameters() if w.requires_grad], lr=config.learning_rate, fused=True)
    first, best_score, best = 0, -math.inf, copied(step)
    history: list[dict[str, float]] = []
    if resume:
        step.load_state_dict(resume["weights"])
        optimizer.load_state_dict(resume["optimizer"])
        first, best_score, best, history = (resume[name] for name in ("epoch", "best_score", "best", "history"))
    with side_by_side(world.device) as at_once:
        for epoch in range(first, config.epochs):
            metrics = _epoch(step, optimizer, batches(epoch), n_batches, epoch, config, report, world, at_once)
            step.eval()
            metrics |= score(at_once)
            if metrics["validation/score"] > best_score:
                best_score, best = metrics["validation/score"], copied(step)
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
    step: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[Share], n_batches: int, epoch: int,
    config: FitConfig, report: Report, world: World, at_once: Map,
) -> dict[str, float]:  # fmt: skip
    """Train on an epoch's batches; the metrics are sums over all their residues, divided by the number of these."""
    step.train()
    per: dict[str, Count] = step.per  # type: ignore[assignment]
    sums, counts = dict.fromkeys(per, 0.0), dict.fromkeys(per, 0.0)
    norms, last, shown = 0.0, math.nan, time.monotonic()
    for number, share in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate_at(epoch + number / n_batches)
        try:
            found, norm = _update(step, optimizer, share, config, world, at_once)
        except NonFiniteLossError as error:
            where = f"epoch {epoch + 1}, batch {number + 1} of {n_batches}"
            raise NonFiniteLossError.at(where, str(error), last) from None
        for name, count in per.items():
            sums[name] += found[name] * getattr(share.totals, count)
            counts[name] += getattr(share.totals, count)
        norms += norm
        last = found["loss"]
        if time.monotonic() - shown > 1.0:
            shown = time.monotonic()
            report({"step": epoch * n_batches + number + 1, "of": config.epochs * n_batches}, None)
    summed = world.sum(list(sums.values()))
    means = {f"train/{name}": value / max(counts[name], 1.0) for name, value in zip(sums, summed, strict=True)}
    return means | {"train/gradient_norm": norms / n_batches, "train/world_size": world.size}


def _update(
    step: nn.Module, optimizer: torch.optim.Optimizer, share: Share, config: FitConfig, world: World, at_once: Map,
) -> tuple[dict[str, float], float]:  # fmt: skip
    """Take one step; returns this worker's share of the means over the batch, and the norm of the gradient."""
    weights = [weight for weight in step.parameters() if weight.requires_grad]

    def gradient(part: Callable[[], Batch]) -> tuple[tuple[Tensor, ...], tuple[list[str], dict[str, float]]]:
        batch = part().to(world.device)
        loss, parts = step(batch)
        found = {name: value.item() for name, value in ({"loss": loss.detach()} | parts).items()}
        return torch.autograd.grad(loss, weights), (batch.ids, found)

    gradients, found = summed(weights, at_once(gradient, share.parts), world)
    for ids, of_part in found:
        if not math.isfinite(of_part["loss"]):
            raise NonFiniteLossError(f"the loss is {of_part['loss']} with {ids}")
    norm = descend(optimizer, weights, gradients, config.clip)
    if not math.isfinite(norm):
        world.sum([0.0])  # a worker whose loss is to blame has raised above, and is the one to be heard
        raise NonFiniteLossError(f"the gradient is not finite with {[id for ids, _ in found for id in ids]}")
    return {name: sum(of_part[name] for _, of_part in found) for name in step.per}, norm  # type: ignore[union-attr]
