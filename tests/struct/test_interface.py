"""Accessible areas of atoms, and what a second one covers."""

import numpy as np
import pytest

from protray.struct.files.chain import HeavyAtoms
from protray.struct.files.io import parse_structure
from protray.struct.interface import areas, buried_areas, radius

RADIUS = 1.88 + 1.4  # of a CA carbon (ProtOr) and of water


def carbon(x: float) -> HeavyAtoms:
    return HeavyAtoms(["CA"], ["C"], ["ALA"], np.array([0]), np.array([[x, 0, 0]], np.float32))


def test_one_atom_is_a_sphere() -> None:
    assert areas(carbon(0))[0] == pytest.approx(4 * np.pi * RADIUS**2, rel=1e-3)


def test_two_spheres_cover_a_cap_of_each() -> None:
    """At distance d each loses the cap of height r - d / 2, whose area is 2 pi r (r - d / 2)."""
    lost = buried_areas([carbon(0), carbon(4.0)])
    assert [one.tolist() for one in lost] == [pytest.approx([2 * np.pi * RADIUS * (RADIUS - 2)], rel=0.03)] * 2
    assert buried_areas([carbon(0), carbon(7.0)])[0][0] == pytest.approx(0, abs=1e-6)


def test_atoms_that_no_table_has_have_a_radius() -> None:
    """A glycine with a CB, a made-up residue, selenium in one, and a made-up element."""
    assert radius("ALA", "CB", "C") == radius("GLY", "CB", "C") == radius("XYZ", "CB", "C") == 1.88
    assert radius("XYZ", "SE", "SE") == 1.9 and radius("XYZ", "Q", "QQ") == 1.8


def test_heavy_atoms_are_read_when_they_are_asked_for() -> None:
    """Without hydrogens; of two locations that of the higher occupancy."""
    text = (
        "ATOM      1  N   SER A   1      11.000   0.000   0.000  1.00  0.00           N\n"
        "ATOM      2  CA  SER A   1      12.458   0.000   0.000  1.00  0.00           C\n"
        "ATOM      3  C   SER A   1      13.000   1.400   0.000  1.00  0.00           C\n"
        "ATOM      4  H   SER A   1      10.500   0.900   0.000  1.00  0.00           H\n"
        "ATOM      5  OG ASER A   1      12.900  -1.000   1.000  0.40  0.00           O\n"
        "ATOM      6  OG BSER A   1      12.900  -1.000  -1.000  0.60  0.00           O\n"
        "END\n"
    )
    (chain,) = parse_structure(text.encode(), "x.pdb", heavy=True).chains
    assert chain.heavy and chain.heavy.names == ["N", "CA", "C", "OG"] and chain.heavy.elements == ["N", "C", "C", "O"]
    assert chain.heavy.xyz_M3[3].tolist() == pytest.approx([12.9, -1, -1]) and chain.heavy.residue_names[0] == "SER"
    assert parse_structure(text.encode(), "x.pdb").chains[0].heavy is None
