"""Pre-train SSDM's encoder on its objectives, and keep the weights that do best on validation chains.

It knows no Ray: it reports, and goes on from what it reported.  A step is shared by workers in whole micro-batches,
and ends the same for any number of them.

Shape key:  B crops of a micro-batch   L residues
"""

import copy
import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from protray.data.structure.atoms import AtomStructures
from protray.models.joint.objective_heads import ObjectiveHeads
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.neighbours import Neighbours
from protray.models.structure.structure_batch import StructureBatch
from protray.plm.masked import has_bf16
from protray.plm.sequence_encoder import SequenceEncoder
from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.groups import parameter_groups
from protray.training.progress import Learnt, Progress, Report, Sums, added
from protray.training.structure.ssdm_batches import MicroBatch, micro_batch
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_draws import Visit, draw, micro_batches, steps, validation
from protray.training.structure.ssdm_objectives import (
    Encoder,
    Losses,
    contrast_pulls,
    objective_losses,
    step_loss,
)
from protray.training.threads import Map, side_by_side
from protray.training.updates import descend, follow, group_norms, learning_rate, summed
from protray.training.world import World

REMEDY = "lower the learning rate"  # coordinates are whole numbers of 0.01 Å, and all of them finite


class Pretrained(nn.Module):
    """What learns: the joint encoder, and the heads of its objectives."""

    def __init__(self, model: Ssdm, objectives: ObjectiveConfig) -> None:
        super().__init__()
        bins = objectives.angle_bins, objectives.dihedral_bins
        self.model, self.heads = model, ObjectiveHeads(model.channels, objectives.terms(), *bins)

    def parameter_groups(self, learning_rate: float) -> list[dict]:
        """For an optimiser; see `protray.training.groups.parameter_groups`."""
        if self.model.lm is None:
            return [{"params": list(self.parameters()), "lr": learning_rate}]
        rest = [self.model.encoder, self.model.fusion, self.heads]
        return parameter_groups(self.model.lm, rest, learning_rate, self.model.config.lm_lr_ratio)

    def learnt(self) -> dict[str, Tensor]:
        """All weights but those of a language model that stays as it is, which may be a hundred times as many."""
        fixed = "model.lm." if self.model.config.lm_lr_ratio == 0 else None
        return {name: weight for name, weight in self.state_dict().items() if not fixed or not name.startswith(fixed)}


def fit(
    config: SsdmConfig, objectives: ObjectiveConfig, settings: SsdmFitConfig, total: int, chains: AtomStructures,
    held_out: Sequence[MicroBatch], report: Report, resume: dict | None = None, world: World = World(),  # noqa: B008
    encoder: dict[str, Tensor] | None = None,
) -> dict:  # fmt: skip
    """Take `total` steps and return the last state; its ``"best"`` are the weights with the lowest validation loss,
    as of `Pretrained.learnt`.  The structure encoder begins with the weights `encoder`, by default at random.

    All workers call `report(metrics, state)` together: every `settings.validate_every` steps and at the end with a
    state, else with ``step`` and ``of`` alone.  A state given back as `resume` continues exactly there.

    Raises
    ------
    NonFiniteLossError
        As soon as a loss or a gradient is not finite, with the ids of the chains; nothing was changed by them.
    """
    net = fresh(config, objectives, settings.seed, encoder).to(world.device)
    average = copy.deepcopy(net)
    if config.lm_lr_ratio == 0:
        average.model.lm = net.model.lm
    groups = net.parameter_groups(settings.learning_rate)
    rates = [group["lr"] / settings.learning_rate for group in groups]
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)
    parts = {"net": Learnt(net), "average": Learnt(average), "optimizer": optimizer}
    progress, last = Progress(parts, "average", total, report, resume), math.nan
    plan = steps(chains.lengths, settings, objectives, progress.step)
    try:
        with side_by_side(world.device) as at_once:
            while not progress.ended:
                rate = learning_rate(progress.step, total, settings)
                for group, ratio in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * ratio
                visits = micro_batches(next(plan), settings)[world.rank :: world.size]
                found = _update(net, optimizer, chains, visits, config, objectives, settings, world, at_once)
                last = sum(found[term][0] / max(found[term][1], 1) for term in objectives.terms())
                progress.add(found)
                follow(average, net, min(settings.ema, progress.step / (10 + progress.step)))
                if not progress.due(settings.validate_every):
                    progress.tell()
                    continue
                metrics = progress.means(world) | {"train/world_size": world.size, "train/learning_rate": rate}
                metrics["train/loss"] = weighted(metrics, objectives, "train/")
                metrics["train/steps_per_second"] = progress.steps_per_second
                measured = evaluate(average, held_out, objectives, config.net.neighbours, world, at_once)
                if not math.isfinite(measured["loss"]):
                    raise NonFiniteLossError(f"the validation loss is not finite: {REMEDY}")
                progress.point(metrics | {f"validation/{name}": value for name, value in measured.items()})
    except NonFiniteLossError as error:
        raise NonFiniteLossError.at(f"after step {progress.step} of {total}", str(error), last) from None
    return progress.state


def fresh(
    config: SsdmConfig, objectives: ObjectiveConfig, seed: int, encoder: dict[str, Tensor] | None = None
) -> Pretrained:
    """The network before its training; with the weights `encoder` of a structure encoder of the same shape.

    What a serial fusion adds to that begins with zeros: the encoder then says what it said alone.
    """
    torch.manual_seed(key(seed, "ssdm"))
    lm = None if config.lm is None else SequenceEncoder(config.lm, trained=config.lm_lr_ratio > 0)
    net = Pretrained(Ssdm(config, lm, lm.channels if lm else 0), objectives)
    if encoder is not None:
        net.model.encoder.load_state_dict(net.model.encoder.state_dict() | encoder)
    return net


