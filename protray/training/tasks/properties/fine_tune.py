"""Train an encoder on for a task, from the linear read-out of its frozen vectors on.

Before the first step the network says what the linear read-out says; then encoder, fusion and head learn together, and
a language model at a rate of its own.  It knows no Ray: it reports, and goes on from that.

Shape key:  N rows   M that can be read   B of a step   T labels, classes, or 1
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from protray.data.structure.atom_batches import collate, without_side_chains
from protray.models.layers import Noise
from protray.models.tasks.tuned import Tuned
from protray.seq.errors import first_of
from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.groups import parameter_groups
from protray.training.progress import Learnt, Progress, Report, from_step
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.properties.fine_tune_examples import Examples, Given
from protray.training.tasks.properties.head_steps import epoch_batches
from protray.training.tasks.properties.heads import loss_sum
from protray.training.tasks.steps import take_step
from protray.training.updates import learning_rate
from protray.training.world import World

AT_ONCE = 4096  # residues of a batch that is validated or predicted, padding among them; one protein at least
PATIENCE, LOWER = 5, 0.6  # of plateaus: epochs, and what the rate is multiplied by


@dataclass
class Clock:
    """Seconds that a training took, those before a restart among them."""

    before: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.before + time.monotonic() - self.since}

    def load_state_dict(self, state: dict[str, float], /) -> None:
        self.before = state["seconds"]


def fit(
    net: Tuned, train: Examples, validation: Examples, config: FineTuneConfig,
    quality: Callable[[np.ndarray], float], report: Report, resume: dict | None = None, world: World = World(),  # noqa: B008
) -> dict:  # fmt: skip
    """Train `net` and return the last state; its ``"best"`` are the weights of the best epoch (`Tuned.learnt`).

    Epoch 0 is `net` as it is given: what is kept is never worse on validation.

    Parameters
    ----------
    quality : callable
        Of predictions for the validation rows, shape (N, T); higher is better, and of equal ones the lower loss.
    report : callable
        All workers call it together: after each epoch with a state, before that with ``step`` and ``of`` alone.  A
        state given back as `resume` continues exactly there.

    Raises
    ------
    ValueError
        If no training row has a structure.
    NonFiniteLossError
        As soon as a loss or a gradient is not finite, with the ids of its rows; nothing was changed by them.
    """
    lengths_N = train.lengths_N
    known_M = np.flatnonzero(lengths_N)
    if not len(known_M):
        raise ValueError(f"none of {len(train.y_NT)} training rows has a structure to train on")
    net.to(world.device)
    groups = groups_of(net, config)
    rates = [group["lr"] / config.learning_rate for group in groups]
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    total, per_epoch = config.steps(len(known_M)), config.per_epoch(len(known_M))
    if not resume:
        _same_head(net, world)
    parts = {"net": Learnt(net), "optimizer": optimizer, "clock": Clock()}
    progress = Progress(parts, "net", total, report, resume, better=_better)
    batches = from_step(lambda past: epoch_batches(len(known_M), config, past + 1), per_epoch, progress.step)
    lower = 1.0

    def point(epoch: int) -> None:
        progress.point({"epoch": epoch} | progress.means(world) | _measured(net, validation, quality, world))

    if not progress.at.history:
        point(0)
    while not progress.ended:
        epoch = progress.step // per_epoch + 1
        if config.constant and not progress.step % per_epoch:
            lower = LOWER ** plateaus([one["validation/quality"] for one in progress.at.history])
        rate = learning_rate(progress.step, total, config) * lower
        for group, ratio in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * ratio
        rows_B = known_M[next(batches)]
        rows_B = rows_B[np.argsort(lengths_N[rows_B], kind="stable")]  # less padding
        loss = _update(net, optimizer, train, rows_B, config, epoch, progress.step, world)
        progress.add({"loss": (loss, 1)})
        progress.tell()
        if progress.due(per_epoch):
            point(epoch)
    return progress.state


def groups_of(net: Tuned, config: FineTuneConfig) -> list[dict]:
    """For an optimiser: the language model of a fusion at its own rate, and everything else, the fusion included."""
    encoder = net.encoder
    rest = [encoder.encoder, net.head, *([] if encoder.fusion is None else [encoder.fusion])]
    lm = torch.nn.Identity() if encoder.lm is None else encoder.lm
    return parameter_groups(lm, rest, config.learning_rate, 0 if encoder.lm is None else config.lm_lr_ratio)


def plateaus(qualities: Sequence[float]) -> int:
    """How often more than `PATIENCE` epochs in a row were no better than the best before them.

    >>> plateaus([0.1, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2]), plateaus([0.3] + 12 * [0.2])
    (0, 2)
    """
    best, bad, found = -math.inf, 0, 0
    for quality in qualities:
        best, bad = (quality, 0) if quality > best else (best, bad + 1)
        if bad > PATIENCE:
            found, bad = found + 1, 0
    return found


def _better(one: dict[str, float], other: dict[str, float]) -> bool:
    return (one["validation/quality"], -one["validation/loss"]) > (
        other["validation/quality"], -other["validation/loss"],
    )  # fmt: skip


def _same_head(net: Tuned, world: World) -> None:
    """Give all workers the head of the first: fitted apart, heads may differ in their last digits."""
    tensors = [tensor.data for tensor in (*net.head.parameters(), *net.head.buffers())]
    if world.rank:
        for tensor in tensors:
            tensor.zero_()
    world.add(tensors)


def _update(
    net: Tuned, optimizer: torch.optim.Optimizer, train: Examples, rows_B: np.ndarray, config: FineTuneConfig,
    epoch: int, step: int, world: World,
) -> float:  # fmt: skip
    """Take one step on the mean loss over all workers' rows; returns it."""
    size = len(rows_B) * (1 if net.head.kind == "class" else train.y_NT.shape[1])

    def loss_of(group_M: np.ndarray) -> Tensor:
        given = train.given(group_M, (config, epoch))
        noise = Noise([key(config.seed, epoch, id) for id in given.ids], [len(chain) for chain in given.chains])
        found_MT = _forward(net, given, world.device, noise)
        return loss_sum(net.head, found_MT, torch.from_numpy(train.y_NT[group_M]).to(world.device)) / size

    def blame() -> NonFiniteLossError:
        named = first_of([train.ids[row] for row in rows_B])
        what = f"the loss or its gradient is not finite with {named}: lower the learning rate"
        return NonFiniteLossError.at(f"step {step + 1}", what)

    return take_step(
        net, optimizer, rows_B, loss_of, config, step, world, blame, allow_unused=True  # type: ignore[arg-type]
    )  # fmt: skip


