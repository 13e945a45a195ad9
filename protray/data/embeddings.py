"""Tables of embeddings: how chains become rows of a Parquet file, and arrays again.

Shape key:  L residues   I rows (residues i) in a chunk   C channels
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import naming
from protray.data.secondary.dataset import parquet_files

Level = Literal["pair", "residue", "protein"]
Kept = Level | Literal["statistics"]  # mean and deviation over residues, and log length: `statistics_of` in inference

FOLDER = "embeddings"  # of the parts in the --out of jobs/embed.py
CHUNK_BYTES = 32 << 20  # of numbers in a row of pairs, and of rows that are in memory together


def embedding_schema(level: Kept, channels: int) -> pa.Schema:
    """Of a table of embeddings, which says in its metadata what its numbers are."""
    schema = schemas.PAIR_EMBEDDINGS if level == "pair" else schemas.EMBEDDINGS
    return schema.with_metadata((schema.metadata or {}) | {"level": level, "channels": str(channels)})


def rows_of_pairs(strips: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Put strips of a chain's pairs, shape (I, L, C), together to rows of a table: as many I as fit into a chunk."""
    held: list[np.ndarray] = []
    count = 0
    for strip_ILC in strips:
        most = max(1, CHUNK_BYTES // (strip_ILC.itemsize * int(np.prod(strip_ILC.shape[1:]))))
        held.append(strip_ILC)
        count += len(strip_ILC)
        if count >= most:
            whole_ILC = np.concatenate(held)
            while len(whole_ILC) >= most:
                yield whole_ILC[:most]
                whole_ILC = whole_ILC[most:]
            held, count = [whole_ILC], len(whole_ILC)
    if count:
        yield np.concatenate(held)


def level_of(path: Path | str) -> str:
    """The level of the tables that `read_embeddings` reads, as `embedding_schema` has written it; "" if it has not."""
    first = _files(path)[0]
    with naming(first, "embed the chains again"), first.open() as file:
        return (pq.read_schema(file).metadata or {}).get(b"level", b"").decode()


def read_embeddings(path: Path | str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield id, sequence and embedding of every chain, one at a time.

    Parameters
    ----------
    path : Path or str
        The ``--out`` of jobs/embed.py, or one of its files; or their address.

    Yields
    ------
    embedding : ndarray
        Shape (L, L, C), (L, C) or (C,); of statistics (2 C + 1,).
    """
    for file in _files(path):
        with naming(file, "embed the chains again"):
            parquet = pq.ParquetFile(file.open(), page_checksum_verification=True)
        metadata = parquet.schema_arrow.metadata or {}
        if b"level" not in metadata:
            raise ValueError(f"{file} is no table of embeddings: its metadata names no level")
        level, channels = metadata[b"level"].decode(), int(metadata[b"channels"])
        chunks: list[np.ndarray] = []
        for group in range(parquet.num_row_groups):
            with naming(file, "embed the chains again"):
                table = parquet.read_row_group(group, columns=["id", "sequence", "embedding"])
            for id, sequence, values in zip(*table.columns, strict=True):
                chunk = values.values.to_numpy(zero_copy_only=False)
                shape = {"protein": (), "statistics": (), "residue": (-1,), "pair": (-1, len(sequence.as_py()))}[level]
                chunks.append(chunk.reshape(*shape, channels))
                if level != "pair" or sum(map(len, chunks)) == len(sequence.as_py()):
                    yield id.as_py(), sequence.as_py(), np.concatenate(chunks)
                    chunks = []


def _files(path: Path | str) -> list[Location]:
    folder = Location(path)
    return parquet_files(folder / FOLDER if (folder / FOLDER).is_dir() else folder)