def batch_of(
    chains: AtomStructures, visits: Sequence[Visit], objectives: ObjectiveConfig, settings: SsdmFitConfig,
    neighbours: int,
) -> MicroBatch:  # fmt: skip
    """The crops of some visits, with all that is drawn for them."""
    draws = [
        draw(chains.chain(visit.row), visit, settings, objectives, neighbours, chains.clusters[visit.row] or None)
        for visit in visits
    ]
    return micro_batch(draws, objectives)


def validation_batches(
    chains: AtomStructures, objectives: ObjectiveConfig, settings: SsdmFitConfig, neighbours: int
) -> list[MicroBatch]:
    """One crop of each validation chain as it is stored, the same for every seed."""
    plain = replace(settings, seed=0, side_chain_drop=0.0, backbone_drop=0.0)
    groups = validation(chains.ids, chains.lengths, plain, objectives)
    return [batch_of(chains, visits, objectives, plain, neighbours) for visits in groups]


def _update(
    net: Pretrained, optimizer: torch.optim.Optimizer, chains: AtomStructures, visits: list[list[Visit]],
    config: SsdmConfig, objectives: ObjectiveConfig, settings: SsdmFitConfig, world: World, at_once: Map,
) -> Sums:  # fmt: skip
    """Take one step on the losses of all workers' crops; returns this worker's sums and counts."""
    neighbours = config.net.neighbours

    def drawn(group: list[Visit]) -> MicroBatch:
        return batch_of(chains, group, objectives, settings, neighbours).to(world.device)

    batches = list(at_once(drawn, visits))
    terms = list(objectives.terms())
    asked = world.sum([float(sum(batch.counts[term] for batch in batches)) for term in terms])
    counts = dict(zip(terms, asked, strict=True))
    net.train()
    encoder = _encoder(net.model, settings, world)
    pulls = contrast_pulls(encoder, net.heads, batches, objectives, neighbours, world)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    def gradient(pair: tuple) -> tuple[Sequence[Tensor | None], Losses]:
        found = objective_losses(encoder, net.heads, pair[0], objectives, neighbours, world, pair[1])
        loss = step_loss(found, counts, objectives)
        parts = torch.autograd.grad(loss, weights, allow_unused=True) if loss.requires_grad else [None] * len(weights)
        return parts, {term: (total.detach(), count) for term, (total, count) in found.items()}

    gradients, losses = summed(weights, at_once(gradient, zip(batches, pulls, strict=True)), world)
    broken = [
        group for group, found in zip(visits, losses, strict=True)
        if not all(math.isfinite(total) for total, _ in found.values())
    ]  # fmt: skip
    if broken:
        raise NonFiniteLossError(_not_finite("loss", chains, broken))
    norms = group_norms(optimizer, gradients)
    norm = descend(optimizer, weights, gradients, settings.clip)
    if not math.isfinite(norm):
        world.sum([0.0])  # a worker whose loss is to blame has raised above, and is the one to be heard
        raise NonFiniteLossError(_not_finite("gradient", chains, visits))
    found = numbers(functools.reduce(added, losses, {})) | {"gradient_norm": (norm, 1.0)}
    return found | {f"gradient_norm/{name}": (one, 1.0) for name, one in norms.items()}


def _encoder(model: Ssdm, settings: SsdmFitConfig, world: World) -> Encoder:
    """The encoder as a step asks it."""

    def encode(batch: StructureBatch, neighbours: Neighbours | None) -> Tensor:
        with torch.autocast(torch.device(world.device).type, torch.bfloat16, settings.bf16 and has_bf16()):
            return model(batch, neighbours).float()

    return encode


def _not_finite(what: str, chains: AtomStructures, visits: list[list[Visit]]) -> str:
    named = ", ".join(dict.fromkeys(chains.ids[visit.row] for group in visits for visit in group))
    return f"the {what} is not finite with the chains {named}: {REMEDY}"


@torch.no_grad()
def evaluate(
    net: Pretrained, batches: Sequence[MicroBatch], objectives: ObjectiveConfig, neighbours: int,
    world: World = World(), at_once: Map = map,  # noqa: B008  (frozen)
) -> dict[str, float]:  # fmt: skip
    """Mean of each loss and measure over all batches, shared among the workers, and ``loss``, their weighted sum."""
    net.eval()

    @torch.no_grad()
    def measured(batch: MicroBatch) -> Losses:
        return objective_losses(net.model, net.heads, batch.to(world.device), objectives, neighbours, report=True)

    losses = at_once(measured, batches[world.rank :: world.size])
    found = world.means(numbers(functools.reduce(added, losses, {})))
    return {"loss": weighted(found, objectives)} | found


def numbers(losses: Losses) -> Sums:
    """Sums and counts without tensors."""
    return {name: (float(total), float(count)) for name, (total, count) in losses.items()}


def weighted(found: dict[str, float], objectives: ObjectiveConfig, prefix: str = "") -> float:
    """The sum of the objectives' losses with their weights; what no batch asked for costs nothing."""
    return sum(weight * found.get(f"{prefix}{term}", 0.0) for term, weight in objectives.terms().items())
