"""Decoys from files: which belong together, which chain counts, and what is said of those that cannot be used."""

import gzip
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structure_text import HELIX, build_backbone, helix, pdb_chain

from protray.data.decoys.files import file_rows, find_targets, sequence_of
from protray.data.decoys.score_tables import read_residues, read_scores
from protray.data.location import Location

SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQLEERLGLI"
NEAR = helix(30) + np.random.default_rng(0).normal(0, 0.2, (30, 4, 3)).astype(np.float32)
HALF = build_backbone([HELIX] * 15 + [(-120.0, 130.0)] * 15)  # the second half as a strand


def write(path: Path, *chains: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([line for chain in chains for line in [*chain, "TER"]] + ["END", ""])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def folder(tmp_path) -> Location:
    write(tmp_path / "a" / "native.pdb.gz", pdb_chain(SEQUENCE))
    write(tmp_path / "a" / "good.pdb", pdb_chain(SEQUENCE, backbone_L43=NEAR))
    write(tmp_path / "a" / "poor.pdb", pdb_chain(SEQUENCE, backbone_L43=HALF))
    write(tmp_path / "b" / "native.pdb", pdb_chain(SEQUENCE[::-1]))
    write(tmp_path / "b" / "one.pdb", pdb_chain(SEQUENCE[::-1]))
    (tmp_path / "notes.txt").write_text("no structure")
    return Location(tmp_path)


def test_targets_and_their_files(folder) -> None:
    found = find_targets(folder)
    assert list(found) == ["a", "b"]
    native, decoys = found["a"].native, found["a"].decoys
    assert native is not None and native.name == "native.pdb.gz"
    assert [file.name for file in decoys] == ["good.pdb", "poor.pdb"] and not found["a"].scores
    assert sequence_of(found["a"]) == SEQUENCE


def test_rows_are_scored_against_the_native(folder) -> None:
    rows, errors = file_rows("a", "test", find_targets(folder)["a"])
    assert not errors and [row["id"] for row in rows] == ["a/good", "a/poor"]
    assert rows[0]["gdt_ts"] > 0.95 > 0.6 > rows[1]["gdt_ts"]
    assert rows[0]["kind"] == "file" and rows[0]["split"] == "test" and rows[0]["sequence"] == SEQUENCE


def test_the_chain_that_is_a_model_of_the_native_counts(folder, tmp_path) -> None:
    other = pdb_chain("WWHHWWHHWWHH", "B")
    file = write(tmp_path / "a" / "complex.pdb", other, pdb_chain(SEQUENCE[2:], "C"))
    rows, errors = file_rows("a", "test", replace(find_targets(folder)["a"], decoys=[Location(file)]))
    assert not errors and rows[0]["sequence"] == SEQUENCE[2:]
    assert rows[0]["gdt_ts"] == pytest.approx(28 / 30, abs=1e-3)  # two residues are missing


def test_what_cannot_be_used_is_named(folder, tmp_path) -> None:
    stranger = write(tmp_path / "a" / "stranger.pdb", pdb_chain("W" * 20))
    broken = tmp_path / "a" / "broken.pdb"
    broken.write_text("no atoms")
    files = find_targets(folder)["a"]
    assert len(files.decoys) == 4
    rows, errors = file_rows("a", "test", files)
    assert [row["id"] for row in rows] == ["a/good", "a/poor"]
    reasons = {Path(error.file).name: error.reason for error in errors}
    assert "they are not the same protein" in reasons[stranger.name]
    assert "holds no protein chain" in reasons[broken.name] and len(errors) == 2
    rows, errors = file_rows("a", "test", replace(files, native=Location(broken)))
    assert not rows and "holds no protein chain" in errors[0].reason


def test_folders_that_are_no_targets_are_refused(folder, tmp_path) -> None:
    with pytest.raises(ValueError, match="holds no folders of targets"):
        find_targets(Location(tmp_path / "empty"))
    (tmp_path / "b" / "one.pdb").unlink()
    with pytest.raises(ValueError, match=r"b has 1 files of the name native, 0 decoys, and 0 of them with scores"):
        find_targets(folder)
    (tmp_path / "b" / "native.pdb").rename(tmp_path / "b" / "one.pdb")
    with pytest.raises(ValueError, match=r"b has 0 files of the name native, 1 decoys"):
        find_targets(folder)


# ---- a table of scores


def test_scores_of_the_table_count_and_the_others_are_computed(folder, tmp_path) -> None:
    """CASP's own, and CAD, which nothing here computes; `poor` has no row."""
    (tmp_path / "scores.csv").write_text("target,decoy,gdt_ts,cad\na,good,0.25,0.75\nb,one,,0.5\n")
    targets = find_targets(folder)
    rows, errors = file_rows("a", "test", targets["a"])
    assert not errors and [row["cad"] for row in rows] == [0.75, None]
    assert rows[0]["gdt_ts"] == 0.25 and rows[0]["gdt_ha"] > 0.9 and rows[1]["gdt_ts"] < 0.6
    (row,), _ = file_rows("b", "test", targets["b"])
    assert row["cad"] == 0.5 and row["gdt_ts"] == pytest.approx(1)


def test_scores_of_residues_may_be_given(folder, tmp_path, caplog) -> None:
    """By their numbers in the file; CAD, which nothing here computes, of some of them."""
    (tmp_path / "residues.csv").write_text(
        "target,decoy,residue,cad,lddt\na,good,2,0.25,\na,good,30,,0.5\na,gone,1,1,1\n"
    )
    with caplog.at_level(logging.WARNING):
        targets = find_targets(folder)
    assert "name decoys without a file: 1" in caplog.text and "the first is gone of a" in caplog.text
    (good, poor), errors = file_rows("a", "test", targets["a"])
    assert not errors and good["residue_cad"] == [None, 0.25, *[None] * 28] and poor["residue_cad"] == [None] * 30
    assert good["residue_lddt"][-1] == 0.5 and good["residue_lddt"][0] > 0.9
    (tmp_path / "residues.csv").write_text("target,decoy,residue,cad\na,good,31,0.25\n")
    (row,), (error,) = file_rows("a", "test", find_targets(folder)["a"])
    assert row["id"] == "a/poor" and "residue 31 of residues.csv is not in its chain A" in error.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("target,decoy,cad\na,good,0.25\n", "has no column 'residue'"),
        ("target,decoy,residue,tm\na,b,1,0.5\n", "column 'tm' is unknown; .* and any of lddt, cad"),
        ("target,decoy,residue,cad\na,b,1,0.5\na,b.pdb,1.0,0.6\n", "cad of residue 1 of 'b' is also in a line before"),
        ("target,decoy,residue,cad\na,b, ,0.5\n", "its residue is empty"),
    ],
)
def test_a_table_of_residues_that_is_none_is_refused(tmp_path, text, reason) -> None:
    (tmp_path / "residues.csv").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_residues(Location(tmp_path / "residues.csv"))


