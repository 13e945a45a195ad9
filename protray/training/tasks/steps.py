"""One step of any task's network, shared by workers; it ends the same for any number of them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.world import World


def take_step(
    net: nn.Module, optimizer: torch.optim.Optimizer, rows: Sequence[Any], loss_of: Callable[[Any], Tensor],
    config: Any, step: int, world: World, blame: Callable[[], NonFiniteLossError], *, allow_unused: bool = False,
) -> float:  # fmt: skip
    """Step on the sum of `loss_of` over the micro-batches of all workers' rows; returns it.

    Dropout is drawn anew for each micro-batch from (seed, step, its number).

    Parameters
    ----------
    rows : sequence
        Of the whole step; ``config.micro_batch`` of them go to `loss_of` at a time.
    config
        With ``micro_batch``, ``seed`` and ``clip``, the largest norm of the gradient.
    blame : callable
        The error for a loss or a gradient that is not finite; nothing is changed by such a step.
    allow_unused : bool
        Whether weights may have no part in a loss.
    """
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    sums = [torch.zeros_like(weight) for weight in weights]
    loss = torch.zeros(1, device=world.device)
    groups = [rows[start : start + config.micro_batch] for start in range(0, len(rows), config.micro_batch)]
    net.train()
    for number in range(world.rank, len(groups), world.size):
        torch.manual_seed(key(config.seed, "dropout", step, number))
        found = loss_of(groups[number])
        for total, part in zip(sums, torch.autograd.grad(found, weights, allow_unused=allow_unused), strict=True):
            if part is not None:
                total.add_(part)
        loss += found.detach()
    world.add([*sums, loss])
    if not math.isfinite(loss.item()) or not all(total.isfinite().all() for total in sums):
        raise blame()
    for weight, total in zip(weights, sums, strict=True):
        weight.grad = total
    nn.utils.clip_grad_norm_(weights, config.clip)
    optimizer.step()
    return loss.item()
