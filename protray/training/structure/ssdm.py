"""Pre-train SSDM's encoder on its objectives, and keep the weights that do best on validation chains.

It knows no Ray: it reports, and goes on from what it reported.  A step is shared by workers in whole micro-batches,
and ends the same for any number of them.

Shape key:  B crops of a micro-batch   L residues
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor, nn

from protray.data.atoms import AtomStructures
from protray.models.joint.objective_heads import ObjectiveHeads
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import SsdmConfig
from protray.plm.sequence_encoder import SequenceEncoder
from protray.seq.keyed import key
from protray.training.errors import NonFiniteLossError
from protray.training.groups import parameter_groups
from protray.training.structure.ssdm_batches import MicroBatch, micro_batch
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_draws import Visit, draw, micro_batches, steps, validation
from protray.training.structure.ssdm_objectives import (
    Losses,
    added,
    contrast_pulls,
    objective_losses,
    step_loss,
)
from protray.training.threads import Map, side_by_side
from protray.training.updates import follow, learning_rate
from protray.training.world import World

Report = Callable[[dict[str, float], dict | None], None]
REMEDY = "lower the learning rate"  # coordinates are whole numbers of 0.01 Å, and all of them finite


@dataclass
class Position:
    """Where a run is, beside its weights."""

    step: int = 0
    sums: dict[str, list[float]] = field(default_factory=dict)  # since the last report: of each loss, and its count
    history: list[dict[str, float]] = field(default_factory=list)  # the curve
    best_step: int = 0
    best_loss: float = math.inf  # on validation


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
) -> dict:  # fmt: skip
    """Take `total` steps and return the last state; its ``"best"`` are the weights with the lowest validation loss,
    as of `Pretrained.learnt`.

    All workers call `report(metrics, state)` together: every `settings.validate_every` steps and at the end with a
    state, else with ``step`` and ``of`` alone.  A state given back as `resume` continues exactly there.

    Raises
    ------
    NonFiniteLossError
        As soon as a loss or a gradient is not finite, with the ids of the chains; nothing was changed by them.
    """
    net = fresh(config, objectives, settings.seed).to(world.device)
    average = copy.deepcopy(net)
    if config.lm_lr_ratio == 0:
        average.model.lm = net.model.lm
    groups = net.parameter_groups(settings.learning_rate)
    rates = [group["lr"] / settings.learning_rate for group in groups]
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)
    at, best = Position(), net.learnt()
    if resume:
        net.load_state_dict(resume["net"], strict=False)
        average.load_state_dict(resume["average"], strict=False)
        optimizer.load_state_dict(resume["optimizer"])
        at, best = Position(**copy.deepcopy(resume["position"])), resume["best"]
    clock, steps_then, last, state = time.monotonic(), at.step, math.nan, resume or {}
    plan = steps(chains.lengths, settings, objectives, at.step)
    try:
        with side_by_side(world.device) as at_once:
            while at.step < total:
                rate = learning_rate(at.step, total, settings)
                for group, ratio in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * ratio
                visits = micro_batches(next(plan), settings)[world.rank :: world.size]
                found = _update(net, optimizer, chains, visits, config, objectives, settings, world, at_once)
                last = sum(found[term][0] / max(found[term][1], 1) for term in objectives.terms())
                at.sums = _joined(at.sums, found)
                at.step += 1
                follow(average, net, min(settings.ema, at.step / (10 + at.step)))
                if at.step % settings.validate_every and at.step < total:
                    report({"step": at.step, "of": total}, None)
                    continue
                metrics: dict[str, float] = {"step": at.step, "of": total}
                metrics |= {f"train/{name}": value for name, value in means(at.sums, objectives, world).items()}
                metrics["train/learning_rate"], metrics["train/world_size"] = rate, world.size
                metrics["train/steps_per_second"] = (at.step - steps_then) / (time.monotonic() - clock)
                measured = evaluate(average, held_out, objectives, config.net.neighbours, world, at_once)
                metrics |= {f"validation/{name}": value for name, value in measured.items()}
                if not math.isfinite(metrics["validation/loss"]):
                    raise NonFiniteLossError(f"the validation loss is not finite: {REMEDY}")
                at.history.append(metrics)
                if metrics["validation/loss"] < at.best_loss:
                    at.best_step, at.best_loss = at.step, metrics["validation/loss"]
                    best = {name: value.clone() for name, value in average.learnt().items()}
                at.sums, clock, steps_then = {}, time.monotonic(), at.step
                state = {
                    "net": net.learnt(), "average": average.learnt(), "best": best,
                    "optimizer": optimizer.state_dict(), "position": asdict(at),
                }  # fmt: skip
                report(metrics, state)
    except NonFiniteLossError as error:
        raise NonFiniteLossError.at(f"after step {at.step} of {total}", str(error), last) from None
    return state


def fresh(config: SsdmConfig, objectives: ObjectiveConfig, seed: int) -> Pretrained:
    """The network before its training."""
    torch.manual_seed(key(seed, "ssdm"))
    lm = None if config.lm is None else SequenceEncoder(config.lm, trained=config.lm_lr_ratio > 0)
    return Pretrained(Ssdm(config, lm, lm.channels if lm else 0), objectives)


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
) -> dict[str, list[float]]:  # fmt: skip
    """Take one step on the losses of all workers' crops; returns this worker's sums and counts."""
    neighbours = config.net.neighbours

    def drawn(group: list[Visit]) -> MicroBatch:
        return batch_of(chains, group, objectives, settings, neighbours).to(world.device)

    batches = list(at_once(drawn, visits))
    terms = list(objectives.terms())
    summed = world.sum([float(sum(batch.counts[term] for batch in batches)) for term in terms])
    counts = dict(zip(terms, summed, strict=True))
    net.train()
    pulls = contrast_pulls(net.model, net.heads, batches, objectives, neighbours, world)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    def gradient(pair: tuple) -> tuple[list[Tensor | None], Losses]:
        found = objective_losses(net.model, net.heads, pair[0], objectives, neighbours, world, pair[1])
        loss = step_loss(found, counts, objectives)
        parts = torch.autograd.grad(loss, weights, allow_unused=True) if loss.requires_grad else [None] * len(weights)
        return list(parts), {term: (total.detach(), count) for term, (total, count) in found.items()}

    sums = [torch.zeros_like(weight) for weight in weights]
    found: Losses = {}
    broken: list[list[Visit]] = []
    for group, (parts, losses) in zip(visits, at_once(gradient, zip(batches, pulls, strict=True)), strict=True):
        for total, part in zip(sums, parts, strict=True):
            if part is not None:
                total.add_(part)
        if not all(math.isfinite(total) for total, _ in losses.values()):
            broken.append(group)
        found = added(found, losses)
    world.add(sums)
    if broken:
        raise NonFiniteLossError(_not_finite("loss", chains, broken))
    norm = nn.utils.get_total_norm(sums)
    if not norm.isfinite():
        world.sum([0.0])  # a worker whose loss is to blame has raised above, and is the one to be heard
        raise NonFiniteLossError(_not_finite("gradient", chains, visits))
    for weight, total in zip(weights, sums, strict=True):
        weight.grad = total
    nn.utils.clip_grads_with_norm_(weights, settings.clip, norm)
    optimizer.step()
    measured = {name: [float(loss), float(count)] for name, (loss, count) in found.items()}
    return measured | {"gradient_norm": [norm.item(), 1.0]}


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

    found: Losses = {}
    for losses in at_once(measured, batches[world.rank :: world.size]):
        found = added(found, losses)
    sums = {name: [float(loss), float(count)] for name, (loss, count) in found.items()}
    return means(sums, objectives, world)


def means(sums: dict[str, list[float]], objectives: ObjectiveConfig, world: World) -> dict[str, float]:
    """Sums of all workers over their counts, and ``loss``, the weighted sum of the objectives' own."""
    names = world.union(sums)  # a noise level may have come up on one worker alone
    flat = world.sum([number for name in names for number in sums.get(name, [0.0, 0.0])])
    found = {name: flat[2 * at] / flat[2 * at + 1] for at, name in enumerate(names) if flat[2 * at + 1]}
    terms = objectives.terms()
    return {"loss": sum(weight * found.get(term, 0.0) for term, weight in terms.items())} | found


def _joined(one: dict[str, list[float]], other: dict[str, list[float]]) -> dict[str, list[float]]:
    return one | {
        name: [a + b for a, b in zip(pair, one.get(name, [0.0, 0.0]), strict=True)] for name, pair in other.items()
    }
