"""Embeddings of many chains as tables: whatever else is in them, and with a chain that fails half-way."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from score_nets import CONFIG, random_chain, random_net

from protray.data import embeddings as tables
from protray.data.embeddings import Level, rows_of_pairs
from protray.data.structure.structures import StructureChain
from protray.inference.embeddings import many as module
from protray.inference.embeddings.many import embeddings
from protray.inference.embeddings.score_net import Embedder
from protray.seq.alphabet import decode
from protray.seq.errors import InputError

C = CONFIG.channels


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(random_net())


def made(embedder: Embedder, level: Level, chains: list[StructureChain]) -> tuple[list[dict], list[InputError]]:
    """Rows of chains that lie two in a row of the input."""
    rejected: list[InputError] = []
    placed = [({"number": n // 2, "chain": n % 2, "file": f"f{n}"}, chain) for n, chain in enumerate(chains)]
    return pa.concat_tables(embeddings(embedder, level, placed, rejected)).to_pylist(), rejected


@pytest.mark.parametrize("level", ["pair", "residue", "protein"])
def test_tables_hold_what_was_computed(embedder, monkeypatch, level) -> None:
    """Long maps come in rows of whole residues i."""
    for place in (tables, module):
        monkeypatch.setattr(place, "CHUNK_BYTES", 2 * 23 * C * 5)  # 5 rows of the longest map
    chains = [random_chain(length, seed=length, id=f"c{length}") for length in (23, 3, 12, 1)]
    bad = replace(random_chain(4, id="bad"), ca_L3=np.full((4, 3), np.nan, np.float32))
    found, rejected = made(embedder, level, [*chains[:2], bad, *chains[2:]])
    assert [(error.id, error.file) for error in rejected] == [("bad", "f2")]
    first, _ = made(embedder, level, chains[::-1])
    if level == "pair":
        starts = {chain.id: [row["residue"] for row in found if row["id"] == chain.id] for chain in chains}
        assert starts == {"c23": [0, 5, 10, 15, 20], "c3": [0], "c12": [0, 9], "c1": [0]}
        assert [row["start"] for row in found] == [0, 5, 10, 15, 20, 23, 4, 13, 0]
        assert [row["last"] for row in found] == [False] * 4 + [True, True, False, True, True]
    for chain in chains:
        values, other = (
            np.concatenate([row["embedding"] for row in rows if row["id"] == chain.id]) for rows in (found, first)
        )
        single = np.concatenate(list(embedder.pair(chain))) if level == "pair" else getattr(embedder, level)(chain)
        np.testing.assert_array_equal(values, single.ravel())
        np.testing.assert_array_equal(other, values)
        assert {row["sequence"] for row in found if row["id"] == chain.id} == {decode(chain.codes_L)}


def test_a_chain_that_fails_half_way_is_never_whole(embedder, monkeypatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_BYTES", 64)
    pair = Embedder.pair

    def fails(self: Embedder, chain: StructureChain) -> Iterator[np.ndarray]:
        for strip_ILC in pair(self, chain):
            yield strip_ILC[:4]
            if chain.id == "c1":
                raise ValueError("not finite")
            yield strip_ILC[4:]

    monkeypatch.setattr(Embedder, "pair", fails)
    found, rejected = made(embedder, "pair", [random_chain(9, seed=n, id=f"c{n}") for n in range(3)])
    assert [(error.id, error.reason) for error in rejected] == [("c1", "not finite")]
    assert {row["id"] for row in found if row["last"]} == {"c0", "c2"}
    assert {row["id"] for row in found} == {"c0", "c1", "c2"}


def test_no_chain_is_an_empty_table(embedder) -> None:
    (table,) = embeddings(embedder, "protein", [], [])
    assert table.num_rows == 0 and table.schema.field("embedding").type == pa.large_list(pa.float32())


@pytest.mark.parametrize("strip", [1, 2, 5, 100])
def test_rows_do_not_depend_on_strips(monkeypatch, strip) -> None:
    """12 rows of 7 pairs of 2 numbers, 28 bytes each: 3 fit into 100 bytes."""
    monkeypatch.setattr(tables, "CHUNK_BYTES", 100)
    whole_ILC = np.arange(12 * 7 * 2, dtype=np.float16).reshape(12, 7, 2)
    found = list(rows_of_pairs(whole_ILC[start : start + strip] for start in range(0, 12, strip)))
    assert [len(rows_ILC) for rows_ILC in found] == [3, 3, 3, 3]
    np.testing.assert_array_equal(np.concatenate(found), whole_ILC)