def test_scores_of_a_residue_may_come_one_by_one(tmp_path) -> None:
    (tmp_path / "residues.csv").write_text("target,decoy,residue,cad,lddt\na,b,27A,0.5,\na,b.pdb,27A,,0.25\n")
    assert read_residues(Location(tmp_path / "residues.csv")) == {"a": {"b": {"27A": {"cad": 0.5, "lddt": 0.25}}}}


def test_a_target_without_native_has_what_the_table_says(folder, tmp_path) -> None:
    (tmp_path / "a" / "native.pdb.gz").unlink()
    (tmp_path / "scores.csv").write_text("target,decoy,gdt_ts\na,good,0.9\n")
    files = find_targets(folder)["a"]
    assert files.native is None and sequence_of(files) == SEQUENCE
    (row,), (error,) = file_rows("a", "test", files)
    assert (row["gdt_ts"], row["tm"], row["residue_lddt"]) == (0.9, None, [None] * 30)
    assert "no native, and no score in the table" in error.reason and error.file.endswith("poor.pdb")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("target,gdt_ts\na,0.5\n", "has no column 'decoy'"),
        (
            "target,decoy,quality\na,b,0.5\n",
            "column 'quality' is unknown; the columns must be target, decoy, and any of tm",
        ),
        ("target,decoy,gdt_ts\na,b,high\n", "a score is no number"),
        ("target,decoy,gdt_ts\na,b,55.1\n", "shares from 0 to 1, not percent"),
        ("target,decoy,gdt_ts\na,,0.5\n", "its decoy is empty"),
        ("target,decoy,gdt_ts\na,b,0,5\n", "4 cells, but the first line names 3 columns; quote commas"),
        ("target,decoy,gdt_ts\na,b,0.5\na,b.pdb,0.6\n", "decoy 'b' of 'a' is also in a line before"),
        ("", "has no column 'target'"),
        ("target,decoy,split\na,b,casp\n", "the split of a target is one of train, .* got 'casp'"),
        ("target,decoy,split\na,b,train\na,c,test\n", "got 'test' after 'train'"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, reason) -> None:
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_scores(Location(tmp_path / "scores.csv"))
