"""Tables of embeddings: how chains become rows of a Parquet file, and arrays again.

Shape key:  L residues   I rows (residues i) in a chunk   C channels
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.data.dataset import parquet_files
from protray.data.parquet import WRITING, naming, read_parquet

Level = Literal["pair", "residue", "protein"]

FOLDER = "embeddings"  # of the parts in the --out of jobs/embed.py
CHUNK_BYTES = 32 << 20  # of numbers in memory, in a row group, and in a row of pairs


class EmbeddingWriter:
    """A Parquet file that embeddings are added to; memory holds at most about two chunks."""

    def __init__(self, path: Path, level: Level, channels: int) -> None:
        schema = schemas.PAIR_EMBEDDINGS if level == "pair" else schemas.EMBEDDINGS
        metadata = (schema.metadata or {}) | {"level": level, "channels": str(channels)}
        self.schema, self.channels = schema.with_metadata(metadata), channels
        # The least and greatest of float16 numbers take longer to find than the numbers themselves to compute.
        statistics: Any = ["id"]
        self.writer = pq.ParquetWriter(path, self.schema, **WRITING, use_dictionary=False, write_statistics=statistics)
        self.held: list[tuple] = []
        self.size = 0

    def __enter__(self) -> "EmbeddingWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self.writer.close()

    def add(self, id: str, sequence: str, embedding: np.ndarray) -> None:
        """Add a chain at the level of residues, (L, C), or of the protein, (C,)."""
        self._add((id, sequence, embedding))

    def add_pairs(self, id: str, sequence: str, strips: Iterator[np.ndarray]) -> None:
        """Add a chain at the level of pairs, in strips of shape (I, L, C) from the top."""
        length = len(sequence)
        most = max(1, CHUNK_BYTES // (2 * length * self.channels))
        start, held = 0, np.empty((0, length, self.channels), np.float16)
        for strip_ILC in strips:
            held = np.concatenate([held, strip_ILC])
            while len(held) >= most:
                self._add((id, sequence, start, held[:most]))
                start, held = start + most, held[most:]
        if len(held):
            self._add((id, sequence, start, held))

    def _add(self, row: tuple) -> None:
        if self.size and self.size + row[-1].nbytes > CHUNK_BYTES:
            self._flush()
        self.held.append(row)
        self.size += row[-1].nbytes

    def _flush(self) -> None:
        *columns, embeddings = zip(*self.held, strict=True) if self.held else [()] * len(self.schema)
        kind = self.schema.field("embedding").type
        offsets = np.cumsum([0, *(embedding.size for embedding in embeddings)])
        values = pa.array(np.concatenate([embedding.ravel() for embedding in embeddings] or [[]]), kind.value_type)
        array = pa.LargeListArray if pa.types.is_large_list(kind) else pa.ListArray
        offset_type = pa.int64() if pa.types.is_large_list(kind) else pa.int32()
        lists = array.from_arrays(pa.array(offsets, offset_type), values, type=kind)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=False)]
        self.writer.write_table(pa.Table.from_arrays([*arrays, lists], schema=self.schema))
        self.held, self.size = [], 0


def read_embeddings(path: Path | str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield id, sequence and embedding of every chain, one at a time.

    Parameters
    ----------
    path : Path or str
        The ``--out`` of jobs/embed.py, or one of its files.

    Yields
    ------
    embedding : ndarray
        Shape (L, L, C), (L, C) or (C,).
    """
    folder = Path(path)
    for file in parquet_files(folder / FOLDER if (folder / FOLDER).is_dir() else folder):
        with naming(file, "embed the chains again"):
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
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
                shape = {"protein": (), "residue": (-1,), "pair": (-1, len(sequence.as_py()))}[level]
                chunks.append(chunk.reshape(*shape, channels))
                if level != "pair" or sum(map(len, chunks)) == len(sequence.as_py()):
                    yield id.as_py(), sequence.as_py(), np.concatenate(chunks)
                    chunks = []


def ids_in(folder: Path) -> set[str]:
    """Ids of all chains in the files of a folder."""
    files = sorted(folder.glob("*.parquet"))
    return {id for file in files for id in read_parquet(file, ["id"])["id"].to_pylist()}
