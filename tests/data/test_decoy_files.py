"""Decoys from files: which belong together, which chain counts, and what is said of those that cannot be used."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from structure_text import HELIX, build_backbone, helix, pdb_chain

from protray.data.decoy_files import file_rows, find_targets, read_native
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
    native, decoys = found["a"]
    assert native.name == "native.pdb.gz" and [file.name for file in decoys] == ["good.pdb", "poor.pdb"]
    assert read_native(native).sequence == SEQUENCE


def test_rows_are_scored_against_the_native(folder) -> None:
    rows, errors = file_rows("a", "test", *find_targets(folder)["a"])
    assert not errors and [row["id"] for row in rows] == ["a/good", "a/poor"]
    assert rows[0]["gdt_ts"] > 0.95 > 0.6 > rows[1]["gdt_ts"]
    assert rows[0]["kind"] == "file" and rows[0]["split"] == "test" and rows[0]["sequence"] == SEQUENCE


def test_the_chain_that_is_a_model_of_the_native_counts(folder, tmp_path) -> None:
    other = pdb_chain("WWHHWWHHWWHH", "B")
    file = write(tmp_path / "a" / "complex.pdb", other, pdb_chain(SEQUENCE[2:], "C"))
    rows, errors = file_rows("a", "test", find_targets(folder)["a"][0], [Location(file)])
    assert not errors and rows[0]["sequence"] == SEQUENCE[2:]
    assert rows[0]["gdt_ts"] == pytest.approx(28 / 30, abs=1e-3)  # two residues are missing


def test_what_cannot_be_used_is_named(folder, tmp_path) -> None:
    stranger = write(tmp_path / "a" / "stranger.pdb", pdb_chain("W" * 20))
    broken = tmp_path / "a" / "broken.pdb"
    broken.write_text("no atoms")
    native, decoys = find_targets(folder)["a"]
    assert len(decoys) == 4
    rows, errors = file_rows("a", "test", native, decoys)
    assert [row["id"] for row in rows] == ["a/good", "a/poor"]
    reasons = {Path(error.file).name: error.reason for error in errors}
    assert "they are not the same protein" in reasons[stranger.name]
    assert "holds no protein chain" in reasons[broken.name] and len(errors) == 2
    rows, errors = file_rows("a", "test", Location(broken), decoys)
    assert not rows and "holds no protein chain" in errors[0].reason


def test_folders_that_are_no_targets_are_refused(folder, tmp_path) -> None:
    with pytest.raises(ValueError, match="holds no folders of targets"):
        find_targets(Location(tmp_path / "empty"))
    (tmp_path / "b" / "one.pdb").unlink()
    with pytest.raises(ValueError, match=r"b has 1 files of the name native and 0 decoys"):
        find_targets(folder)
    (tmp_path / "b" / "native.pdb").rename(tmp_path / "b" / "one.pdb")
    with pytest.raises(ValueError, match=r"b has 0 files of the name native and 1 decoys"):
        find_targets(folder)
