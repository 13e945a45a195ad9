"""Structure files and DSSP labels, on an ideal helix and an ideal pair of strands built here (synthetic)."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from protray.seq.msa import InputError
from protray.seq.secondary import to_three
from protray.struct import dssp
from protray.struct.io import Chain, place, read_chains, structure_stem

HELIX = (-57.0, -47.0)


def build_backbone(angles: list[tuple[float, float]]) -> np.ndarray:
    """N, CA, C, O from (phi, psi) in degrees, with Engh & Huber bond lengths and angles; shape (L, 4, 3)."""

    def extend(a, b, c, bond, angle, torsion) -> np.ndarray:
        angle, torsion = np.radians(angle), np.radians(torsion)
        axis = (c - b) / np.linalg.norm(c - b)
        normal = np.cross(b - a, axis)
        normal /= np.linalg.norm(normal)
        local = bond * np.array([-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)])
        return c + np.stack([axis, np.cross(normal, axis), normal], axis=1) @ local

    n, ca = np.zeros(3), np.array([1.458, 0, 0])
    c = ca + 1.525 * np.array([-np.cos(np.radians(111.0)), np.sin(np.radians(111.0)), 0])
    atoms = []
    for index, (_, psi) in enumerate(angles):
        atoms.append([n, ca, c, extend(n, ca, c, 1.231, 120.1, psi + 180)])
        if index + 1 < len(angles):
            next_n = extend(n, ca, c, 1.329, 117.2, psi)
            next_ca = extend(ca, c, next_n, 1.458, 121.7, 180)
            n, ca, c = next_n, next_ca, extend(c, next_n, next_ca, 1.525, 111.0, angles[index + 1][0])
    return np.array(atoms, dtype=np.float32)


def helix(length: int = 16) -> Chain:
    return Chain("A", "A" * length, build_backbone([HELIX] * length), tuple(map(str, range(1, length + 1))))


def atom(serial, name, residue, chain, number, xyz, record="ATOM  ", alt=" ", occupancy=1.0) -> str:
    return (
        f"{record}{serial:5d}  {name:<3s}{alt}{residue} {chain}{number:>5s}   "
        f"{xyz[0]:8.3f}{xyz[1]:8.3f}{xyz[2]:8.3f}{occupancy:6.2f}  0.00           {name[0]}"
    )


PDB = "\n".join(
    [
        atom(1, "N", "MET", "A", "27 ", (0, 0, 0)),
        atom(2, "CA", "MET", "A", "27 ", (1, 0, 0)),
        atom(3, "C", "MET", "A", "27 ", (2, 0, 0)),
        atom(4, "CA", "MSE", "A", "27A", (4, 0, 0), "HETATM", "A", 0.4),
        atom(5, "CA", "MSE", "A", "27A", (5, 0, 0), "HETATM", "B", 0.6),
        atom(6, "CA", " CA", "A", "90 ", (9, 9, 9), "HETATM"),
        atom(7, "O", "HOH", "A", "91 ", (8, 8, 8), "HETATM"),
        atom(8, "CA", "TRP", "b", "-1 ", (3, 2, 1)),
        "END\n",
    ]
)


def test_pdb_by_hand(tmp_path) -> None:
    """Modified residues count as their parent, ions and water do not; of two locations the likelier is read."""
    path = tmp_path / "1abc.pdb.gz"
    path.write_bytes(gzip.compress(PDB.encode()))
    first, second = read_chains(path)
    assert (first.id, first.sequence, first.numbers) == ("A", "MM", ("27", "27A"))
    assert (second.id, second.sequence, second.numbers) == ("b", "W", ("-1",))
    assert first.backbone_L43[0, :3].tolist() == [[0, 0, 0], [1, 0, 0], [2, 0, 0]]
    assert np.isnan(first.backbone_L43[0, 3]).all()
    assert first.backbone_L43[1, 1].tolist() == [5, 0, 0]


def test_mmcif_equals_pdb(tmp_path) -> None:
    from Bio.PDB.mmcifio import MMCIFIO
    from Bio.PDB.PDBParser import PDBParser

    pdb, cif = tmp_path / "x.pdb", tmp_path / "x.cif"
    pdb.write_text(dssp._as_pdb([helix()]))
    writer = MMCIFIO()
    writer.set_structure(PDBParser(QUIET=True).get_structure("x", pdb))
    writer.save(str(cif))
    a, b = read_chains(pdb)[0], read_chains(cif)[0]
    assert (a.id, a.sequence, a.numbers) == (b.id, b.sequence, b.numbers)
    np.testing.assert_array_equal(a.backbone_L43, b.backbone_L43)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.pdb", "", "cannot be read as pdb: Empty file"),
        ("x.pdb", "HEADER only\n", "no protein chain"),
        ("x.cif", "not a cif file\n", "cannot be read as cif"),
        ("x.xyz", "", "is no structure format"),
    ],
)
def test_unusable_file(tmp_path, name, content, reason) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=reason):
        read_chains(path)


def test_stem() -> None:
    assert structure_stem("a/1abc.cif.gz") == "1abc"


@pytest.mark.parametrize(
    ("observed", "sequence", "expected"),
    [
        ("ACD", "ACD", [0, 1, 2]),
        ("AXD", "ACD", [0, 1, 2]),
        ("CD", "ACDE", [1, 2]),
        ("ACFG", "ACDEFG", [0, 1, 4, 5]),
        ("ACD", "ACE", None),
        ("ACDE", "ACD", None),
        ("AK", "ACD", None),
        ("", "ACD", None),
    ],
)
def test_place(observed, sequence, expected) -> None:
    found = place(observed, sequence)
    assert (found if found is None else found.tolist()) == expected


def write_pdb(tmp_path: Path, chains: list[Chain]) -> Path:
    path = tmp_path / "x.pdb"
    path.write_text("\n".join(dssp._as_pdb(chains).splitlines()[2:]) + "\n")  # ATOM records alone
    return path


PROGRAMS = ["pydssp", pytest.param("mkdssp", marks=pytest.mark.skipif(not shutil.which("mkdssp"), reason="no mkdssp"))]


@pytest.mark.parametrize("using", PROGRAMS)
def test_ideal_helix(tmp_path, using) -> None:
    """Residues 2 to L-1 of an ideal helix are H; its ends have no second hydrogen bond."""
    ((chain, states),), used = dssp.assign(write_pdb(tmp_path, [helix()]), using)
    assert used == using
    assert len(chain.sequence) == 16
    assert to_three(states) == "C" + "H" * 14 + "C"


@pytest.mark.parametrize("using", PROGRAMS)
def test_no_label_without_backbone(tmp_path, using) -> None:
    chain = helix()
    chain.backbone_L43[0, 3] = np.nan
    ((_, states),), _ = dssp.assign(write_pdb(tmp_path, [chain]), using)
    assert states[0] == "-"
    assert "-" not in states[1:]


@pytest.mark.parametrize("using", PROGRAMS)
def test_one_residue(tmp_path, using) -> None:
    ((_, states),), _ = dssp.assign(write_pdb(tmp_path, [helix(1)]), using)
    assert states in ("C", "-")  # mkdssp leaves out a residue without neighbours


def test_program_is_said(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(dssp.shutil, "which", lambda name: None)
    (_, used) = dssp.assign(write_pdb(tmp_path, [helix()]))
    assert used == "pydssp"
