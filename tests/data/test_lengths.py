"""Lengths of proteins, from files read whole and in pieces."""

import bz2
import gzip
import lzma

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protray.data import lengths as module
from protray.data.lengths import Lengths, read_lengths

# sorted by length, as UniRef's files are: 4,000 proteins of 400 down to 1 residue
PROTEINS = [400 - number // 10 for number in range(4000)]


@pytest.fixture
def fasta(tmp_path):  # noqa: ANN201
    path = tmp_path / "p.fasta"
    records = ("\n".join(("A" * n)[at : at + 60] for at in range(0, n, 60)) for n in PROTEINS)
    path.write_text("".join(f">p{number}\n{letters}\n" for number, letters in enumerate(records)))
    return path


def test_a_small_file_is_read_whole(fasta) -> None:
    found = read_lengths([fasta])
    assert (found.total, found.exact, found.note) == (4000, True, "")
    assert found.residues.tolist() == PROTEINS
    assert found.sum(found.residues) == sum(PROTEINS)


def test_cost_is_that_of_all_proteins() -> None:
    """Two of ten proteins cost 4 and 6: all of them 50."""
    found = Lengths(np.array([1, 2]), 10, False)
    assert found.sum(np.array([4.0, 6.0])) == 50
    assert Lengths(np.array([], np.int64), 0, True).sum(np.array([])) == 0


def test_pieces_of_a_large_file_stand_for_all_of_it(fasta, monkeypatch) -> None:
    """What its beginning says would be wrong by a factor of three in the squares."""
    monkeypatch.setattr(module, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(module, "PIECE_BYTES", 10_000)
    found = read_lengths([fasta])
    assert not found.exact and not found.note
    assert found.total == pytest.approx(4000, rel=0.1)
    squares = np.array(PROTEINS, float) ** 2
    assert found.sum(found.residues.astype(float) ** 2) == pytest.approx(squares.sum(), rel=0.1)


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)])
def test_of_a_large_packed_file_the_beginning_is_read_and_that_is_said(fasta, monkeypatch, suffix, pack) -> None:
    packed = fasta.with_name(f"p.fasta{suffix}")
    packed.write_bytes(pack(fasta.read_bytes()))
    assert read_lengths([packed]).exact
    monkeypatch.setattr(module, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(module, "PIECE_BYTES", 1 << 16)
    found = read_lengths([packed])
    assert not found.exact and "if it is sorted by length, that misleads" in found.note
    assert found.total == pytest.approx(4000, rel=0.1)


def test_each_file_counts_by_its_proteins(fasta, monkeypatch) -> None:
    """A small file, read whole, of 4,000 long proteins weighs as much as the pieces of the large one."""
    other = fasta.with_name("q.fasta")
    other.write_text("".join(f">q{number}\nA\n" for number in range(4000)))
    monkeypatch.setattr(module, "WHOLE_BYTES", other.stat().st_size)
    monkeypatch.setattr(module, "PIECE_BYTES", 10_000)
    found = read_lengths([fasta, other])
    assert found.total == pytest.approx(8000, rel=0.1)
    assert (found.residues == 1).mean() == pytest.approx(0.5, abs=0.05)


def test_a_damaged_file_gives_what_is_in_front_of_the_damage(fasta) -> None:
    packed = fasta.with_name("cut.fasta.gz")
    packed.write_bytes(gzip.compress(fasta.read_bytes())[:-20])
    found = read_lengths([packed])
    assert not found.exact and "is damaged" in found.note and 0 < found.total <= 4000


def test_tables(tmp_path, monkeypatch) -> None:
    for number in range(3):
        pq.write_table(pa.table({"sequence": ["A" * (number + 1)] * 10}), tmp_path / f"part-{number}.parquet")
    files = sorted(tmp_path.glob("*.parquet"))
    assert read_lengths(files).sum(read_lengths(files).residues) == 60
    monkeypatch.setattr(module, "ROWS_READ", 15)
    found = read_lengths(files)
    assert (found.total, found.exact) == (30, False)
