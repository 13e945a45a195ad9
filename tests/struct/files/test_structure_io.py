"""Structure files and DSSP labels, on ideal helices (synthetic)."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from structure_text import HELIX, atom, build_backbone, mmcif, pdb, pdb_chain

from protray.seq.errors import InputError
from protray.seq.secondary import to_three
from protray.struct import dssp
from protray.struct.files.chain import Chain
from protray.struct.files.io import parse_structure, read_chains, structure_stem
from protray.struct.residues.placement import place


def helix(length: int = 16) -> Chain:
    return Chain("A", "A" * length, build_backbone([HELIX] * length), tuple(map(str, range(1, length + 1))))


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
        ("x.pdb", "", "cannot be read as pdb: the file is empty"),
        ("x.pdb", "HEADER only\n", "no protein chain"),
        ("x.cif", "not a cif file\n", "cannot be read as cif"),
        ("x.cif", "# nothing\n", "cannot be read as cif: it has no data block"),
        ("x.cif", "data_x\n_a.b 1\n", r"no protein chain with C-alpha atoms \(no atoms\)"),
        ("x.pdb", "ATOM  garbage\n", "cannot be read as pdb: Problem in line 1"),
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
    assert structure_stem("ab/pdb4hhb.ent.gz") == "4hhb"
    assert structure_stem("pdb4hhb.pdb") == "pdb4hhb"


@pytest.mark.parametrize("broken", ["     foo", "     nan", "********", "        "])
def test_a_coordinate_that_is_no_number_is_an_error_with_its_line(broken) -> None:
    lines = pdb_chain("ACD")
    lines[5] = lines[5][:38] + broken + lines[5][46:]  # y of the second residue's C-alpha
    with pytest.raises(InputError, match="no three coordinates in 'ATOM      6  CA  CYS A   2") as caught:
        parse_structure(pdb(lines, header=["REMARK 1", "REMARK 2"]).encode(), "x.pdb")
    assert caught.value.line == 8
    full = pdb(["ATOM      1  CA  ALA A   1    1000.1231000.123-100.123  1.00  0.00           C"])
    (chain,) = parse_structure(full.encode(), "x.pdb").chains
    assert chain.backbone_L43[0, 1].tolist() == pytest.approx([1000.123, 1000.123, -100.123])


def ca(residue, number, x, **rest) -> str:
    return atom(1, "CA", residue, "A", number, (x, 0, 0), **rest)


def test_every_decision_by_hand() -> None:
    """Each line is one decision; what is left are residues 1 to 5, 6B, 7, 8, 9 and 10."""
    lines = [
        "HEADER    HYDROLASE                               01-JAN-00   1ABC",
        "EXPDTA    X-RAY DIFFRACTION",
        "REMARK   2 RESOLUTION.    1.90 ANGSTROMS.",
        "MODEL        1",
        ca("MET", "1 ", 0),
        ca("MSE", "2 ", 4, record="HETATM"),  # selenomethionine: M
        ca("UNK", "3 ", 8),  # X
        ca("SEC", "4 ", 12),  # selenocysteine is none of the 20: X
        ca("ALA", "5 ", 16, alt="A", occupancy=0.3),
        ca("ALA", "5 ", 17, alt="B", occupancy=0.5),
        ca("ALA", "5 ", 18, alt="C", occupancy=0.2),
        ca("GLY", "6B", 20),  # an insertion code
        ca("SER", "7 ", 24, alt="A", occupancy=0.4),  # serine or threonine in one place
        ca("THR", "7 ", 25, alt="B", occupancy=0.6),
        *(atom(1, name, "QQQ", "A", "8 ", (28, y, 0), "HETATM") for y, name in enumerate(("N", "CA", "C"))),
        ca("QQQ", "80 ", 28, record="HETATM"),  # unknown, and without N and C: left out
        atom(1, "N", "LYS", "A", "85 ", (28, 0, 0)),  # no C-alpha: left out
        ca("TRP", "9 ", 32, alt="A", occupancy=0.5),  # equal: the first
        ca("TRP", "9 ", 33, alt="B", occupancy=0.5),
        ca("VAL", "10 ", 36),
        "TER",
        ca("GLY", "201 ", 50, record="HETATM"),  # an amino acid, but a ligand
        ca(" CA", "202 ", 60, record="HETATM"),  # calcium
        atom(1, "O", "HOH", "A", "301 ", (70, 0, 0), "HETATM"),
        atom(1, "P", " DA", "B", "1 ", (0, 0, 0)),
        atom(1, "P", " DC", "B", "2 ", (0, 7, 0)),
        "TER",
        "ENDMDL",
        "MODEL        2",
        ca("TRP", "1 ", 0),
        "ENDMDL",
        "END\n",
    ]
    found = parse_structure("\n".join(lines).encode(), "x.pdb")
    (chain,) = found.chains
    assert (found.entry, found.method, found.resolution) == ("1ABC", "X-RAY DIFFRACTION", pytest.approx(1.9))
    assert (chain.id, chain.sequence, chain.entity) == ("A", "MMXXAGTXWV", None)
    assert chain.numbers == ("1", "2", "3", "4", "5", "6B", "7", "8", "9", "10")
    assert chain.positions == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert chain.backbone_L43[:, 1, 0].tolist() == [0, 4, 8, 12, 17, 20, 25, 28, 32, 36]
    assert found.counts == {
        "files_with_several_models": 1,
        "nucleic_acid_chains": 1,
        "waters": 1,
        "ligands": 2,
        "modified_residues": 1,
        "unknown_residues": 3,
        "residues_without_ca": 2,
        "alternate_locations": 2,
        "residues_of_two_kinds": 1,
        "inserted_residues": 1,
    }


def test_locations_are_chosen_per_residue_not_per_atom() -> None:
    """B has the higher occupancy in sum, so N comes from B, too, where A and B are equal; O has no alternatives."""
    atoms = [("N", 0.5, 0.5), ("CA", 0.4, 0.6), ("C", 0.4, 0.6)]
    lines = [
        atom(1, name, "ALA", "A", "1 ", (x, 0, 0), alt=alt, occupancy=occupancy)
        for name, *shares in atoms
        for x, (alt, occupancy) in enumerate(zip("AB", shares, strict=True))
    ]
    (chain,) = parse_structure(pdb([*lines, atom(1, "O", "ALA", "A", "1 ", (9, 0, 0))]).encode(), "x.pdb").chains
    assert chain.backbone_L43[0, :, 0].tolist() == [1, 1, 1, 9]


def test_mmcif_has_entities_and_places_in_their_sequences() -> None:
    header = (
        "_exptl.method 'Solution NMR'\nloop_\n_entity.id\n_entity.type\n7 polymer\n8 polymer\n"
        "loop_\n_entity_poly.entity_id\n_entity_poly.type\n7 'polypeptide(L)'\n8 'polypeptide(D)'"
    )
    text = mmcif([("A", "7", "ACD", [2, 3, 6]), ("B2", "7", "W", [4]), ("C", "8", "AA", [1, 2])], "4HHB", header)
    found = parse_structure(text.encode(), "x.cif")
    assert (found.entry, found.method, found.resolution) == ("4HHB", "SOLUTION NMR", None)
    assert [(c.id, c.sequence, c.entity) for c in found.chains] == [("A", "ACD", "7"), ("B2", "W", "7")]
    assert (found.chains[0].positions, found.chains[0].numbers) == ((2, 3, 6), ("102", "103", "106"))
    assert found.counts == {"other_polymers": 1}
    bare = parse_structure(mmcif([("A", "7", "ACD", [2, 3, 6])], sequences=False).encode(), "x.cif").chains[0]
    assert (bare.entity, bare.positions) == (None, (102, 103, 106))


def test_nucleic_acids_alone_are_named() -> None:
    text = pdb([atom(1, "P", " DA", "B", "1 ", (0, 0, 0)), atom(1, "P", " DC", "B", "2 ", (0, 7, 0))])
    with pytest.raises(InputError, match=r"no protein chain with C-alpha atoms \(1 nucleic acid chains\)"):
        parse_structure(text.encode(), "x.pdb")


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
