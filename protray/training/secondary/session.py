"""Run the stages of a PSSM-Distil run one after another, each kept on disk when it is finished.

Shape key:  B proteins in a batch   L residues   A amino-acid types (20)   S states
"""

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from protray.data.location import Location
from protray.data.parquet import WRITING, read_parquet
from protray.data.secondary.collate import Batch, Totals, collate, in_order, order
from protray.data.secondary.dataset import Proteins
from protray.data.secondary.features import FeatureConfig, Features
from protray.models.secondary.ss_classifier import three_states
from protray.models.weight_files import save_weights
from protray.seq.alphabet import N_AA
from protray.seq.downsample import Prior
from protray.seq.keyed import key
from protray.training.secondary.fit import Report, Share, fit
from protray.training.secondary.stages import Stage, build, rows_of, training_rows
from protray.training.secondary.steps import Distil, Reconstruct
from protray.training.threads import Map, threads
from protray.training.world import World

log = logging.getLogger(__name__)

PER_BATCH = 32  # proteins, in evaluation
NOTHING_LA = np.empty((0, N_AA), dtype=np.float32)  # the enhanced PSSM of a stage that has none
RAW = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("prob", pa.list_(pa.float32())),  # L x S
        pa.field("pssm_enhanced", pa.list_(pa.float32())),  # L x 20; empty where a stage makes none
    ]
)


def stage_keys(
    stages: list[Stage], data: str, lm: str, features: FeatureConfig, unlabelled: str | None = None
) -> dict[str, str]:
    """Name -> hash of all that its result depends on, and of nothing else.

    `data` and `unlabelled` are digests of datasets, `lm` is that of the language model with the settings of its maps.
    """
    keys: dict[str, str] = {}
    for stage in stages:
        content = [depends_on(stage, lm, features), data, keys.get(stage.after or "")]
        content += [unlabelled] if unlabelled and stage.kind == "distil" else []
        keys[stage.name] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    return keys


def depends_on(stage: Stage, lm: str, features: FeatureConfig) -> dict:
    """What of its own settings, of the features and of the language model enters a stage's result."""
    networks, asked = stage.networks, stage_config(stage, features)
    found = {"kind": stage.kind, "train_on": stage.train_on, "lowering": stage.lowering, "fit": asdict(networks.fit)}
    found |= {"background": asked.background, "pseudocount": asked.pseudocount, "seed": asked.seed}
    if stage.kind != "reconstruct":
        found["classifier"] = asdict(networks.classifier)
    if stage.kind != "classify":
        found["enhance"] = asdict(networks.enhance)
    if stage.kind == "reconstruct":
        found["weights"] = {"l2": stage.weights.l2}
    if stage.kind == "distil":
        found["weights"] = asdict(stage.weights)
    if stage.lowering == "fixed-ratio":
        found["fixed_ratio"] = asked.fixed_ratio
    if stage.lowering == "prior":
        found["kept_deep"] = asked.kept_deep
    if asked.bert or asked.lm_hidden:
        found |= {"lm": lm, "drawing": asked.drawing, "lm_hidden": asked.lm_hidden}
    return found


def is_finished(folder: Location) -> bool:
    return (folder / "stage.json").is_file()


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


def stage_features(stage: Stage, proteins: Proteins, config: FeatureConfig, prior: Prior | None = None) -> Features:
    """The features that this stage's networks read, and no more."""
    return Features(proteins, stage_config(stage, config), prior)


def stage_config(stage: Stage, config: FeatureConfig) -> FeatureConfig:
    """The settings of the features, without what this stage's networks do not read."""
    networks = stage.networks
    needs_hidden = networks.enhance.extra > 0 or networks.classifier.extra > 0
    return replace(config, bert=networks.enhance.bert, lm_hidden=config.lm_hidden and needs_hidden)


