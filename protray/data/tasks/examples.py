"""What heads are trained on: targets in one table, vectors of embeddings in others.

Shape key:  N rows   C channels of an embedding   T labels, or 1
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.data.embeddings import level_of, read_embeddings
from protray.data.location import Location
from protray.data.parquet import WRITING, read_parquet


@dataclass(frozen=True)
class Rows:
    """Rows of one split."""

    ids: list[str]
    sequences: list[str]
    clusters: list[str]
    sets: list[list[str]]
    target_NT: np.ndarray  # float32

    def __len__(self) -> int:
        return len(self.ids)


def write_examples(file: Location, columns: dict[str, Sequence], target_NT: np.ndarray) -> None:
    """Write a table of ``schemas.EXAMPLES``; `columns` are those in front of ``target``."""
    ends = pa.array(np.arange(len(target_NT) + 1, dtype=np.int32) * target_NT.shape[1])
    targets = pa.ListArray.from_arrays(ends, pa.array(target_NT.astype(np.float32).ravel()))
    table = pa.table({**columns, "target": targets}, schema=schemas.EXAMPLES)
    with file.writing() as path:
        pq.write_table(table, path, row_group_size=2000, **WRITING)


def read_rows(file: Location, split: str) -> Rows:
    """Read the rows of a split, in the order of the table."""
    table = read_parquet(file)
    table = table.filter(pa.array([found == split for found in table["split"].to_pylist()], pa.bool_()))
    ids, sequences, clusters, sets = (table[name].to_pylist() for name in ("id", "sequence", "cluster", "sets"))
    flat = table["target"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Rows(ids, sequences, clusters, sets, flat.reshape(len(ids), -1).astype(np.float32))


def read_vectors(folders: Sequence[Location], ids: Sequence[str]) -> np.ndarray:
    """Embeddings of rows side by side, float32, shape (N, C); NaN where a row has none of a kind.

    Of statistics the means over residues alone: what heads are trained on.
    """
    parts = []
    for folder in folders:
        found_NC = read_statistics([folder], ids)
        parts.append(found_NC[:, : found_NC.shape[1] // 2] if level_of(folder) == "statistics" else found_NC)
    return np.concatenate(parts, axis=1)


def read_statistics(folders: Sequence[Location], ids: Sequence[str]) -> np.ndarray:
    """All that embeddings say of rows, side by side, float32: of statistics mean, deviation and log length."""
    place = {id: row for row, id in enumerate(ids)}
    parts = []
    for folder in folders:
        found_NC = np.empty((0, 0), np.float32)
        for id, _, vector_C in read_embeddings(folder):
            if not found_NC.size:
                found_NC = np.full((len(ids), len(vector_C)), np.nan, np.float32)
            if id in place:
                found_NC[place[id]] = vector_C
        parts.append(found_NC)
    return np.concatenate(parts, axis=1)
