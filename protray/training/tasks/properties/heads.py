"""Train heads on frozen embeddings, and predict with them.  Knows no Ray: it reports, and goes on from that.

Shape key:  N rows (proteins, or mutations)   C channels of their embedding   T labels, or 1   B rows of a step
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from protray.losses.heads import class_loss, label_loss, value_loss
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig, Kind
from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.progress import Progress, Report, from_step
from protray.training.tasks.properties.head_steps import HeadFitConfig, epoch_batches
from protray.training.tasks.steps import take_step
from protray.training.tasks.turns import Train
from protray.training.world import World

AT_ONCE = 1024  # rows that are validated or predicted together


@dataclass(frozen=True)
class Examples:
    """Rows with what is known of them."""

    x_NC: np.ndarray  # float32
    y_NT: np.ndarray  # float32; 0 and 1 for labels

    def __len__(self) -> int:
        return len(self.x_NC)


def fit(
    net_config: HeadConfig, kind: Kind, train: Examples, validation: Examples, config: HeadFitConfig, report: Report,
    resume: dict | None = None, world: World = World(),  # noqa: B008
) -> dict:  # fmt: skip
    """Train and return the last state; its ``"best"`` are the weights with the lowest validation loss.

    Dropout is drawn anew for each micro-batch from (seed, step, its number): the same for any number of workers.

    Raises NonFiniteLossError as soon as a loss is not finite; nothing was changed by it.
    """
    torch.manual_seed(key(config.seed, "head"))
    net = Head(net_config, kind, train.x_NC.shape[1], train.y_NT.shape[1])
    net.standardise(torch.from_numpy(train.x_NC), torch.from_numpy(train.y_NT))
    net.to(world.device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    total, per_epoch = config.steps(len(train)), config.per_epoch(len(train))
    parts = {"model": net, "optimizer": optimizer}
    progress = Progress(parts, "model", total, report, resume, patience=config.patience * per_epoch)
    batches = from_step(partial(epoch_batches, len(train), config), per_epoch, progress.step)
    while not progress.ended:
        loss = _update(net, optimizer, train, next(batches), config, progress.step, world)
        progress.add({"loss": (loss, 1)})
        if progress.due(per_epoch):
            found = progress.means(world) | {"validation/loss": validate(net, validation, world)}
            progress.point({"epoch": progress.step // per_epoch} | found)
    return progress.state


def row_trainings(
    rows: Mapping[str, Callable[[], tuple[Examples, Examples]]], net: HeadConfig, kind: Kind, config: HeadFitConfig,
    world: World,
) -> dict[str, Train]:  # fmt: skip
    """The training of a head on each embedding; `rows` read their examples when their turn comes."""

    def train(read: Callable[[], tuple[Examples, Examples]], report: Report, resume: dict | None) -> dict:
        return fit(net, kind, *read(), config, report, resume, world)

    return {name: partial(train, read) for name, read in rows.items()}


def _loss(net: Head, examples: Examples, rows_B: np.ndarray, world: World) -> Tensor:
    """Sum over some rows."""
    x_BC, y_BT = (torch.from_numpy(part[rows_B]).to(world.device) for part in (examples.x_NC, examples.y_NT))
    return loss_sum(net, net(x_BC), y_BT)


def loss_sum(net: Head, found_BT: Tensor, y_BT: Tensor) -> Tensor:
    """The sum of the losses of what a head of its kind gave."""
    if net.kind == "value":
        return value_loss(found_BT, y_BT, net.scale_T)
    return (label_loss if net.kind == "labels" else class_loss)(found_BT, y_BT)


def _update(
    net: Head, optimizer: torch.optim.Optimizer, train: Examples, rows_B: np.ndarray, config: HeadFitConfig, step: int,
    world: World,
) -> float:  # fmt: skip
    """Take one step on the mean loss over all workers' rows; returns it."""
    size = len(rows_B) * train.y_NT.shape[1]

    def blame() -> NonFiniteLossError:
        return NonFiniteLossError.at(f"step {step + 1}", "the loss or its gradient is not finite")

    def loss_of(group_B: np.ndarray) -> Tensor:
        return _loss(net, train, group_B, world) / size

    return take_step(net, optimizer, rows_B, loss_of, config, step, world, blame)  # type: ignore[arg-type]


@torch.no_grad()
def validate(net: Head, validation: Examples, world: World) -> float:
    """The mean loss over all rows."""
    net.eval()
    parts = np.array_split(np.arange(len(validation)), -(-len(validation) // AT_ONCE))
    losses = [_loss(net, validation, rows_B, world).double() for rows_B in parts[world.rank :: world.size]]
    (total,) = world.sum([float(sum(losses))])
    return total / validation.y_NT.size


def predict(net: Head, x_NC: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Probabilities of labels, or numbers, of each row; float32, shape (N, T)."""
    net.to(device).eval()
    parts = [net.predict(torch.from_numpy(x_NC[start : start + AT_ONCE]).to(device)).cpu().numpy()
             for start in range(0, len(x_NC), AT_ONCE)]  # fmt: skip
    return np.concatenate([np.empty((0, net.mean_T.shape[0]), np.float32), *parts])
