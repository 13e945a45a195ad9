"""Rows of a task whose encoders are trained on, with a linear head that starts as the linear read-out.

``OUT/model/ROW``  the head, and what it goes with, the encoder in ``structure_model`` or the language model in
                   ``language_model``: jobs/annotate.py reads them
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from protray.cluster.storage.identity import digest
from protray.cluster.train.job import Report, Stage
from protray.data import schemas
from protray.data.location import Location
from protray.models.tasks.head_config import HeadConfig, Kind
from protray.pipelines.tasks.embedding import Embedding
from protray.plm.shipped import absolute
from protray.training.tasks.fine_tune_config import FineTuneConfig

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from protray.data.tasks.examples import Rows
    from protray.evaluation.tasks.closed_form import Linear
    from protray.models.tasks.head import Head
    from protray.models.tasks.tuned import Tuned
    from protray.training.tasks.fine_tune import StructureExamples
    from protray.training.tasks.turns import Train
    from protray.training.world import World

LINEAR = HeadConfig(hidden=0, dropout=0.0)
TRIED_BATCHES = 2  # of a plan's trial; and a sixth as many validation proteins


class TunedRun(Protocol):
    """The settings of a job that has such rows."""

    @property
    def out(self) -> Location: ...
    @property
    def noise(self) -> float: ...
    @property
    def fine(self) -> FineTuneConfig: ...
    @property
    def embeddings(self) -> Mapping[str, Embedding]: ...
    @property
    def tuned(self) -> Mapping[str, str]:
        """Rows, and which of the embeddings those were before."""
        ...


@dataclass(frozen=True)
class TunedInputs:
    """What encoders are trained on with."""

    examples: Location  # ``schemas.EXAMPLES``
    structures: Location  # with the columns id, sequence, index, backbone_cA of ``schemas.STRUCTURES``
    vectors: Mapping[str, Sequence[Location]]  # of each embedding: its folder, with statistics


@dataclass(frozen=True)
class TunedSettings:
    """What the loop is given, on any node."""

    rows: Mapping[str, tuple[Embedding, Sequence[Location]]]  # what learns, and folders of its frozen vectors
    kind: Kind
    fine: FineTuneConfig
    inputs: TunedInputs | None = None
    tried: int = 0  # outputs of a plan's trial, on chains of the sample


def tuned_stages(run: TunedRun, key: str, count: int, unit: str) -> list[Stage]:
    """A stage for each encoder; `count` rows train."""
    unit = f"steps of {run.fine.batch} of {count} {unit}, {run.fine.epochs} epochs"
    return [
        Stage(name, digest([key, name]), run.fine.steps(count), unit, params={"row": name}) for name in run.tuned
    ]  # fmt: skip


def tuned_settings(run: TunedRun, inputs: TunedInputs | None, kind: Kind) -> TunedSettings | None:
    """None where nothing is trained on."""
    if inputs is None:
        return None
    rows = {name: (run.embeddings[net], inputs.vectors[net]) for name, net in run.tuned.items()}
    return TunedSettings(rows, kind, run.fine, inputs)


def tuned_trial(run: TunedRun, kind: Kind, stage: Stage, outputs: int) -> TunedSettings:
    """Chains of the sample in place of the task's, and a head that knows nothing."""
    return TunedSettings({stage.name: (run.embeddings[run.tuned[stage.name]], [])}, kind, run.fine, tried=outputs)


def tuned_trainings(settings: TunedSettings | None, world: "World") -> "dict[str, Train]":
    """The training of each encoder; it reads what it needs when its turn comes."""
    if settings is None:
        return {}
    return {name: partial(_train, settings, *row, world) for name, row in settings.rows.items()}


