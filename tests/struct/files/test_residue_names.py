"""Residue names of force fields."""

import pytest
from structure_text import SEQUENCE, atom, each, helix, mmcif, pdb, pdb_chain, read, same

from protray.struct.files.residue_names import FOUR_LETTERS, THREE_LETTERS


@pytest.mark.parametrize("name", sorted(THREE_LETTERS))
def test_names_of_three_letters(name) -> None:
    """In PDB and mmCIF files, at the ends and inside of a chain."""
    standard = THREE_LETTERS[name]
    letter = read(each(pdb_chain("AAA"), lambda line: line.replace("ALA", standard))).chains[0].sequence[0]
    for place in (1, 4, 9):
        expected = "A" * (place - 1) + letter + "A" * (9 - place)
        lines, here = pdb_chain("A" * 9), f"{place:4d}"
        named = each(lines, lambda line, here=here: line[:17] + name + line[20:] if line[22:26] == here else line)
        found = read(named)
        assert (found.chains[0].sequence, found.counts) == (expected, {})
        text = mmcif([("A", "1", "A" * 9, list(range(1, 10)))], sequences=False)
        text = "\n".join(
            line.replace(" ALA ", f" {name} ") if f" 1 {place} ? " in line else line for line in text.splitlines()
        )
        assert read(text, "x.cif").chains[0].sequence == expected


@pytest.mark.parametrize("name", [*sorted(FOUR_LETTERS), "HIS_D", "HIS_E", "NCYS2", "CGLUH"])
def test_names_of_four_letters_in_mmcif(name) -> None:
    text = mmcif([("A", "1", "GGAGG", [1, 2, 3, 4, 5])], sequences=False).replace(" ALA ", f" {name} ")
    standard = FOUR_LETTERS[name[:4]]
    expected = read(each(pdb_chain("GGAGG"), lambda line: line.replace("ALA", standard))).chains[0].sequence
    assert read(text, "x.cif").chains[0].sequence == expected


def test_a_whole_protein_by_the_names_of_charmm() -> None:
    names = {"HIS": "HSE", "CYS": "CYM", "ASP": "ASP", "GLU": "GLU", "LYS": "LSN"}
    lines = pdb_chain(SEQUENCE)
    found = read(each(lines, lambda line: line[:17] + names.get(line[17:20], line[17:20]) + line[20:]))
    same(found.chains, read(pdb(lines)).chains)


def side_chain(name: str) -> list[str]:
    """Homoserine (HSE of the PDB) as it stands in an entry, with an atom of the side chain."""
    lines = [line.replace("HIS", "HSE") for line in pdb_chain("AHA")]
    more = atom(99, name, "HSE", "A", "2 ", helix(3)[1, 1] + 1.5)
    lines = [*lines[:8], more, *lines[8:]]
    return ["HETATM" + line[6:] if line[17:20] == "HSE" else line for line in lines]


def test_homoserine_is_not_histidine() -> None:
    homoserine, histidine = read(pdb(side_chain("OG"))), read(pdb(side_chain("ND1")))
    assert (homoserine.chains[0].sequence, homoserine.counts) == ("ASA", {"modified_residues": 1})
    assert (histidine.chains[0].sequence, histidine.counts) == ("AHA", {})


def test_a_compound_of_such_a_name_without_a_c_alpha_atom_is_none() -> None:
    cyanide = [
        atom(90, "C", "CYN", "A", "90 ", (50, 0, 0), "HETATM"),
        atom(91, "N", "CYN", "A", "90 ", (51, 0, 0), "HETATM"),
    ]
    found = read(pdb(pdb_chain("AAA"), cyanide))
    assert (found.chains[0].sequence, found.counts) == ("AAA", {"ligands": 1})


@pytest.mark.parametrize(
    ("name", "letter"),
    [("MSE", "M"), ("SEP", "S"), ("TPO", "T"), ("PTR", "Y"), ("HYP", "P"), ("CSO", "C"), ("MLY", "K")],
)
def test_modified_residues_count_as_their_parent(name, letter) -> None:
    found = read(each(pdb_chain("AHA"), lambda line: line.replace("HIS", name)))
    assert (found.chains[0].sequence, found.counts) == (f"A{letter}A", {"modified_residues": 1})


@pytest.mark.parametrize("name", ["SEC", "PYL", "UNK", "DAL", "QQQ"])
def test_what_has_no_parent_is_unknown(name) -> None:
    found = read(each(pdb_chain("AHA"), lambda line: line.replace("HIS", name)))
    assert (found.chains[0].sequence, found.counts) == ("AXA", {"unknown_residues": 1})
