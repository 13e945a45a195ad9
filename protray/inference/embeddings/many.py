"""Embeddings of many chains as tables, of which few numbers are in memory; what fails of a chain is named.

Columns beside those of ``schemas.EMBEDDINGS`` and ``PAIR_EMBEDDINGS``: what is known of a chain's `place`; `residue`,
the first residue i of the row; `last`, whether the chain is whole with it; and `start`, which counts the residues of
all chains before it in the same row of the input, too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from protray.data.columns import large_lists
from protray.data.embeddings import CHUNK_BYTES, Level, embedding_schema, rows_of_pairs
from protray.data.structure.atoms import AtomChain
from protray.data.structure.structures import StructureChain
from protray.inference.embeddings.residues import LanguageModel, codes_of
from protray.plm.masked import hidden_rows
from protray.seq.alphabet import decode
from protray.seq.errors import InputError

Place = dict  # number of the row of the input, of the chain in it, and the file


@dataclass(frozen=True)
class Record:
    """A sequence alone."""

    id: str
    sequence: str

    @property
    def codes_L(self) -> np.ndarray:
        """Residue codes; ValueError for letters that are none."""
        return codes_of(self.sequence)


Chain = StructureChain | AtomChain | Record


class ChainEmbedder(Protocol):
    """What embeds chains of its own kind; ValueError for one that it cannot.  `pair` is a score network's alone."""

    channels: int

    def residue(self, chain: Any) -> np.ndarray: ...

    def protein(self, chain: Any) -> np.ndarray: ...


class SequenceAlone:
    """The last hidden layer of a language model, in one pass a protein, and its mean over residues."""

    def __init__(self, embed: LanguageModel) -> None:
        self.lm, self.channels = embed.lm, embed.width

    @classmethod
    def open(cls, name: str, device: str = "cpu") -> "SequenceAlone":
        """Load a language model by name or folder, or the one in the package."""
        return cls(LanguageModel.open(name, device))

    def residue(self, chain: Chain) -> np.ndarray:
        """Float32, shape (L, C)."""
        return hidden_rows(self.lm, chain.codes_L)

    def protein(self, chain: Chain) -> np.ndarray:
        """Float32, shape (C,)."""
        return self.residue(chain).mean(axis=0, dtype=np.float64).astype(np.float32)


def embeddings(
    embedder: ChainEmbedder, level: Level, chains: Iterable[tuple[Place, Chain]], rejected: list[InputError]
) -> Iterator[pa.Table]:
    """Tables of about a chunk, at least one; what cannot be embedded is added to `rejected`.

    A chain that turns out so half-way has rows, but none that is the `last`.
    """
    held: list[dict] = []
    size = 0
    for row in _rows(embedder, level, chains, rejected):
        held.append(row)
        size += row["embedding"].nbytes
        if size > CHUNK_BYTES:
            yield _table(held, level, embedder.channels)
            held, size = [], 0
    yield _table(held, level, embedder.channels)


def _rows(
    embedder: ChainEmbedder, level: Level, chains: Iterable[tuple[Place, Chain]], rejected: list[InputError]
) -> Iterator[dict]:
    of, before = -1, 0
    for place, chain in chains:
        if place["number"] != of:
            of, before = place["number"], 0
        length, residue = 0, 0
        try:
            length, sequence = len(chain.codes_L), decode(chain.codes_L)
            for values in _values(embedder, level, chain):
                count = len(values) if level == "pair" else length
                yield place | {
                    "start": before + residue, "residue": residue, "last": residue + count == length,
                    "id": chain.id, "sequence": sequence, "embedding": values,
                }  # fmt: skip
                residue += count
        except ValueError as error:
            rejected.append(InputError(place["file"], None, str(error), chain.id))
        before += length


def _values(embedder: ChainEmbedder, level: Level, chain: Chain) -> Iterable[np.ndarray]:
    if level == "pair":
        return rows_of_pairs(embedder.pair(chain))  # type: ignore[attr-defined]
    return [embedder.residue(chain) if level == "residue" else embedder.protein(chain)]


def _table(rows: list[dict], level: Level, channels: int) -> pa.Table:
    kinds = {
        "number": pa.int64(), "start": pa.int32(), "chain": pa.int32(), "file": pa.string(), "residue": pa.int32(),
        "last": pa.bool_(), "id": pa.string(), "sequence": pa.string(),
    }  # fmt: skip
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()}
    numbers = embedding_schema(level, channels).field("embedding").type.value_type
    return pa.table(columns | {"embedding": large_lists([row["embedding"] for row in rows], pa.large_list(numbers))})
