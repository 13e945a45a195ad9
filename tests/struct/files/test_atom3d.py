"""ATOM3D's databases: items, atoms as PDB text, and mutations."""

import gzip
import sys

import pytest
from atom3d_here import frame, write_database

from protray.struct.files.atom3d import pdb_text, read_ids, read_items, substitutions, unpacked
from protray.struct.files.io import parse_structure


def test_items_come_in_their_order(tmp_path) -> None:
    write_database(tmp_path / "train", {"b": {"n": 1}, "a": {"n": 2}, "c": {"n": 3}})
    assert read_ids(tmp_path / "train") == ["b", "a", "c"]
    found = read_items(tmp_path / "train", ["b", "c"])
    assert [(id, unpacked(raw)) for id, raw in found] == [("b", {"n": 1}), ("c", {"n": 3})]


@pytest.mark.parametrize(
    "raw", [b"", b"plain", gzip.compress(b"{"), gzip.compress(b"{}")[:-9]], ids=["empty", "plain", "no JSON", "cut"]
)
def test_an_item_that_cannot_be_read(raw) -> None:
    with pytest.raises(ValueError, match="no gzipped JSON"):
        unpacked(raw)
    with pytest.raises(ValueError, match="a JSON list in place of names and values"):
        unpacked(gzip.compress(b"[1]"))


def test_what_is_no_such_database_is_refused(tmp_path, monkeypatch) -> None:
    write_database(tmp_path / "pickled", {}, kind="pkl")
    with pytest.raises(ValueError, match="no database of ATOM3D in JSON: its serialization_format is b'pkl'"):
        read_ids(tmp_path / "pickled")
    with pytest.raises(ValueError, match="is no LMDB"):
        read_ids(tmp_path / "none")
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(ValueError, match="pip install lmdb"):
        read_ids(tmp_path / "pickled")


def test_atoms_as_pdb_text_are_the_chains_again() -> None:
    found = parse_structure(pdb_text(frame({"A": "MKA", "B": "GG"}, insertion="C")).encode(), "x.pdb").chains
    assert [(chain.id, chain.sequence, list(chain.numbers)) for chain in found] == [
        ("A", "MKA", ["10", "11", "12C"]), ("B", "GG", ["10", "11C"]),
    ]  # fmt: skip
    assert found[1].backbone_L43[1].tolist()[1] == pytest.approx([0.0, 50.0, 3.8])
    with pytest.raises(ValueError, match="no column 'chain'"):
        pdb_text({"columns": ["x"], "data": [[1.0]]})
    with pytest.raises(ValueError, match="cannot be written as PDB"):
        pdb_text(frame({"ABCDE": "MKA"}))


def test_cells_may_be_empty_or_of_another_kind() -> None:
    """No chain and no insertion code are blanks; numbers of residues may be 10.0; an atom without x is told."""
    atoms = frame({" ": "MKA"}, insertion="")
    atoms["data"][0][1] = 10.0
    assert "CA  MET A  10" in pdb_text(atoms) and substitutions(atoms, frame({"A": "MGA"})) == "A:K11G"
    atoms["data"][7][6] = None
    with pytest.raises(ValueError, match="atom 7 has no x"):
        pdb_text(atoms)


def test_mutations_are_named_as_tables_name_them() -> None:
    before = frame({"A": "MKA", "B": "GG"}, insertion="C")
    assert substitutions(before, frame({"A": "MAA", "B": "GK"}, insertion="C")) == "A:K11A,B:G11CK"
    with pytest.raises(ValueError, match="the mutant has the residues of the original"):
        substitutions(before, before)
    with pytest.raises(ValueError, match=r"2 residues are in only one of the two structures, such as \('B', 10, ' '\)"):
        substitutions(before, frame({"A": "MKA"}, insertion="C"))
