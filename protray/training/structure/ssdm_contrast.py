"""The contrast of a whole step, exact for any number of workers and micro-batches.

Every worker computes the loss of all N proteins.  The vectors of other workers come to it without gradient, and every
summand in which one of its own occurs is there: its gradient is what the full loss owes to its rows, and gradients that
are added up over workers (`World.add`) are those of one process.  Where they are averaged instead, as by DDP, losses
are to be multiplied by the number of workers, like any sum over a step.

Shape key:  B proteins of a micro-batch   N of the step   C channels
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from protray.losses.contrast import contrast_losses
from protray.losses.self_prediction import Sum
from protray.training.structure.ssdm_config import ObjectiveConfig
from protray.training.world import World

Views = tuple[Tensor, Tensor]  # vectors of both views, shape (B, C) each


@dataclass(frozen=True)
class Pull:
    """What the full loss is of the proteins of a micro-batch, and its gradient by their vectors."""

    loss: Tensor
    gradient_2BC: Tensor


def gathered(rows_BX: Tensor, world: World) -> tuple[Tensor, slice]:
    """The rows of all workers, as many from each, without gradient; and which are this one's."""
    count = len(rows_BX)
    own = slice(world.rank * count, (world.rank + 1) * count)
    all_NX = rows_BX.new_zeros(world.size * count, *rows_BX.shape[1:])
    all_NX[own] = rows_BX.detach()
    world.add([all_NX])
    return all_NX, own


def contrast_term(views: Views, cluster_B: Tensor, config: ObjectiveConfig, world: World) -> Sum:
    """The sum over own proteins, with the gradient of the sum over all; for a worker with one micro-batch."""
    cluster_N, own = gathered(cluster_B, world)

    def every(y_BC: Tensor) -> Tensor:
        all_NC, _ = gathered(y_BC, world)
        return torch.cat([all_NC[: own.start], y_BC, all_NC[own.stop :]])

    loss_N = contrast_losses(every(views[0]), every(views[1]), cluster_N, config.tau, config.symmetric)
    total = loss_N.sum()
    return loss_N[own].detach().sum() + (total - total.detach()), len(cluster_B)


def pulls(
    vectors: list[Callable[[], Views]], clusters: list[Tensor], config: ObjectiveConfig, world: World
) -> list[Pull]:
    """A first pass without gradient over the micro-batches of a step: what to pull their vectors with in the second.

    `vectors` give those of each micro-batch.
    """
    with torch.no_grad():
        parts = [torch.stack(views()) for views in vectors]
    sizes = [part.shape[1] for part in parts]
    cluster_N, own = gathered(torch.cat(clusters), world)
    all_N2C, _ = gathered(torch.cat(parts, dim=1).transpose(0, 1), world)
    all_2NC = all_N2C.transpose(0, 1).contiguous().requires_grad_()
    with torch.enable_grad():
        loss_N = contrast_losses(all_2NC[0], all_2NC[1], cluster_N, config.tau, config.symmetric)
    (gradient_2NC,) = torch.autograd.grad(loss_N.sum(), all_2NC)
    losses, gradients = loss_N.detach()[own].split(sizes), gradient_2NC[:, own].split(sizes, dim=1)
    return [Pull(loss_B.sum(), gradient_2BC) for loss_B, gradient_2BC in zip(losses, gradients, strict=True)]


def pulled_term(views: Views, pull: Pull) -> Sum:
    """As `contrast_term`, in the second pass."""
    along = (torch.stack(views) * pull.gradient_2BC).sum()
    return pull.loss + (along - along.detach()), len(views[0])