def _forward(net: Tuned, given: Given, device: str, noise: Noise | None = None) -> Tensor:
    batch = collate(given.chains) if net.side_chains else without_side_chains(collate(given.chains))
    return net(batch.to(device), given.read, noise)


@torch.no_grad()
def outputs(net: Tuned, examples: Examples, world: World = World()) -> Tensor:  # noqa: B008
    """What the network gives for whole rows, shape (N, T), on the CPU; without a structure, as of training means."""
    net.eval()
    lengths_N = examples.lengths_N
    groups: list[list[int]] = []
    order_N = np.argsort(lengths_N, kind="stable")
    for n in order_N[lengths_N[order_N] > 0]:  # each the longest of its group so far
        if not groups or (len(groups[-1]) + 1) * lengths_N[n] > AT_ONCE:
            groups.append([])
        groups[-1].append(int(n))
    found_NT = torch.zeros(examples.y_NT.shape, device=world.device)
    for group in groups[world.rank :: world.size]:
        found_NT[group] = _forward(net, examples.given(group), world.device)
    world.add([found_NT])
    unknown_1F = torch.full((1, len(net.head.mean_C)), math.nan, device=world.device)
    found_NT[torch.from_numpy(lengths_N == 0)] = net.head(unknown_1F)
    return found_NT.cpu()


def predict(net: Tuned, examples: Examples, device: str = "cpu") -> np.ndarray:
    """Probabilities of labels or classes, or numbers; float32, shape (N, T)."""
    return net.head.predicted(outputs(net.to(device), examples, World(device=device))).numpy()


def _measured(
    net: Tuned, validation: Examples, quality: Callable[[np.ndarray], float], world: World
) -> dict[str, float]:
    """Loss and quality of the validation rows, the same on all workers."""
    found_NT, y_NT = outputs(net, validation, world).to(world.device), torch.from_numpy(validation.y_NT)
    size = len(y_NT) * (1 if net.head.kind == "class" else y_NT.shape[1])
    loss = loss_sum(net.head, found_NT, y_NT.to(world.device)).item() / size
    if not math.isfinite(loss):
        raise NonFiniteLossError("the validation loss is not finite: lower the learning rate")
    return {"validation/loss": loss, "validation/quality": quality(net.head.predicted(found_NT).cpu().numpy())}
