"""Train heads on frozen embeddings, and predict with them.  Knows no Ray: it reports, and goes on from that.

Shape key:  N rows (proteins, or mutations)   C channels of their embedding   T labels, or 1   B rows of a step
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from protray.losses.heads import class_loss, label_loss, value_loss
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig, Kind
from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.tasks.head_steps import HeadFitConfig, epoch_batches
from protray.training.tasks.steps import take_step
from protray.training.tasks.turns import Train, in_turn
from protray.training.world import World

Report = Callable[[dict[str, float], dict | None], None]
AT_ONCE = 1024  # rows that are validated or predicted together


@dataclass(frozen=True)
class Examples:
    """Rows with what is known of them."""

    x_NC: np.ndarray  # float32
    y_NT: np.ndarray  # float32; 0 and 1 for labels

    def __len__(self) -> int:
        return len(self.x_NC)


@dataclass
class Position:
    """Where a training is, beside its weights."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    ended: bool = False  # after all epochs, or since validation got no better


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
    at, best, state = Position(), _copied(net), resume or {}
    if resume:
        net.load_state_dict(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        at, best = Position(**copy.deepcopy(resume["position"])), resume["best"]
    per_epoch = config.per_epoch(len(train))
    while not at.ended:
        epoch, losses = at.step // per_epoch, []
        for rows_B in islice(epoch_batches(len(train), config, epoch), at.step % per_epoch, None):
            losses.append(_update(net, optimizer, train, rows_B, config, at.step, world))
            at.step += 1
        found = validate(net, validation, world)
        if found < at.best_loss:
            at.best_epoch, at.best_loss, best = epoch + 1, found, _copied(net)
        at.ended = epoch + 1 == config.epochs or epoch + 1 - at.best_epoch >= config.patience
        metrics: dict[str, float] = {
            "step": at.step, "of": at.step if at.ended else config.steps(len(train)), "epoch": epoch + 1,
            "train/loss": float(np.mean(losses)), "validation/loss": found,
        }  # fmt: skip
        at.history.append(metrics)
        state = {
            "model": net.state_dict(), "best": best, "optimizer": optimizer.state_dict(), "position": asdict(at)
        }  # fmt: skip
        report(metrics, state)
    return state


def fit_rows(
    rows: Mapping[str, Callable[[], tuple[Examples, Examples]]], net: HeadConfig, kind: Kind, config: HeadFitConfig,
    report: Report, resume: dict | None, world: World,
) -> None:  # fmt: skip
    """Train a head on each embedding, one after another; see `row_trainings`."""
    in_turn(row_trainings(rows, net, kind, config, world), report, resume)


def row_trainings(
    rows: Mapping[str, Callable[[], tuple[Examples, Examples]]], net: HeadConfig, kind: Kind, config: HeadFitConfig,
    world: World,
) -> dict[str, Train]:  # fmt: skip
    """The training of a head on each embedding; `rows` read their examples when their turn comes."""

    def train(read: Callable[[], tuple[Examples, Examples]], report: Report, resume: dict | None) -> dict:
        return fit(net, kind, *read(), config, report, resume, world)

    return {name: partial(train, read) for name, read in rows.items()}


def _copied(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


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