def _batch(features: Features, mine: np.ndarray, totals: Totals, stage: Stage, epoch: int) -> Batch:
    examples = [features.example(int(row), stage.lowering, epoch) for row in mine]
    keys = [key(stage.networks.fit.seed, "dropout", epoch, example.id) for example in examples]
    return collate(examples, totals, keys)


def evaluation_batches(features: Features, rows: np.ndarray, world: World) -> Iterable[Batch]:
    """This worker's proteins with their natural PSSM, each exactly once; nothing is dropped or padded in."""
    for chosen in in_order(rows[world.rank :: world.size], PER_BATCH, features.proteins.lengths):
        yield _evaluated(features, chosen, world)


def _evaluated(features: Features, chosen: np.ndarray, world: World) -> Batch:
    examples = [features.example(int(row)) for row in chosen]
    return collate(examples, Totals.of(features.proteins, chosen)).to(world.device)


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
        batch = _evaluated(features, chosen, world)
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


@torch.no_grad()
def predict_batches(step: nn.Module, batches: Iterable[Batch]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield id, state probabilities (L, S) and enhanced PSSM (L, 20; empty without F_e) of each protein."""
    for batch in batches:
        enhanced_BLA = step.enhance(batch) if isinstance(step, Distil) else None
        logits_BLS = step.logits(batch) if enhanced_BLA is None else step.logits(batch, enhanced_BLA)  # type: ignore
        prob_BLS = logits_BLS.softmax(dim=-1).cpu().numpy()
        for row, (name, length) in enumerate(zip(batch.ids, batch.lengths_B.tolist(), strict=True)):
            made = enhanced_BLA is not None
            yield name, prob_BLS[row, :length], enhanced_BLA[row, :length].cpu().numpy() if made else NOTHING_LA


def finish(
    stage: Stage, step: nn.Module, history: list[dict[str, float]], folder: Location, proteins: Proteins,
    config: FeatureConfig, world: World,
) -> None:  # fmt: skip
    """Predict the validation and test splits (each worker its share) and write the stage's folder."""
    if stage.predicts:
        features = stage_features(stage, proteins, config)
        rows = np.concatenate([proteins.of_split("validation"), proteins.of_split("test")])
        predicted = [
            {"id": name, "prob": prob_LS.ravel(), "pssm_enhanced": enhanced_LA.ravel()}
            for name, prob_LS, enhanced_LA in predict_batches(step, evaluation_batches(features, rows, world))
        ]
        with (folder / f"predictions-{world.rank}-of-{world.size}.parquet").writing() as partial:
            pq.write_table(pa.Table.from_pylist(predicted, schema=RAW), partial, **WRITING)
    world.sum([0.0])  # a barrier: every share is written before the stage counts as finished
    if world.rank == 0:
        with (folder / "model.safetensors").writing() as partial:
            save_weights(step.state_dict(), partial)
        (folder / "stage.json").write_json({"stage": asdict(stage), "workers": world.size, "history": history})
    world.sum([0.0])


def read_history(folder: Location) -> list[dict[str, float]]:
    """The metrics of a finished stage's epochs."""
    return (folder / "stage.json").read_json()["history"]


def read_probabilities(folder: Location, states: int) -> tuple[dict, dict]:
    """What a finished stage predicted: id -> probabilities (L, S), and id -> enhanced PSSM (L, 20)."""
    workers = (folder / "stage.json").read_json()["workers"]
    files = [folder / f"predictions-{rank}-of-{workers}.parquet" for rank in range(workers)]
    parts = [read_parquet(file, remedy=f"remove {folder} and run the same command again") for file in files]
    table = pa.concat_tables(parts)
    names = table["id"].to_pylist()

    def column(name: str, width: int) -> dict[str, np.ndarray]:
        arrays = (row.values.to_numpy(zero_copy_only=False).reshape(-1, width) for row in table[name])
        return dict(zip(names, arrays, strict=True))

    return column("prob", states), column("pssm_enhanced", 20)