def _train(
    settings: TunedSettings, embedding: Embedding, folders: Sequence[Location], world: "World", report: Report,
    resume: dict | None,
) -> dict:  # fmt: skip
    from protray.evaluation.tasks.closed_form import quality
    from protray.training.tasks.fine_tune import fit

    kind = settings.kind
    if settings.inputs:
        net, train, validation = started(embedding, folders, settings.inputs, kind, settings.fine)
    else:
        train, validation = _tried(settings)
        net = network(embedding, kind, 2 * embedding.width + 1, settings.tried, settings.fine)
    return fit(
        net, train, validation, settings.fine, lambda found_NT: quality(kind, found_NT, validation.y_NT), report,
        resume, world,
    )  # fmt: skip


def started(
    embedding: Embedding, folders: Sequence[Location], inputs: TunedInputs, kind: Kind, fine: FineTuneConfig
) -> "tuple[Tuned, StructureExamples, StructureExamples]":
    """An encoder whose head is the linear read-out of its frozen vectors; and what both are trained on."""
    from protray.data.tasks.examples import read_rows, read_statistics
    from protray.evaluation.tasks.closed_form import closed_form

    parts = [read_rows(inputs.examples, split) for split in ("train", "validation")]
    x = [read_statistics(folders, rows.ids) for rows in parts]
    train, validation = (examples_of(embedding, inputs, rows, x_NF) for rows, x_NF in zip(parts, x, strict=True))
    net = network(embedding, kind, x[0].shape[1], train.y_NT.shape[1], fine)
    begin(net.head, closed_form(kind, x[0], train.y_NT, x[1], validation.y_NT), train.y_NT)
    return net, train, validation


def network(embedding: Embedding, kind: Kind, channels: int, outputs: int, fine: FineTuneConfig) -> "Tuned":
    """An encoder with a head that knows nothing yet."""
    from protray.models.joint.alone import Alone
    from protray.models.tasks.head import Head
    from protray.models.tasks.tuned import Tuned
    from protray.plm.sequence_encoder import SequenceEncoder

    head = Head(LINEAR, kind, channels, outputs)
    if embedding.lm:
        lm = SequenceEncoder(absolute(embedding.lm), trained=True)
        return Tuned(Alone(lm, lm.channels), head, side_chains=False, lm_lr_ratio=fine.lm_lr_ratio)
    card, encoder = embedding.joint()
    ratio = 0.0 if encoder.lm is None else fine.lm_lr_ratio
    return Tuned(encoder, head, side_chains=card.side_chains, lm_lr_ratio=ratio)


def begin(head: "Head", linear: "Linear", y_NT: "np.ndarray") -> None:
    """Make a head say what a linear read-out says; numbers in units of their deviation `y_NT` in training."""
    import torch

    def tensor(array: Any) -> torch.Tensor:
        return torch.from_numpy(array).float()

    last = head.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    weight_FT, bias_T = linear.weight_FT, linear.bias_T
    if head.kind == "value":
        mean_T, scale_T = y_NT.mean(axis=0, dtype=float), y_NT.std(axis=0, dtype=float).clip(1e-6)
        head.mean_T.copy_(tensor(mean_T))
        head.scale_T.copy_(tensor(scale_T))
        weight_FT, bias_T = weight_FT / scale_T, (bias_T - mean_T) / scale_T
    with torch.no_grad():
        head.mean_C.copy_(tensor(linear.mean_F))
        head.scale_C.copy_(tensor(linear.scale_F))
        last.weight.copy_(tensor(weight_FT.T))
        last.bias.copy_(tensor(bias_T))


def examples_of(
    embedding: Embedding, inputs: TunedInputs, rows: "Rows", vectors_NF: "np.ndarray"
) -> "StructureExamples":
    """Proteins of some rows, as what is trained on reads them."""
    if embedding.lm:
        return sequence_examples(rows, vectors_NF)
    return structure_examples(inputs.structures, rows, vectors_NF)


