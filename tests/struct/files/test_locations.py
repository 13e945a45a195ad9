"""Alternatives: two locations of an atom, two types of a residue in one place."""

import numpy as np
import pytest
from structure_text import SEQUENCE, helix, mmcif, pdb, pdb_chain, read, same

from protray.seq.errors import InputError

LINES = pdb_chain(SEQUENCE)
EXPECTED = read(pdb(LINES)).chains
OTHER = [line.replace("HIS", "SER") for line in pdb_chain(SEQUENCE, "A", helix(12) + np.array([0.3, 0, 0], np.float32))]


def marked(line: str, alt: str, occupancy: float) -> str:
    return f"{line[:16]}{alt}{line[17:54]}{occupancy:6.2f}{line[60:]}"


def two_kinds(alts: str, occupancies: tuple[float, float], shared: int = 0, split: bool = False) -> list[str]:
    """Residue 3 as HIS and SER; its first atoms without a location, all of HIS before SER or atom by atom."""
    rows = slice(8, 12)
    his = [line if k < shared else marked(line, alts[0], occupancies[0]) for k, line in enumerate(LINES[rows])]
    ser = [marked(line, alts[1], occupancies[1]) for line in OTHER[rows][shared:]]
    pairs = [line for pair in zip(his, ser, strict=True) for line in pair] if split else his + ser
    return [*LINES[:8], *pairs, *LINES[12:]]


@pytest.mark.parametrize("alts", ["AB", "BA", "12", "ab", " B", "  "])
@pytest.mark.parametrize("shared", [0, 1])
@pytest.mark.parametrize("split", [False, True])
def test_two_types_at_one_place(alts, shared, split) -> None:
    """The likelier is read, with the atoms that both share; the first of equals."""
    if shared and split:
        return
    for occupancies, letter in (((0.4, 0.6), "S"), ((0.6, 0.4), "H"), ((0.5, 0.5), "H")):
        found = read(pdb(two_kinds(alts, occupancies, shared, split)))
        (chain,) = found.chains
        assert (chain.sequence, found.counts) == (f"MK{letter}LDECSYEVK", {"residues_of_two_kinds": 1})
        assert chain.numbers == EXPECTED[0].numbers
        expected = EXPECTED[0].backbone_L43.copy()
        if letter == "S":
            expected[2, shared:, 0] += np.float32(0.3)
        np.testing.assert_allclose(chain.backbone_L43, expected, atol=2e-3)


def test_a_stretch_of_other_types() -> None:
    """Residues 3 and 4 of one type, and after both their alternatives."""
    one = [marked(line, "A", 0.3) for line in LINES[8:16]]
    two = [marked(line.replace("HIS", "SER").replace("LEU", "ILE"), "B", 0.7) for line in OTHER[8:16]]
    found = read(pdb([*LINES[:8], *one, *two, *LINES[16:]]))
    assert (found.chains[0].sequence, found.counts) == ("MKSIDECSYEVK", {"residues_of_two_kinds": 2})


def test_three_types_at_one_place() -> None:
    three = [marked(line.replace("SER", "GLY"), "C", 0.5) for line in OTHER[8:12]]
    lines = two_kinds("AB", (0.2, 0.3))
    found = read(pdb([*lines[:16], *three, *lines[16:]]))
    assert (found.chains[0].sequence, found.counts) == ("MKGLDECSYEVK", {"residues_of_two_kinds": 1})


def test_two_types_at_one_place_in_mmcif() -> None:
    text = mmcif([("A", "1", "AHA", [1, 2, 3])], sequences=False)
    rows = [line for line in text.splitlines() if " HIS " in line]
    his = [row.replace(" . HIS", " A HIS").replace(" 1.00 0.0 ", " 0.40 0.0 ") for row in rows]
    ser = [row.replace(" . HIS", " B SER").replace(" 1.00 0.0 ", " 0.60 0.0 ") for row in rows]
    found = read(text.replace("\n".join(rows), "\n".join(his + ser)), "x.cif")
    assert (found.chains[0].sequence, found.counts) == ("ASA", {"residues_of_two_kinds": 1})


def test_the_second_of_two_locations_of_a_whole_residue() -> None:
    """Marked by letters or digits, or the first not at all."""
    for alts in ("AB", "12", " B"):
        for occupancies, shift in (((0.4, 0.6), 0.3), ((0.6, 0.4), 0.0)):
            lines = [line.replace("SER A   3", "HIS A   3") for line in two_kinds(alts, occupancies)]
            found = read(pdb(lines))
            assert (found.chains[0].sequence, found.counts["residues_of_two_kinds"]) == (SEQUENCE, 0)
            moved = found.chains[0].backbone_L43 - EXPECTED[0].backbone_L43
            np.testing.assert_allclose(moved[2, :, 0], shift, atol=2e-3)


def test_locations_that_are_not_marked_are_one_residue_if_near() -> None:
    lines = [*LINES[:12], *(line.replace("SER", "HIS") for line in OTHER[8:12]), *LINES[12:]]
    same(read(pdb(lines)).chains, EXPECTED)
    far = [*LINES[:12], *(line[:32] + "9" + line[33:] for line in LINES[8:12]), *LINES[12:]]
    with pytest.raises(InputError, match="a second C-alpha atom of residue 'HIS A 3'"):
        read(pdb(far))
