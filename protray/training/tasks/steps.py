"""One step of any task's network, shared by workers; it ends the same for any number of them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.updates import descend, summed
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
    groups = [rows[start : start + config.micro_batch] for start in range(0, len(rows), config.micro_batch)]
    net.train()

    def gradient(number: int) -> tuple[list[Tensor | None], None]:
        torch.manual_seed(key(config.seed, "dropout", step, number))
        loss = loss_of(groups[number])
        return [*torch.autograd.grad(loss, weights, allow_unused=allow_unused), loss.detach()], None

    # the loss is one more number to add up, in the same message to the other workers
    added = [*weights, torch.zeros(1, device=world.device)]
    (*gradients, loss), _ = summed(added, map(gradient, range(world.rank, len(groups), world.size)), world)
    if not loss.isfinite() or not math.isfinite(descend(optimizer, weights, gradients, config.clip)):
        raise blame()
    return loss.item()
