"""Finished trainings: what their networks predict, and the folder that keeps it with their weights.

Shape key:  B proteins in a batch   L residues   A amino-acid types (20)   S states
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from protray.data.location import Location
from protray.data.parquet import WRITING, read_parquet
from protray.data.secondary.collate import Batch, Totals, collate, in_order
from protray.data.secondary.dataset import Proteins
from protray.data.secondary.features import FeatureConfig, Features
from protray.models.weight_files import save_weights
from protray.seq.alphabet import N_AA
from protray.training.secondary.stage_features import stage_features
from protray.training.secondary.stages import Stage
from protray.training.secondary.steps import Distil
from protray.training.world import World

PER_BATCH = 32  # proteins, in evaluation
NOTHING_LA = np.empty((0, N_AA), dtype=np.float32)  # the enhanced PSSM of a stage that has none
RAW = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("prob", pa.list_(pa.float32())),  # L x S
        pa.field("pssm_enhanced", pa.list_(pa.float32())),  # L x 20; empty where a stage makes none
    ]
)


def is_finished(folder: Location) -> bool:
    return (folder / "stage.json").is_file()


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


def evaluation_batches(features: Features, rows: np.ndarray, world: World) -> Iterable[Batch]:
    """This worker's proteins with their natural PSSM, each exactly once; nothing is dropped or padded in."""
    for chosen in in_order(rows[world.rank :: world.size], PER_BATCH, features.proteins.lengths):
        yield evaluated(features, chosen, world)


def evaluated(features: Features, chosen: np.ndarray, world: World) -> Batch:
    examples = [features.example(int(row)) for row in chosen]
    return collate(examples, Totals.of(features.proteins, chosen)).to(world.device)


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
