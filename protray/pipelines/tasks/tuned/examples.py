"""Proteins, or mutations, of a task as an encoder of structures, or a language model, that is trained on reads them."""

import numpy as np
import pyarrow as pa

from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import read_parquet
from protray.data.structure.atoms import gather
from protray.data.structure.structures import MISSING
from protray.data.tasks.examples import Rows
from protray.data.tasks.mutations import Surroundings
from protray.inference.tasks.mutants import surroundings
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.properties.mutants import input_of
from protray.pipelines.tasks.tuned.settings import TunedInputs
from protray.training.tasks.properties.fine_tune_examples import Examples, MutantExamples, StructureExamples


def examples_of(embedding: Embedding, inputs: TunedInputs, rows: Rows, vectors_NF: np.ndarray) -> Examples:
    """Some rows, as what is trained on reads them."""
    if inputs.mutants:
        return mutant_examples(inputs.mutants, rows, vectors_NF, embedding.is_fused)
    if embedding.lm:
        return sequence_examples(rows, vectors_NF)
    assert inputs.structures, "encoders of structures are trained on only where there are some"
    return structure_examples(inputs.structures, rows, vectors_NF)


def mutant_examples(mutants: Location, rows: Rows, vectors_NF: np.ndarray, fused: bool) -> MutantExamples:
    """Mutations of some rows; those that have no frozen vector have no structure that could be read.

    Whole sequences are kept only where a language model reads them.
    """
    table = _with_vectors(mutants, rows, vectors_NF)
    seen_of: dict[str, Surroundings] = {}
    for batch in table.to_batches(max_chunksize=100):  # of complexes, rows are large as Python's objects
        for row in batch.to_pylist():
            seen = surroundings(input_of(row))
            seen_of[row["id"]] = seen if fused else seen.without_text()
    return MutantExamples(rows.ids, [seen_of.get(id) for id in rows.ids], rows.target_NT)


def sequence_examples(rows: Rows, vectors_NF: np.ndarray) -> StructureExamples:
    """Proteins of some rows, without coordinates; those that have no frozen vector could not be read."""
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


def structure_examples(structures: Location, rows: Rows, vectors_NF: np.ndarray) -> StructureExamples:
    """Proteins of some rows; those that have no frozen vector have no structure that could be read."""
    table = _with_vectors(structures, rows, vectors_NF)
    chains = gather([table.append_column("cluster", pa.array([""] * len(table), pa.string()))])
    place = {id: row for row, id in enumerate(chains.ids)}
    return StructureExamples(chains, np.array([place.get(id, -1) for id in rows.ids]), rows.target_NT)


def _with_vectors(file: Location, rows: Rows, vectors_NF: np.ndarray) -> pa.Table:
    """The part of a table that is of these rows and could be embedded."""
    known = {id for id, vector_F in zip(rows.ids, vectors_NF, strict=True) if np.isfinite(vector_F).all()}
    table = read_parquet(file)
    return table.filter(pa.array([id in known for id in table["id"].to_pylist()], pa.bool_()))
