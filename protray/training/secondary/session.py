"""Run the stages of a PSSM-Distil run one after another, each kept on disk when it is finished.

Shape key:  B proteins in a batch   L residues   A amino-acid types (20)   S states
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from protray.data.location import Location
from protray.data.secondary.collate import Batch, Totals, collate, in_order, order
from protray.data.secondary.dataset import Proteins
from protray.data.secondary.features import FeatureConfig, Features
from protray.models.secondary.ss_classifier import three_states
from protray.seq.downsample import Prior
from protray.seq.keyed import key
from protray.training.secondary.finished import PER_BATCH, evaluated, finish, is_finished
from protray.training.secondary.fit import Report, Share, fit
from protray.training.secondary.stage_features import stage_features
from protray.training.secondary.stages import Stage, build, rows_of, training_rows
from protray.training.secondary.steps import Reconstruct
from protray.training.threads import Map, threads
from protray.training.world import World


def run_stages(
    stages: list[Stage],
    folders: dict[str, Location],
    proteins: Proteins,
    features: FeatureConfig,
    report: Callable[[dict, dict | None], None],
    resume: dict | None = None,
    world: World = World(),  # noqa: B008  (frozen)
    known: dict[str, dict[str, Tensor]] | None = None,
) -> None:
    """Train every stage whose folder is not finished, then predict the validation and test splits with it.

    `report` gets the metrics with the name of their ``stage``; the state has it too, so that `resume` finds its stage.
    `known` has weights of stages that are not in their folder.
    """
    for stage in stages:
        # of all workers: a file that one node wrote a moment ago may not be seen on another one yet
        if world.sum([float(is_finished(folders[stage.name]))])[0]:
            continue
        state = resume["fit"] if resume and resume["stage"] == stage.name else None
        earlier = known or {}
        if stage.after and stage.after not in earlier:
            earlier = {stage.after: load_file((folders[stage.after] / "model.safetensors").fetch())}

        def staged(metrics: dict[str, float], state: dict | None, name: str = stage.name) -> None:
            report({"stage": name} | metrics, state and {"stage": name, "fit": state})

        torch.manual_seed(key(stage.networks.fit.seed, stage.kind))  # first weights: those of a stage's ablations, too
        step = build(stage, earlier).to(world.device)
        best, history = train_stage(stage, step, proteins, features, staged, state, world)
        step.load_state_dict(best)
        finish(stage, step, history, folders[stage.name], proteins, features, world)


def train_stage(
    stage: Stage, step: nn.Module, proteins: Proteins, config: FeatureConfig, report: Report, resume: dict | None,
    world: World,
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:  # fmt: skip
    """Fit one stage; returns its best weights and the metrics of its epochs."""
    rows = rows_of(stage, proteins)
    validation_rows(proteins)  # better an error now than after the first epoch
    prior = Prior.of(proteins.msa_counts[training_rows(proteins, "all")]) if stage.lowering == "prior" else None
    features = stage_features(stage, proteins, config, prior)
    settings = stage.networks.fit
    lengths = proteins.lengths[rows]

    parts = threads(world.device)

    def batches(epoch: int) -> Iterator[Share]:
        for chosen in order(lengths, settings.per_batch, settings.seed, epoch):
            global_rows = rows[chosen]
            totals, mine = Totals.of(proteins, global_rows), global_rows[world.rank :: world.size]
            each = [mine[n::parts] for n in range(min(parts, len(mine)))]
            yield Share([functools.partial(_batch, features, own, totals, stage, epoch) for own in each], totals)

    n_batches = len(order(lengths, settings.per_batch, settings.seed, 0))
    score = functools.partial(validate, step, stage, features, world)
    return fit(step, batches, n_batches, score, settings, report, resume, world)


def _batch(features: Features, mine: np.ndarray, totals: Totals, stage: Stage, epoch: int) -> Batch:
    examples = [features.example(int(row), stage.lowering, epoch) for row in mine]
    keys = [key(stage.networks.fit.seed, "dropout", epoch, example.id) for example in examples]
    return collate(examples, totals, keys)


def validation_rows(proteins: Proteins) -> np.ndarray:
    """Labelled rows of the validation split."""
    rows = proteins.of_split("validation")
    labelled = rows[proteins.labelled[rows] > 0]
    if not len(labelled):
        raise ValueError(f"none of the {len(rows)} validation proteins has labels, so no epoch can be chosen")
    return labelled


def validate(step: nn.Module, stage: Stage, features: Features, world: World, at_once: Map = map) -> dict[str, float]:
    """Score on the validation split: mean per-protein Q3, or minus the reconstruction error of Eq. 8.

    The teacher's Q3 is that of deep proteins, where there are any: what it makes of shallow ones teaches nobody.
    """
    rows = validation_rows(features.proteins)
    deep = rows[features.proteins.deep[rows]]
    if stage.kind == "classify" and stage.train_on == "deep" and len(deep):
        rows = deep
    if isinstance(step, Reconstruct):
        if not len(deep):  # nothing to rebuild in a shallow validation split; what it learnt from has to do
            deep = training_rows(features.proteins, "deep")

        @torch.no_grad()
        def errors(chosen: np.ndarray) -> tuple[float, float]:
            examples = [features.example(int(row), stage.lowering, epoch=-1) for row in chosen]
            batch = collate(examples, Totals.of(features.proteins, chosen)).to(world.device)
            _, parts = step(batch)
            return parts["loss_m"].item() * batch.totals.residues, batch.totals.residues

        mean = _mean(errors, deep, features, world, at_once)
        return {"validation/loss_m": mean, "validation/score": -mean}

    @torch.no_grad()
    def right(chosen: np.ndarray) -> tuple[float, float]:
        batch = evaluated(features, chosen, world)
        predicted_BL = three_states(step.logits(batch)).argmax(dim=-1)  # type: ignore[operator]
        known_BL = batch.ss3_BL >= 0
        right_B = ((predicted_BL == batch.ss3_BL) & known_BL).sum(1) / known_BL.sum(1)
        return right_B.sum().item(), float(len(batch.ids))

    mean = _mean(right, rows, features, world, at_once)
    return {"validation/q3": mean, "validation/score": mean}


def _mean(
    sums: Callable[[np.ndarray], tuple[float, float]], rows: np.ndarray, features: Features, world: World, at_once: Map
) -> float:
    """Sum over the batches of all workers of what `sums` gives first, divided by that of what it gives second."""
    chosen = in_order(rows[world.rank :: world.size], PER_BATCH, features.proteins.lengths)
    found = list(at_once(sums, chosen))
    total, n = world.sum([sum(column) for column in zip(*found, strict=True)] if found else [0.0, 0.0])
    return total / n
