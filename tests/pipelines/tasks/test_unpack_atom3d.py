"""ATOM3D's PSR and MSP as folders and tables that the jobs read; after a stop it goes on; nothing is lost silently."""

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from atom3d_here import frame, write_database

from protray.data.decoys.files import find_targets
from protray.data.location import Location
from protray.data.tasks.mutations import read_mutants
from protray.pipelines.tasks import atom3d as module
from protray.pipelines.tasks.atom3d import unpack_command

LONG = "MKAGKAMGKAMGAKMGKAMGAKGMAKGM"


def unpack(data: Path, out: Path) -> int:
    return unpack_command(None, ["--data", str(data), "--out", str(out)])


@pytest.fixture
def psr(tmp_path) -> Path:
    for n, name in enumerate(("train", "val", "test")):
        scores = {"gdt_ts": 0.5, "rmsd": 3.0, "tm": 0.25 * n}
        items = {str((f"T{n}", model)): {"atoms": frame({"A": LONG}), "scores": scores} for model in ("a.pdb", "b")}
        write_database(tmp_path / "psr" / name, items)
    return tmp_path / "psr"


def mutant(new: str, label: str | int) -> dict:
    return {
        "original_atoms": frame({"A": LONG, "B": LONG}), "mutated_atoms": frame({"A": LONG, "B": new + LONG[1:]}),
        "label": label,
    }  # fmt: skip


@pytest.fixture
def msp(tmp_path) -> Path:
    """One mutant of three in the last split is none."""
    for name in ("train", "val", "test"):
        items = {f"1ABC_{name}_{new}": mutant(new, label) for new, label in (("K", "1"), ("A", 0))}
        write_database(tmp_path / "msp" / name, items | ({"1ABC_same": mutant("M", 1)} if name == "test" else {}))
    return tmp_path / "msp"


def test_models_and_their_scores(psr, tmp_path) -> None:
    assert unpack(psr, tmp_path / "out") == 0
    found = find_targets(Location(tmp_path / "out"))
    assert {target: (len(files.decoys), files.native, files.split) for target, files in found.items()} == {
        "T0": (2, None, "train"), "T1": (2, None, "validation"), "T2": (2, None, "test"),
    }  # fmt: skip
    assert found["T2"].scores == {model: {"gdt_ts": 0.5, "tm": 0.5} for model in "ab"}


def test_mutants_and_whether_they_bind_better(msp, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("protray.cluster.storage.rejects.MOST_REJECTED", 0.2)
    assert unpack(msp, tmp_path / "out") == 0
    mutants, errors = read_mutants(Location(tmp_path / "out" / "mutations.csv"), complexes=True)
    assert not errors and [(one.row.id, one.sites, one.to, one.value) for one in mutants][:2] == [
        ("1ABC_train_K", (len(LONG),), "K", -1.0), ("1ABC_train_A", (len(LONG),), "A", 1.0),
    ]  # fmt: skip
    assert [one.row.more["split"] for one in mutants] == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    assert len(list((tmp_path / "out" / "complexes").iterdir())) == 1
    (lost,) = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert lost["id"] == "1ABC_same" and "residues of the original" in lost["reason"]
    assert "6 items, 1 that cannot be used" in capsys.readouterr().out


def test_too_many_lost_items_are_an_error(msp, tmp_path, capsys) -> None:
    assert unpack(msp, tmp_path / "out") == 1
    assert "1 of 7 items cannot be used" in capsys.readouterr().err


def test_a_stopped_run_goes_on_behind_its_last_whole_line(psr, tmp_path, monkeypatch) -> None:
    assert unpack(psr, tmp_path / "out") == 0
    table = tmp_path / "out" / "scores.csv"
    whole = table.read_bytes()
    table.write_bytes(whole[: whole.index(b"T1,b") + 5])
    written = []
    monkeypatch.setattr(module, "pdb_text", lambda atoms: written.append(atoms) or "END\n")
    assert unpack(psr, tmp_path / "out") == 0
    assert table.read_bytes() == whole and len(written) == 3
    assert len(list(csv.DictReader(table.open()))) == 6


def test_a_table_of_other_data_is_left_alone(psr, msp, tmp_path, capsys) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "scores.csv").write_text("target,decoy,tm\nmine,x,1\n")
    assert unpack(psr, tmp_path / "other") == 1
    assert "is there and has other columns; choose another --out" in capsys.readouterr().err
    assert unpack(psr, tmp_path / "out") == 0
    table = (tmp_path / "out" / "scores.csv").read_text()
    (tmp_path / "out" / "scores.csv").write_text(table.replace("T1,b", "T9,b"))
    assert unpack(psr, tmp_path / "out") == 1
    assert "has rows of other data than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("id", "more", "told"),
    [
        ("('../../up', 'a')", {}, "'../../up' cannot name a file"),
        ("('T1', 'native.pdb')", {}, "'native' cannot name a file"),
        ("QUARK_TS1.pdb", {}, "the id does not name a target and a model"),
        ("('T0', 'a')", {}, "another item has the same names"),
        ("('T9', 'a')", {"scores": None}, "of tm, gdt_ts, gdt_ha, lddt, cad it has none"),
        ("('T9', 'a')", {"scores": {"tm": float("nan")}}, "it has {'tm': nan}; needed are shares from 0 to 1"),
        ("('T9', 'a')", {"atoms": {"columns": [], "data": []}}, "no column 'chain'"),
    ],
)
def test_an_item_that_cannot_be_used_is_told_and_the_others_are_written(tmp_path, monkeypatch, id, more, told) -> None:
    monkeypatch.setattr("protray.cluster.storage.rejects.MOST_REJECTED", 0.5)
    plain = {"atoms": frame({"A": LONG}), "scores": {"tm": 0.5}}
    for n, name in enumerate(("train", "val", "test")):
        write_database(tmp_path / "psr" / name, {str((f"T{n}", "a")): plain} | ({id: plain | more} if n == 2 else {}))
    assert unpack(tmp_path / "psr", tmp_path / "out") == 0
    (lost,) = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert told in lost["reason"] and lost["file"].endswith("test") and lost["id"] == id
    assert set(find_targets(Location(tmp_path / "out"))) == {"T0", "T1", "T2"}
    assert {file.name for file in tmp_path.iterdir()} == {"psr", "out"}


def test_another_task_of_atom3d_is_refused(tmp_path, capsys) -> None:
    for name in ("train", "val", "test"):
        write_database(tmp_path / "lba" / name, {"1abc": {"atoms_pocket": {}}})
    assert unpack(tmp_path / "lba", tmp_path / "out") == 1
    assert "is neither PSR nor MSP of ATOM3D: its first item has atoms_pocket" in capsys.readouterr().err


def test_a_folder_without_the_three_databases_is_refused(psr, tmp_path, capsys) -> None:
    assert unpack(psr / "train", tmp_path / "out") == 1
    assert "is no LMDB; --data is a folder with train, val, test" in capsys.readouterr().err