def sequence_examples(rows: "Rows", vectors_NF: "np.ndarray") -> "StructureExamples":
    """Proteins of some rows, without coordinates; those that have no frozen vector could not be read."""
    import numpy as np
    import pyarrow as pa

    from protray.data.atoms import gather
    from protray.data.structures import MISSING
    from protray.training.tasks.fine_tune import StructureExamples

    read = np.flatnonzero(np.isfinite(vectors_NF).all(axis=1))
    known = [(rows.ids[n], rows.sequences[n]) for n in read]
    columns = {
        "id": [id for id, _ in known], "sequence": [sequence for _, sequence in known],
        "index": [np.arange(len(sequence), dtype=np.int32) for _, sequence in known],
        "backbone_cA": [np.full(12 * len(sequence), MISSING) for _, sequence in known],
        "cluster": [""] * len(known),
    }  # fmt: skip
    schema = pa.schema([schemas.STRUCTURES.field(name) for name in columns])
    chains = gather([pa.table(columns, schema=schema)])
    place = {id: row for row, id in enumerate(chains.ids)}
    return StructureExamples(chains, np.array([place.get(id, -1) for id in rows.ids]), rows.target_NT)


def structure_examples(structures: Location, rows: "Rows", vectors_NF: "np.ndarray") -> "StructureExamples":
    """Proteins of some rows; those that have no frozen vector have no structure that could be read."""
    import numpy as np
    import pyarrow as pa

    from protray.data.atoms import gather
    from protray.data.parquet import read_parquet
    from protray.training.tasks.fine_tune import StructureExamples

    known = {id for id, vector_F in zip(rows.ids, vectors_NF, strict=True) if np.isfinite(vector_F).all()}
    table = read_parquet(structures)
    table = table.filter(pa.array([id in known for id in table["id"].to_pylist()], pa.bool_()))
    chains = gather([table.append_column("cluster", pa.array([""] * len(table), pa.string()))])
    place = {id: row for row, id in enumerate(chains.ids)}
    return StructureExamples(chains, np.array([place.get(id, -1) for id in rows.ids]), rows.target_NT)


