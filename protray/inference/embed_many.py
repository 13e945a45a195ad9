"""Embeddings of many chains as tables, of which few numbers are in memory; what fails of a chain is named.

Columns beside those of ``schemas.EMBEDDINGS`` and ``PAIR_EMBEDDINGS``: what is known of a chain's `place`; `residue`,
the first residue i of the row; `last`, whether the chain is whole with it; and `start`, which counts the residues of
all chains before it in the same row of the input, too.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from protray.data.columns import large_lists
from protray.data.embeddings import CHUNK_BYTES, Level, embedding_schema, rows_of_pairs
from protray.data.structures import StructureChain
from protray.inference.embed import Embedder, check_chain
from protray.seq.alphabet import decode
from protray.seq.errors import InputError

Place = dict  # number of the row of the input, of the chain in it, and the file


def embeddings(
    embedder: Embedder, level: Level, chains: Iterable[tuple[Place, StructureChain]], rejected: list[InputError]
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
    embedder: Embedder, level: Level, chains: Iterable[tuple[Place, StructureChain]], rejected: list[InputError]
) -> Iterator[dict]:
    of, before = -1, 0
    for place, chain in chains:
        if place["number"] != of:
            of, before = place["number"], 0
        length, residue, sequence = len(chain.codes_L), 0, decode(chain.codes_L)
        try:
            check_chain(chain)
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


def _values(embedder: Embedder, level: Level, chain: StructureChain) -> Iterable[np.ndarray]:
    if level == "pair":
        return rows_of_pairs(embedder.pair(chain))
    return [embedder.residue(chain) if level == "residue" else embedder.protein(chain)]


def _table(rows: list[dict], level: Level, channels: int) -> pa.Table:
    kinds = {
        "number": pa.int64(), "start": pa.int32(), "chain": pa.int32(), "file": pa.string(), "residue": pa.int32(),
        "last": pa.bool_(), "id": pa.string(), "sequence": pa.string(),
    }  # fmt: skip
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()}
    numbers = embedding_schema(level, channels).field("embedding").type.value_type
    return pa.table(columns | {"embedding": large_lists([row["embedding"] for row in rows], pa.large_list(numbers))})
