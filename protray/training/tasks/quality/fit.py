"""Train GraphQA, and predict with it.  Knows no Ray: it reports, and goes on from what it reported.

Shape key:  V residues of a batch   G decoys of a batch   S scores   L residues of a decoy
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from protray.data.decoys.graphs import DecoyBatch, Extras, Widths, decoy_batch, no_extras
from protray.data.decoys.linear import logit_fits
from protray.data.decoys.table import Decoy
from protray.losses.quality import mean_squared_error, squared_error
from protray.models.tasks.graphqa import GraphQa
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL, GraphQaConfig
from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.progress import Progress, Report, from_step
from protray.training.tasks.quality.steps import QualityFitConfig, epoch_batches
from protray.training.tasks.steps import take_step
from protray.training.tasks.turns import Train
from protray.training.updates import half_cosine
from protray.training.world import World

Opened = tuple[Widths, Extras]
HALVED_EVERY = 250  # epochs


def fit(
    net_config: GraphQaConfig, widths: Widths, train: Sequence[Decoy], validation: Sequence[Decoy],
    config: QualityFitConfig, report: Report, resume: dict | None = None, world: World = World(),  # noqa: B008
    extras: Extras = no_extras,
) -> dict:  # fmt: skip
    """Train and return the last state; its ``"best"`` are the weights with the lowest validation loss.

    Dropout is drawn anew for each micro-batch from (seed, step, its number): the same for any number of workers.

    Raises
    ------
    NonFiniteLossError
        As soon as a loss is not finite, with the ids of the decoys; nothing was changed by it.
    """
    torch.manual_seed(key(config.seed, "graphqa"))
    net = GraphQa(net_config, widths.residue, widths.pair).to(world.device)
    if net_config.linear and not resume:
        net.set_linear(*logit_fits(train))
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    of_target: dict[str, list[Decoy]] = defaultdict(list)
    for decoy in train:
        of_target[decoy.target].append(decoy)
    total, per_epoch = config.steps(len(of_target)), config.per_epoch(len(of_target))
    progress = Progress({"model": net, "optimizer": optimizer}, "model", total, report, resume)
    batches = from_step(partial(epoch_batches, of_target, config), per_epoch, progress.step)
    while not progress.ended:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress.step, total, per_epoch, config)
        loss = _update(net, optimizer, next(batches), config, progress.step, extras, world)
        progress.add({"loss": (loss, 1)})
        if progress.due(config.validate_every * per_epoch):
            found = progress.means(world) | validate(net, validation, config, extras, world)
            progress.point({"epoch": progress.step // per_epoch} | found)
        else:
            progress.tell()
    return progress.state


def row_trainings(
    rows: Mapping[str, Callable[[], Opened]], net: GraphQaConfig, train: Sequence[Decoy], validation: Sequence[Decoy],
    config: QualityFitConfig, world: World,
) -> dict[str, Train]:  # fmt: skip
    """The training of a network on each kind of embeddings; `rows` open them when their turn comes."""
    total = config.steps(len({decoy.target for decoy in train}))

    def train_row(open_extras: Callable[[], Opened], report: Report, resume: dict | None) -> dict:
        if resume and resume["position"]["step"] == total:
            return resume
        widths, extras = open_extras()
        return fit(net, widths, train, validation, config, report, resume, world, extras)

    return {name: partial(train_row, open_extras) for name, open_extras in rows.items()}


def learning_rate(step: int, total: int, per_epoch: int, config: QualityFitConfig) -> float:
    """Half a cosine down to 0, or half as much every 250 epochs."""
    if config.constant:
        return config.learning_rate * 0.5 ** (step // per_epoch // HALVED_EVERY)
    return config.learning_rate * half_cosine(step / total)


def _update(
    net: GraphQa, optimizer: torch.optim.Optimizer, decoys: list[Decoy], config: QualityFitConfig, step: int,
    extras: Extras, world: World,
) -> float:  # fmt: skip
    """Take one step on the mean squared errors of all workers' decoys; returns their loss."""
    known_S = np.concatenate([known(decoys, "local_LS"), known(decoys, "global_S")])
    counts_S = torch.from_numpy(known_S).to(world.device)

    def loss_of(group: list[Decoy]) -> Tensor:
        return mean_squared_error(errors(net, decoy_batch(group, net.config, extras), world)[0], counts_S)

    def blame() -> NonFiniteLossError:
        ids = ", ".join(decoy.id for decoy in decoys)
        return NonFiniteLossError(f"step {step + 1}: the loss is not finite with the decoys {ids}")

    # the last round's edges of a graph without them have no part in its loss
    return take_step(net, optimizer, decoys, loss_of, config, step, world, blame, allow_unused=True)


def known(decoys: Sequence[Decoy], name: str) -> np.ndarray:
    """How many of each score are known, int64, shape (S,)."""
    return sum(np.isfinite(np.atleast_2d(getattr(decoy, name))).sum(axis=0) for decoy in decoys)  # type: ignore[return-value]


def errors(net: GraphQa, batch: DecoyBatch, world: World) -> tuple[Tensor, Tensor]:
    """Sums of squared errors and counts of every score, those of residues first; shape (S,)."""
    local_VS, global_GS = net(batch.graphs.to(world.device))
    of_residues = squared_error(local_VS, batch.local_VS.to(world.device))
    of_models = squared_error(global_GS, batch.global_GS.to(world.device))
    return torch.cat([of_residues[0], of_models[0]]), torch.cat([of_residues[1], of_models[1]])


@torch.no_grad()
def validate(
    net: GraphQa, decoys: Sequence[Decoy], config: QualityFitConfig, extras: Extras, world: World
) -> dict[str, float]:
    """Loss over all decoys, and the root mean squared error of every score that is known of any."""
    net.eval()
    groups = [decoys[start : start + config.micro_batch] for start in range(0, len(decoys), config.micro_batch)]
    names = [*(f"residue_{name}" for name in LOCAL), *GLOBAL]
    sums_2S = torch.zeros(2, len(names), dtype=torch.float64)
    for group in groups[world.rank :: world.size]:
        sums_2S += torch.stack(errors(net, decoy_batch(group, net.config, extras), world)).double().cpu()
    sums_S, counts_S = torch.tensor(world.sum(sums_2S.flatten().tolist()), dtype=torch.float64).view(2, -1)
    root_S = (sums_S / counts_S.clamp(min=1)).sqrt()
    found = {"validation/loss": float(mean_squared_error(sums_S, counts_S))}
    rows = zip(names, root_S.tolist(), counts_S.tolist(), strict=True)
    return found | {f"validation/{name}_rmse": root for name, root, count in rows if count}


@torch.no_grad()
def predict(
    net: GraphQa, decoys: Sequence[Decoy], extras: Extras = no_extras, batch: int = 4, device: str = "cpu"
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores of residues (L, S) and of the whole (S,) of each decoy, as in `LOCAL` and `GLOBAL`."""
    net.to(device).eval()
    found = []
    for start in range(0, len(decoys), batch):
        group = decoys[start : start + batch]
        local_VS, global_GS = net(decoy_batch(group, net.config, extras).graphs.to(device))
        parts = local_VS.cpu().split([len(decoy.sequence) for decoy in group])
        found += [(one.numpy(), whole.numpy()) for one, whole in zip(parts, global_GS.cpu(), strict=True)]
    return found
