"""Train the network for interaction sites, and predict with it.  Knows no Ray: it reports, and goes on from that.

Shape key:  B proteins of a batch   L residues of a protein
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from protray.data.collate import in_order, order
from protray.data.sites.batch import FeatureSet, site_batch, training_values
from protray.data.sites.table import SiteProtein
from protray.losses.sites import cross_entropy
from protray.models.tasks.site_config import SiteNetConfig
from protray.models.tasks.site_net import SiteNet
from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.tasks.sites_steps import SiteFitConfig
from protray.training.tasks.steps import take_step
from protray.training.world import World

Report = Callable[[dict[str, float], dict | None], None]
AT_ONCE = 8  # proteins that are predicted together


@dataclass
class Position:
    """Where a training is, beside its weights."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])  # losses and steps since the last point


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
    total = config.steps(len(train))
    per_epoch = total // config.epochs
    lengths = np.array([len(protein.sequence) for protein in train])
    at, best, state = Position(), net.state_dict(), resume or {}
    if resume:
        net.load_state_dict(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        at, best = Position(**copy.deepcopy(resume["position"])), resume["best"]
    while at.step < total:
        epoch = at.step // per_epoch
        for rows in islice(order(lengths, config.batch, config.seed, epoch), at.step % per_epoch, None):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * at.step / total))
            loss = _update(net, optimizer, [train[row] for row in rows], wanted, config, at.step, world)
            at.step += 1
            at.sums = [at.sums[0] + loss, at.sums[1] + 1]
            if at.step % per_epoch:
                report({"step": at.step, "of": total}, None)
        metrics: dict[str, float] = {"step": at.step, "of": total, "epoch": epoch + 1}
        metrics["train/loss"] = at.sums[0] / at.sums[1]
        metrics |= validate(net, validation, wanted, world)
        at.history.append(metrics)
        at.sums = [0.0, 0.0]
        if metrics["validation/loss"] < at.best_loss:
            at.best_epoch, at.best_loss = epoch + 1, metrics["validation/loss"]
            best = {name: value.clone() for name, value in net.state_dict().items()}
        state = {"model": net.state_dict(), "best": best, "optimizer": optimizer.state_dict(), "position": asdict(at)}
        report(metrics, state)
    return state


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
