"""Side chains of files: names and slots, modified residues, alternate locations, and atoms that are none."""

import numpy as np
import pytest
from structure_text import atom, helix, mmcif, pdb, pdb_chain, read

from protray.struct.files.io import Structure, parse_structure
from protray.struct.residues.atom14 import ATOMS

BACKBONE = helix(5)


def side(number: int, name: str, residue: str, shift: tuple[float, float, float], **more: object) -> str:
    """An atom beside the C-alpha atom of residue `number` of the helix."""
    xyz = BACKBONE[number - 1, 1] + np.array(shift, np.float32)
    return atom(900, name, residue, "A", f"{number} ", xyz, **more)  # type: ignore[arg-type]


def chain_with(sequence: str, *lines: str) -> list[str]:
    """A helix in which each line of a side chain stands behind the backbone of its residue."""
    made = []
    for line in pdb_chain(sequence, "A", BACKBONE[: len(sequence)]):
        made.append(line)
        if line[12:16].strip() == "O":
            made += [more for more in lines if more[22:26] == line[22:26]]
    return made


def parsed(lines: list[str] | str, names: str = "iupac", name: str = "x.pdb") -> Structure:
    text = lines if isinstance(lines, str) else pdb(lines)
    return parse_structure(text.encode(), name, side_chains=True, names=names)  # type: ignore[arg-type]


def shifts(structure: Structure, number: int) -> dict[str, list[float]]:
    """The side-chain atoms of a residue of the first chain, from its C-alpha atom on."""
    chain = structure.chains[0]
    assert chain.sidechains_L103 is not None and chain.sidechains_L103.dtype == np.float32
    assert chain.sidechains_L103.shape == (len(chain.sequence), 10, 3)
    atoms_103 = chain.sidechains_L103[number - 1] - chain.backbone_L43[number - 1, 1]
    there = np.flatnonzero(np.isfinite(atoms_103).all(axis=1))
    names = ATOMS.get(chain.sequence[number - 1], ("",) * 14)[4:]
    return {names[slot]: [round(float(x), 2) for x in atoms_103[slot]] for slot in there}


def test_atoms_find_their_slots_in_any_order_and_hydrogens_and_oxt_do_not_count() -> None:
    lines = [
        side(2, "OG", "SER", (2, 0, 0)), side(2, "HB2", "SER", (1, 1, 0)), side(2, "CB", "SER", (1, 0, 0)),
        side(2, "OXT", "SER", (0, 1, 0)), side(2, "XX", "SER", (0, 2, 0)),
    ]  # fmt: skip
    found = parsed(chain_with("ASGGA", *lines))
    assert shifts(found, 2) == {"CB": [1, 0, 0], "OG": [2, 0, 0]}
    assert shifts(found, 1) == shifts(found, 3) == {}
    assert read(pdb(chain_with("ASGGA", *lines))).chains[0].sidechains_L103 is None


def test_selenomethionine_and_other_modified_residues_have_the_atoms_of_the_parent() -> None:
    mse = [side(2, name, "MSE", (1, 0, k)) for k, name in enumerate(("CB", "CG", "SE", "CE"))]
    sep = [side(4, name, "SEP", (2, 0, k)) for k, name in enumerate(("CB", "OG", "P", "O1P"))]
    lines = [line.replace("MET", "MSE") for line in chain_with("AMASA", *mse, *sep)]
    lines = [line.replace("SER", "SEP").replace("ATOM  ", "HETATM") if " 4 " in line else line for line in lines]
    found = parsed(lines)
    assert found.chains[0].sequence == "AMASA" and found.counts["modified_residues"] == 2
    assert shifts(found, 2) == {"CB": [1, 0, 0], "CG": [1, 0, 1], "SD": [1, 0, 2], "CE": [1, 0, 3]}
    assert shifts(found, 4) == {"CB": [2, 0, 0], "OG": [2, 0, 1]}


def test_force_fields_name_of_isoleucine() -> None:
    lines = [side(2, name, "ILE", (1, 0, k)) for k, name in enumerate(("CB", "CG1", "CG2", "CD"))]
    assert shifts(parsed(chain_with("AIA", *lines)), 2)["CD1"] == [1, 0, 3]


def test_a_residue_without_a_parent_has_no_side_chain() -> None:
    found = parsed(chain_with("AXA", side(2, "CB", "UNK", (1, 0, 0))))
    assert found.chains[0].sequence == "AXA" and shifts(found, 2) == {}


def located(number: int, residue: str, name: str, shift: tuple, alt: str, occupancy: float) -> str:
    return side(number, name, residue, shift, alt=alt, occupancy=occupancy)


