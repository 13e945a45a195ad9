"""Train the network for interaction sites, and predict with it.  Knows no Ray: it reports, and goes on from that.

Shape key:  B proteins of a batch   L residues of a protein
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from protray.data.secondary.collate import in_order, order
from protray.data.sites.batch import FeatureSet, site_batch, training_values
from protray.data.sites.table import SiteProtein
from protray.losses.sites import cross_entropy
from protray.models.tasks.site_config import SiteNetConfig
from protray.models.tasks.site_net import SiteNet
from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.progress import Progress, Report, from_step
from protray.training.tasks.sites.steps import SiteFitConfig
from protray.training.tasks.steps import take_step
from protray.training.updates import half_cosine
from protray.training.world import World

AT_ONCE = 8  # proteins that are predicted together


def fit(
    net_config: SiteNetConfig, wanted: FeatureSet, train: Sequence[SiteProtein], validation: Sequence[SiteProtein],
    config: SiteFitConfig, report: Report, resume: dict | None = None, world: World = World(),  # noqa: B008
) -> dict:  # fmt: skip
    """Train and return the last state; its ``"best"`` are the weights with the lowest validation loss.

    Dropout is drawn anew for each micro-batch from (seed, step, its number): the same for any number of workers.

    Raises
    ------
    NonFiniteLossError
        As soon as a loss is not finite, with the ids of the proteins; nothing was changed by it.
    """
    torch.manual_seed(key(config.seed, "sites"))
    net = SiteNet(net_config, wanted.width, wanted.channels)
    net.set_scales(*training_values(train, wanted))
    net.to(world.device)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    total, per_epoch = config.steps(len(train)), config.per_epoch(len(train))
    lengths = np.array([len(protein.sequence) for protein in train])
    progress = Progress({"model": net, "optimizer": optimizer}, "model", total, report, resume)
    batches = from_step(partial(order, lengths, config.batch, config.seed), per_epoch, progress.step)
    while not progress.ended:
        proteins = [train[row] for row in next(batches)]
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * half_cosine(progress.step / total)
        loss = _update(net, optimizer, proteins, wanted, config, progress.step, world)
        progress.add({"loss": (loss, 1)})
        if progress.due(per_epoch):
            found = progress.means(world) | validate(net, validation, wanted, world)
            progress.point({"epoch": progress.step // per_epoch} | found)
        else:
            progress.tell()
    return progress.state


def _update(
    net: SiteNet, optimizer: torch.optim.Optimizer, proteins: list[SiteProtein], wanted: FeatureSet,
    config: SiteFitConfig, step: int, world: World,
) -> float:  # fmt: skip
    """Take one step on the mean cross-entropy over the labelled residues of all workers' proteins; returns it."""
    labelled = max(1, sum(int(protein.known_L.sum()) for protein in proteins))

    def blame() -> NonFiniteLossError:
        ids = ", ".join(protein.id for protein in proteins)
        return NonFiniteLossError(f"step {step + 1}: the loss is not finite with the proteins {ids}")

    def loss_of(group: list[SiteProtein]) -> Tensor:
        return _loss(net, group, wanted, world) / labelled

    return take_step(net, optimizer, proteins, loss_of, config, step, world, blame)


def _loss(net: SiteNet, proteins: Sequence[SiteProtein], wanted: FeatureSet, world: World) -> Tensor:
    inputs, label_BL = site_batch(proteins, wanted)
    return cross_entropy(net(inputs.to(world.device)), label_BL.to(world.device))


@torch.no_grad()
def validate(net: SiteNet, proteins: Sequence[SiteProtein], wanted: FeatureSet, world: World) -> dict[str, float]:
    """Cross-entropy in nats a labelled residue."""
    net.eval()
    groups = [proteins[start : start + AT_ONCE] for start in range(0, len(proteins), AT_ONCE)]
    mine = sum(float(_loss(net, group, wanted, world)) for group in groups[world.rank :: world.size])
    labelled = sum(int(protein.known_L.sum()) for protein in proteins)
    return {"validation/loss": world.sum([mine])[0] / max(1, labelled)}


@torch.no_grad()
def predict(net: SiteNet, proteins: Sequence[SiteProtein], wanted: FeatureSet, device: str = "cpu") -> list[np.ndarray]:
    """Probabilities of being a site of each protein's residues, float32, shape (L,)."""
    net.to(device).eval()
    found: list[np.ndarray] = [np.empty(0, np.float32)] * len(proteins)
    lengths = np.array([len(protein.sequence) for protein in proteins])
    for rows in in_order(np.arange(len(proteins)), AT_ONCE, lengths):
        inputs, _ = site_batch([proteins[row] for row in rows], wanted)
        prob_BL = net(inputs.to(device)).sigmoid().cpu().numpy()
        for row, prob_L in zip(rows, prob_BL, strict=True):
            found[row] = prob_L[: lengths[row]].copy()
    return found
