"""Vectors of mutations by an embedding, computed once and kept: a batch job inside of a training.

``OUT/cache/mutants/KEY/embeddings/*.parquet``  ``schemas.EMBEDDINGS``; see `protray.inference.tasks.mutants`
``OUT/cache/mutants/KEY/rejected.parquet``      mutants without such a vector

KEY is a hash of the content of the mutants, and of the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.job import BatchJob, BatchSettings, Done, Row, Span
from protray.cluster.storage.identity import content_digest
from protray.data import schemas
from protray.data.embeddings import FOLDER, embedding_schema
from protray.data.location import Location
from protray.data.parquet import writing
from protray.data.tasks.observed import STRUCTURE, side_chains_used
from protray.pipelines.structure.inputs import SOURCE, read_row, table_rows
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.embeddings import embed_once, embedded, structure_in

if TYPE_CHECKING:
    from protray.data.tasks.mutations import Mutant
    from protray.inference.tasks.mutants import MutantEmbedder, MutantInput

STORED = pa.schema(
    [
        ("id", pa.string()), ("sequence", pa.string()), ("starts", pa.list_(pa.int32())),
        ("sites", pa.list_(pa.int32())), ("to", pa.string()), ("places", pa.list_(pa.int32())),
        *(schemas.STRUCTURES.field(name) for name in STRUCTURE),
    ]
)  # fmt: skip
GROUP = 200  # mutants that are read together


@dataclass(frozen=True, kw_only=True)
class EmbedMutants(BatchSettings):
    """Which mutants, by what."""

    mutants: Location
    by: Embedding
    max_rejected: float = 1.0  # a mutant without a structure has no vector of a score net


def write_mutants(file: Location, mutants: "Sequence[Mutant]") -> None:
    """Write what vectors are made of; without side chains where fewer than half have any."""
    used = {} if side_chains_used(one.row.observed for one in mutants) else {"sidechains_cA": None}
    table = pa.Table.from_pylist([stored(one) | used for one in mutants], schema=STORED)
    with file.writing() as path:
        pq.write_table(table, path, row_group_size=GROUP, **writing(STORED))


def stored(one: "Mutant") -> dict:
    """What the vector of a mutant is made of, as a row of ``STORED``."""
    values = (one.row.id, one.row.sequence, one.starts, one.sites, one.to, one.places_O)
    observed = one.row.observed
    structure = observed.stored if observed else dict.fromkeys(STRUCTURE)
    return dict(zip(STORED.names, values, strict=False)) | structure


def input_of(row: dict) -> "MutantInput":
    """The same, as models read it."""
    from protray.inference.tasks.mutants import MutantInput

    places_O = None if row["places"] is None else np.array(row["places"], np.int32)
    atoms_OA3, index_O, chain_O = structure_in(row)
    return MutantInput(
        row["sequence"], tuple(row["starts"]), tuple(row["sites"]), row["to"], places_O, index_O, atoms_OA3, chain_O
    )


def embed_mutants(out: Location, mutants: Location, by: Embedding) -> Location:
    """Compute what is missing; returns the folder that `protray.data.embeddings.read_embeddings` reads.

    Raises ValueError if no mutant has such a vector.
    """
    return embed_once(JOB, EmbedMutants(out=out, mutants=mutants, by=by))


def identity(run: EmbedMutants) -> dict:
    return {"mutants": content_digest([run.mutants]), "by": run.by.identity()}


def cost(run: EmbedMutants, row: Row) -> float:
    """The mutant and a masked site, or the surroundings of the sites twice; many mutants share a wild type."""
    return 2 * seconds_of(run.by, row["length"])


def seconds_of(by: Embedding, length: float) -> float:
    """Of a core, to look once at a protein, or, with a model of structures, at the surroundings of sites; of a fusion
    without what its language model reads.
    """
    from protray.inference.tasks.mutants import NEAREST

    return by.seconds(length if by.lm else min(length, NEAREST))


def open_model(run: EmbedMutants, device: str) -> "MutantEmbedder":
    from protray.inference.tasks.mutants import mutant_embedder

    return mutant_embedder(run.by.open(device))


def work(embed: "MutantEmbedder", spans: list[Span]) -> Done:
    """Vectors of some mutants."""

    def read(row: Row) -> "tuple[str, MutantInput]":
        one = input_of(read_row(row, tuple(STORED.names)))
        return one.sequence, one

    return embedded(spans, read, lambda _, one: embed(one))


def width_of(by: Embedding) -> int:
    """Numbers of a vector; see `protray.inference.tasks.mutants`."""
    return 2 * by.width + (1 if by.lm else 0)


JOB = BatchJob(
    name="mutants", unit="mutants", table=FOLDER, source=SOURCE, identity=identity,
    rows=lambda run: table_rows(run.mutants), cost=cost, open=open_model, work=work,
    schema=lambda run: embedding_schema("protein", width_of(run.by)), memory=lambda run: run.by.memory,
)  # fmt: skip
