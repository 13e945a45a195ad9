"""What steps of trainings have in common: rates on the way, gradients of many micro-batches, the mean of weights."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from protray.training.world import World

Found = TypeVar("Found")


def half_cosine(done: float) -> float:
    """From 1 down to 0, as a training goes from its beginning (0) to its end (1)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def learning_rate(step: int, total: int, config: Any) -> float:
    """Linear warm-up, then half a cosine down to 0 at the last step, or constant.

    `config` has ``learning_rate``, its peak, ``warmup`` in steps, and ``constant``.
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.constant:
        return config.learning_rate
    return config.learning_rate * half_cosine((step - config.warmup) / max(total - config.warmup, 1))


def summed(
    weights: Sequence[Tensor], found: Iterable[tuple[Sequence[Tensor | None], Found]], world: World
) -> tuple[list[Tensor], list[Found]]:
    """Add gradients up over the micro-batches of all workers.

    Parameters
    ----------
    weights : sequence of Tensor
        What the gradients are of.
    found : iterable
        Of each micro-batch of this worker its gradients, None where there is none, and anything else.

    Returns
    -------
    sums, rest
        The sums, each in its weight's order of memory, which fused Adam takes for granted; and all that else was found.
    """
    sums, rest = [torch.zeros_like(weight) for weight in weights], []
    for gradients, more in found:
        for total, part in zip(sums, gradients, strict=True):
            if part is not None:
                total.add_(part)
        rest.append(more)
    world.add(sums)
    return sums, rest


def group_norms(optimizer: torch.optim.Optimizer, gradients: Sequence[Tensor]) -> dict[str, float]:
    """Norms of the gradients of both groups of `parameter_groups`, by their names; {} where there is one group.

    Ask before `descend`, which may make them shorter.
    """
    groups, apart = optimizer.param_groups, iter(gradients)
    if len(groups) == 1:
        return {}
    norms = [nn.utils.get_total_norm([next(apart) for _ in group["params"]]).item() for group in groups]
    return dict(zip(("rest", "language_model"), norms, strict=True))


def descend(
    optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter], gradients: Sequence[Tensor], clip: float
) -> float:
    """Take a step, with gradients made shorter if their norm is above `clip`; returns the norm as it was.

    Nothing is changed where that is not finite: the caller says whose fault it is.
    """
    norm = nn.utils.get_total_norm(gradients)
    if norm.isfinite():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        nn.utils.clip_grads_with_norm_(weights, clip, norm)
        optimizer.step()
    return norm.item()


def follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the running mean of the weights towards those of `net`; a decay of 0 copies them.

    Weights that both share stay as they are.
    """
    pairs = zip(average.parameters(), net.parameters(), strict=True)
    means, weights = zip(*[(mean, weight) for mean, weight in pairs if mean is not weight], strict=True)
    get_ema_multi_avg_fn(decay)(means, weights, None)
