"""Embeddings of a task's proteins, computed once and kept: a batch job inside of a training, by any `Embedding`.

``OUT/cache/embeddings/KEY/embeddings/*.parquet``  ``schemas.EMBEDDINGS``; `protray.data.embeddings.read_embeddings`
``OUT/cache/embeddings/KEY/rejected.parquet``      proteins that cannot be embedded: id, file, reason

KEY is a hash of the content of the proteins, of the model and of what is asked of it, and of nothing else.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from protray.cluster.batch.job import BatchJob, BatchSettings, Done, Row, Span, placed
from protray.cluster.batch.seen import first_of_each_id
from protray.cluster.storage.identity import content_digest, digest
from protray.data.embeddings import FOLDER, embedding_schema
from protray.data.location import Location
from protray.data.parquet import read_parquet
from protray.data.tasks.observed import STRUCTURE
from protray.pipelines.structure.inputs import SOURCE, read_row, table_rows
from protray.pipelines.tasks.embedding import Embedding
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.inference.embeddings.residues import ResidueEmbedder

log = logging.getLogger(__name__)

COLUMNS = ("id", "sequence", *STRUCTURE)  # of ``schemas.STRUCTURES``; a model of sequences needs the first two


@dataclass(frozen=True, kw_only=True)
class EmbedProteins(BatchSettings):
    """Which proteins to embed by what."""

    proteins: tuple[Location, ...]
    by: Embedding
    level: Literal["residue", "statistics"]
    max_rejected: float = 1.0  # the task says what it makes of proteins without an embedding


def embed_proteins(
    out: Location, proteins: Sequence[Location], by: Embedding, level: Literal["residue", "statistics"] = "residue"
) -> Location:
    """Embed what is missing; returns the folder that `protray.data.embeddings.read_embeddings` reads.

    Parameters
    ----------
    out : Location
        The ``--out`` of the task.
    proteins : sequence of Location
        Parquet tables with the columns id and sequence, and for a model of structures backbone_cA, index, and maybe
        sidechains_cA and chain_index; as in ``schemas.STRUCTURES``.  A protein without a structure has null.
    by : Embedding
    level : {"residue", "statistics"}
        Vectors of all residues, or their mean, deviation and number (`protray.inference.embeddings.residues`).

    Raises
    ------
    ValueError
        If no protein can be embedded.
    """
    return embed_once(JOB, EmbedProteins(out=out, proteins=tuple(proteins), by=by, level=level))


def embed_once(job: BatchJob, run: BatchSettings) -> Location:
    """Do what is missing in a folder in the cache of ``run.out``, which is named by all that it depends on."""
    from protray.cluster.batch.driver import run_batch

    own = in_cache(job, run)
    summary, folder = run_batch(job, own), own.out
    for reason, count in summary["reasons"].items():
        log.warning("%d %s have no embedding: %s; see %s", count, job.unit, reason, folder / "rejected.parquet")
    return folder


def in_cache(job: BatchJob, run: Any) -> Any:
    """The same with a folder of its own, which is named by all that the result depends on."""
    return replace(run, out=run.out / "cache" / job.name / digest(job.identity(run)))


def identity(run: EmbedProteins) -> dict:
    return {"proteins": content_digest(run.proteins), "by": run.by.identity(), "level": run.level}


def rows(run: EmbedProteins) -> Iterator[Row | InputError]:
    yield from first_of_each_id(row for file in run.proteins for row in table_rows(file))


def cost(run: EmbedProteins, row: Row) -> float:
    return run.by.seconds(row["length"])


def open_model(run: EmbedProteins, device: str) -> "tuple[EmbedProteins, ResidueEmbedder]":
    return run, run.by.open(device)


def work(opened: "tuple[EmbedProteins, ResidueEmbedder]", spans: list[Span]) -> Done:
    """Embeddings of some proteins."""
    from protray.inference.embeddings.residues import statistics_of

    run, embed = opened

    def vectors_of(sequence: str, *structure: np.ndarray | None) -> np.ndarray:
        residue_LC = embed(sequence, *structure)
        return residue_LC if run.level == "residue" else statistics_of(residue_LC)

    return embedded(spans, _read, vectors_of)


def embedded(spans: list[Span], read: Callable[[Row], tuple], vectors_of: Callable[..., np.ndarray]) -> Done:
    """The vectors of each row; those that have none, or none that is finite, with the reason.

    `read` gives the sequence of a row and whatever else `vectors_of` is called with; its errors are no row's fault.
    """
    from protray.data.columns import large_lists

    rejected: list[InputError] = []
    kept, arrays = [], []
    for span in spans:
        sequence, *more = read(span.row)
        try:
            vectors = vectors_of(sequence, *more)
            if not np.isfinite(vectors).all():
                raise ValueError("its embedding is not finite")
        except ValueError as error:
            rejected.append(InputError(span.row["file"], None, str(error), span.row["id"]))
            continue
        kept.append({"number": span.number, "start": 0, "id": span.row["id"], "sequence": sequence})
        arrays.append(vectors)
    named = pa.schema([("id", pa.string()), ("sequence", pa.string())])
    table = pa.Table.from_pylist(kept, schema=placed(named))
    return Done(table.append_column("embedding", large_lists(arrays, pa.large_list(pa.float32()))), rejected)


def _read(row: Row) -> tuple[str, np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Sequence, atoms, places in the chain, and numbers of the chains."""
    found = read_row(row, COLUMNS)
    return found["sequence"], *structure_in(found)


def structure_in(row: Mapping[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Atoms (Å, NaN where one lacks), places in the chain, numbers of chains: of a row with the columns `STRUCTURE`."""
    from protray.data.structure.structures import stored_atoms

    kinds = np.int16, np.int32, np.int16, np.int8
    given = (row.get(name) for name in STRUCTURE)
    backbone, index_L, side_chains, chain_L = (
        None if value is None else np.array(value, kind) for value, kind in zip(given, kinds, strict=True)
    )
    return None if backbone is None else stored_atoms(backbone, side_chains), index_L, chain_L


def has_side_chains(table: Location | None) -> bool:
    """Whether a table with the columns `STRUCTURE` has side chains of any row."""
    if table is None:
        return False
    column = read_parquet(table, ["sidechains_cA"])["sidechains_cA"]
    return column.null_count < len(column)


def schema(run: EmbedProteins) -> pa.Schema:
    return embedding_schema(run.level, run.by.width if run.level == "residue" else 2 * run.by.width + 1)


JOB = BatchJob(
    name="embeddings", unit="proteins", table=FOLDER, source=SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_model, work=work, schema=schema, memory=lambda run: run.by.memory,
)  # fmt: skip