@pytest.mark.parametrize(("a", "expected"), [(0.6, 1.0), (0.5, 1.0), (0.4, 2.0)])
def test_of_a_backbone_without_locations_the_likelier_side_chain(a, expected) -> None:
    """The sum decides, not each atom: OG alone would choose the other location."""
    lines = [
        located(2, "SER", "CB", (1, 0, 0), "A", a), located(2, "SER", "CB", (2, 0, 0), "B", 1 - a),
        located(2, "SER", "OG", (1, 1, 0), "A", a), located(2, "SER", "OG", (2, 1, 0), "B", 1 - a),
    ]  # fmt: skip
    found = parsed(chain_with("ASA", *lines))
    assert shifts(found, 2) == {"CB": [expected, 0, 0], "OG": [expected, 1, 0]}
    assert found.counts["alternate_locations"] == 1


def test_the_side_chain_is_of_the_backbones_location() -> None:
    """B of the backbone is likelier, A of the side chain; what B lacks is missing, what has none belongs to both."""
    lines = []
    for line in chain_with("ASA"):
        if line.startswith("ATOM") and line[22:26].strip() == "2":
            lines += [f"{line[:16]}{alt}{line[17:54]}{occ:6.2f}{line[60:]}" for alt, occ in (("A", 0.4), ("B", 0.6))]
            if line[12:16].strip() == "O":
                lines += [
                    located(2, "SER", "CB", (1, 0, 0), "A", 0.9), located(2, "SER", "CB", (2, 0, 0), "B", 0.1),
                    located(2, "SER", "OG", (1, 1, 0), "A", 0.9),
                ]  # fmt: skip
        else:
            lines.append(line)
    assert shifts(parsed(lines), 2) == {"CB": [2, 0, 0]}
    lines = [line for line in lines if line[12:16].strip() != "OG"]
    at = next(k for k, line in enumerate(lines) if line[12:16].strip() == "CB")
    lines.insert(at, side(2, "OG", "SER", (3, 0, 0)))
    assert shifts(parsed(lines), 2) == {"OG": [3, 0, 0], "CB": [2, 0, 0]}


def test_swapped_names_give_the_same_side_chain_unless_they_are_kept_as_they_are() -> None:
    """In a plane with CA (at 0), CB and CG, one oxygen back on the side of CA, the other away from it."""
    cis, trans = (0, 1.5, 0.8), (0, 2.4, 2.8)
    right = {"CB": (0, 0, 1.5), "CG": (0, 1.4, 2.0), "OD1": cis, "OD2": trans}
    wrong = right | {"OD1": trans, "OD2": cis}
    lines = [chain_with("ADA", *(side(2, name, "ASP", xyz) for name, xyz in atoms.items())) for atoms in (right, wrong)]
    one, two = map(parsed, lines)
    assert shifts(one, 2) == shifts(two, 2) == {name: list(xyz) for name, xyz in right.items()}
    assert (one.counts["equivalent_atoms_renamed"], two.counts["equivalent_atoms_renamed"]) == (0, 1)
    kept = parsed(lines[1], "as-is")
    assert shifts(kept, 2)["OD1"] == list(trans) and kept.counts["equivalent_atoms_renamed"] == 0


def test_what_cannot_be_an_atom_is_left_out() -> None:
    """Beyond 12 Å of its C-alpha atom; no number.  Atoms in one place are as the file has them."""
    lines = [
        side(2, "CB", "LEU", (0, 0, 11.9)), side(2, "CG", "LEU", (0, 0, 12.1)), side(2, "CD1", "LEU", (0, 0, 0)),
        side(2, "CD2", "LEU", (0, 0, 0)),
    ]  # fmt: skip
    found = parsed(chain_with("ALA", *lines))
    assert shifts(found, 2) == {"CB": [0, 0, 11.9], "CD1": [0, 0, 0], "CD2": [0, 0, 0]}
    assert found.counts["far_side_chain_atoms"] == 1
    text = mmcif([("A", "1", "ASA", [1, 2, 3])])
    row = next(line for line in text.splitlines() if " C CA . SER " in line)
    words = row.split()
    extra = [" ".join([*words[:3], "CB", *words[4:10], "?", *words[11:]]), " ".join([*words[:2], "O OG", *words[4:]])]
    found = parsed(text.replace(row, "\n".join([row, *extra])), name="x.cif")
    assert shifts(found, 2) == {"OG": [0, 0, 0]}


def test_a_c_alpha_trace_and_glycines() -> None:
    trace = [line for line in pdb_chain("ASGGA", "A", BACKBONE) if line[12:16].strip() in ("CA", "")]
    for lines in (trace, chain_with("GGGGG")):
        chain = parsed(lines).chains[0]
        assert chain.sidechains_L103 is not None and np.isnan(chain.sidechains_L103).all()
