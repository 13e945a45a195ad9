"""Probability maps of many proteins with Ray Data: a pool of actors, each with the language model loaded once.

Every batch is written as one Parquet part as soon as it is done, under a name made of its ids, so that a killed run
loses the batches in flight and no more, and no protein is ever computed or stored twice.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import ray.data

from protray.cluster.plan import Stage
from protray.cluster.start import setup_worker_logging
from protray.data import schemas
from protray.seq.alphabet import encode

log = logging.getLogger(__name__)

ROWS_PER_BLOCK = 8  # proteins: what a crash can lose per actor
NO_PROGRESS_S = 6 * 3600  # one block of very long proteins takes a CPU hours; a plan that stalls is refused before


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """Which language model reads the proteins, and how."""

    lm: str  # Hugging Face name or folder
    bf16: bool = False  # matrix products in bfloat16
    hidden: bool = True  # keep the last hidden state, too


class MapActor:
    """Loads the language model once, then turns batches of sequences into Parquet parts."""

    def __init__(self, config: dict, folder: str, threads: int, gpu: bool) -> None:
        import torch

        from protray.plm import masked

        setup_worker_logging()
        torch.set_num_threads(threads)
        self.config = MapConfig(**config)
        self.folder = Path(folder)
        self.lm = masked.load(self.config.lm, device="cuda" if gpu else "cpu")

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the maps of a batch; return its ids, each with the reason if it could not be read."""
        from protray.plm.masked import hidden_state, probability_map

        done, reasons = [], []
        for name, sequence in zip(batch["id"].to_pylist(), batch["sequence"].to_pylist(), strict=True):
            codes_L = encode(sequence)
            try:
                prob_LA = probability_map(self.lm, codes_L, self.config.bf16)
                hidden_LC = hidden_state(self.lm, codes_L) if self.config.hidden else None
            except Exception as error:  # one protein must not stop a batch; its reason reaches the rejects
                reasons.append(f"language model {self.config.lm}: {error}")
                continue
            reasons.append(None)
            hidden = None if hidden_LC is None else hidden_LC.astype("float16").ravel()
            done.append({"id": name, "sequence": sequence, "prob_map": prob_LA.ravel(), "lm_hidden": hidden})
        if done:
            write_part(pa.Table.from_pylist(done, schema=schemas.MAPS), self.folder)
        return pa.table({"id": batch["id"], "reason": pa.array(reasons, pa.string())})


def write_part(table: pa.Table, folder: Path) -> None:
    """Write a part whole or not at all, named by its ids."""
    name = hashlib.sha256("\n".join(table["id"].to_pylist()).encode()).hexdigest()[:16]
    partial = folder / f".{name}.partial"
    pq.write_table(table, partial, compression="zstd")
    os.replace(partial, folder / f"part-{name}.parquet")


def finished_ids(folder: Path) -> set[str]:
    """Ids that already have a map in `folder`."""
    parts = (pq.read_table(part, columns=["id"]) for part in folder.glob("part-*.parquet"))
    return {name for part in parts for name in part["id"].to_pylist()}


def compute_maps(
    proteins: pa.Table,
    config: MapConfig,
    folder: Path,
    stage: Stage,
    threads: int,
    on_progress: Callable[[int, int], None],
) -> dict[str, str]:
    """Compute what is missing in `folder`; returns id -> reason of the proteins that the model cannot read.

    `on_progress(done, of)` counts forward tokens, which is what a map costs: about the length squared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = finished_ids(folder)
    names = proteins["id"].to_pylist()
    lengths = dict(zip(names, map(len, proteins["sequence"].to_pylist()), strict=True))
    missing = sorted((name for name in lengths if name not in known), key=lambda name: (-lengths[name], name))
    total = sum(length**2 for length in lengths.values())
    done = total - sum(lengths[name] ** 2 for name in missing)
    on_progress(done, total)
    if not missing:
        return {}
    row_of = {name: row for row, name in enumerate(names)}
    todo = proteins.select(["id", "sequence"]).take([row_of[name] for name in missing])
    results = (
        ray.data.from_arrow(todo)
        .repartition(target_num_rows_per_block=ROWS_PER_BLOCK)
        .map_batches(
            MapActor,  # type: ignore[arg-type]
            fn_constructor_args=[asdict(config), str(folder.resolve()), threads, stage.gpus_per_worker > 0],
            batch_size=ROWS_PER_BLOCK,
            batch_format="pyarrow",
            num_cpus=stage.cpus_per_worker,
            num_gpus=stage.gpus_per_worker or None,
            compute=ray.data.ActorPoolStrategy(size=stage.workers),
        )
    )
    results.context.execution_no_progress_timeout_s = NO_PROGRESS_S
    rejected: dict[str, str] = {}
    for batch in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for row in pa.table(batch).to_pylist():
            done += lengths[row["id"]] ** 2
            if row["reason"]:
                rejected[row["id"]] = row["reason"]
        on_progress(done, total)
    return rejected