def _tried(settings: TunedSettings) -> "tuple[StructureExamples, StructureExamples]":
    """Chains of the sample with labels that mean nothing."""
    import numpy as np

    from protray.data.atoms import read_atoms
    from protray.training.tasks.fine_tune import StructureExamples

    count = TRIED_BATCHES * settings.fine.batch
    chains = read_atoms(split="train").select(range(count + max(1, count // 6)))
    y_NT = np.zeros((len(chains), settings.tried), np.float32)
    y_NT[np.arange(len(chains)), np.arange(len(chains)) % settings.tried] = 1
    row_N = np.arange(len(chains))
    train, validation = (StructureExamples(chains, row_N[p], y_NT[p]) for p in (slice(count), slice(count, None)))
    return train, validation


def tuned_predictions(
    run: TunedRun, inputs: TunedInputs | None, state: dict, rows: "Sequence[Rows]", kind: Kind, gpu: bool
) -> "dict[str, list[np.ndarray]]":
    """What each encoder with its head, of the best epoch, predicts for the rows of some splits."""
    from protray.data.tasks.examples import read_statistics
    from protray.training.tasks.fine_tune import predict
    from protray.training.tasks.turns import finished

    found = {}
    for name, one in finished(state).items():
        if name not in run.tuned or inputs is None:
            continue
        net, folders = loaded(run, name, one["best"], kind), inputs.vectors[run.tuned[name]]
        by = run.embeddings[run.tuned[name]]
        found[name] = [
            predict(net, examples_of(by, inputs, part, read_statistics(folders, part.ids)), "cuda" if gpu else "cpu")
            for part in rows
        ]  # fmt: skip
    return found


def loaded(run: TunedRun, name: str, weights: dict, kind: Kind) -> "Tuned":
    """An encoder with its head as they were learnt."""
    sizes = len(weights["head.mean_C"]), len(weights["head.mean_T"])
    net = network(run.embeddings[run.tuned[name]], kind, *sizes, run.fine)
    net.load_state_dict(weights, strict=False)  # a language model that did not learn is in no state
    return net


def save_tuned(
    run: TunedRun, name: str, weights: dict, task: str, kind: Kind, labels: list[str], names: dict[str, str],
    threshold: float | None,
) -> None:  # fmt: skip
    """Write a head with its encoder, for jobs/annotate.py."""
    from protray.training.tasks.head_export import LANGUAGE_MODEL, STRUCTURE_MODEL, HeadFacts, save_head

    embedding = run.embeddings[run.tuned[name]]
    parts = {part: weight for part, weight in weights.items() if part.startswith("head.")}
    encoder = {part.removeprefix("encoder."): weights[part] for part in weights.keys() - parts.keys()}
    head = {part.removeprefix("head."): weight for part, weight in parts.items()}
    facts = HeadFacts(
        task=task, kind=kind, channels=len(head["mean_C"]), labels=labels, names=names, threshold=threshold,
        lm=LANGUAGE_MODEL if embedding.lm else None, noise=None if embedding.lm else run.noise, reads="statistics",
    )  # fmt: skip
    with (run.out / "model" / tuned_folder(name)).writing() as folder:
        save_head(folder, LINEAR, facts, head)
        if embedding.lm:
            save_lm(folder / LANGUAGE_MODEL, embedding.lm, encoder)
        else:
            save_joint(folder / STRUCTURE_MODEL, embedding, encoder)


def save_lm(folder: "Path", name: str, weights: dict) -> None:
    """Write a language model with what it has learnt, which may be nothing."""
    from protray.plm.sequence_encoder import SequenceEncoder

    lm = SequenceEncoder(absolute(name), trained=False)
    if weights:
        lm.load_state_dict({part.removeprefix("lm."): weight for part, weight in weights.items()})
    lm.save(folder)


def save_joint(folder: "Path", embedding: Embedding, weights: dict) -> None:
    """Write a joint encoder; a language model of its fusion that did not learn is as it was."""
    from protray.training.structure.ssdm_export import LANGUAGE_MODEL, save_ssdm

    card, _ = embedding.joint()
    if card.config.lm is not None:
        assert embedding.model
        card = replace(card, config=replace(card.config, lm=str(embedding.model.fetch() / LANGUAGE_MODEL)))
    save_ssdm(folder, card, {f"model.{part}": weight for part, weight in weights.items()})


def tuned_folder(name: str) -> str:
    """Where a row is kept, below ``OUT/model``.

    >>> tuned_folder("joint encoder few, fine-tuned")
    'joint-encoder-few-fine-tuned'
    """
    return name.replace(",", "").replace(" ", "-")


def tuned_table(
    run: TunedRun, trained: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[tuple[str, list[str], list[list[str]]]]]:
    """What training on cost and gave, as rows and as a table; none of either where nothing was trained on."""
    rows = []
    for name in run.tuned:
        position, weights = trained[name]["position"], trained[name]["best"]
        first, best = position["history"][0], position["history"][position["best_epoch"]]
        fixed = ("mean_C", "scale_C", "mean_T", "scale_T")
        rows.append({
            "method": name, "parameters": sum(w.numel() for n, w in weights.items() if not n.endswith(fixed)),
            "minutes": trained[name]["clock"]["seconds"] / 60, "best_epoch": position["best_epoch"],
            "before": first["validation/quality"], "after": best["validation/quality"],
        })  # fmt: skip
    header = ["fine-tuning", "weights", "minutes", "best epoch", "validation before", "validation after"]
    body = [
        [row["method"], f"{row['parameters']:,}", f"{row['minutes']:.1f}", str(row["best_epoch"]),
         f"{row['before']:.3f}", f"{row['after']:.3f}"]
        for row in rows
    ]  # fmt: skip
    return rows, [(header[0], header, body)] if rows else []
