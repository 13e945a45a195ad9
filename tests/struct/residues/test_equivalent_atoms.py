"""Equivalent side-chain atoms: the IUPAC rule by hand, and that the file's own choice leaves no trace."""

import numpy as np
import pytest

from protray.seq.alphabet import AMINO_ACIDS, encode
from protray.struct.residues.atom14 import ATOMS, CHI_SLOTS, EQUIVALENT, HAS
from protray.struct.residues.equivalent_atoms import name_equivalents

NAN = [np.nan] * 3


def residue(aa: str, **places: list[float]) -> np.ndarray:
    """One residue with the named atoms alone, shape (1, 14, 3)."""
    atoms_LA3 = np.full((1, 14, 3), np.nan)
    for name, place in places.items():
        atoms_LA3[0, ATOMS[aa].index(name)] = place
    return atoms_LA3


AXIS = {"CA": [1.0, 0, 0], "CB": [0.0, 0, 0], "CG": [0.0, 0, 1]}  # an atom at (x, y, 1) has cos chi2 = x / |(x, y)|
CIS, TRANS = [2.0, 0, 1], [-1.0, 0, 1]


@pytest.mark.parametrize(
    ("od1", "od2", "swapped"),
    [
        (CIS, TRANS, False),  # 0 and 180 degrees
        (TRANS, CIS, True),
        ([0.5, 0.9, 1], [-0.5, -0.9, 1], False),  # 61 and -119
        ([-0.5, -0.9, 1], [0.5, 0.9, 1], True),
        ([0.1, 1, 1], [0.5, -1, 1], True),  # distorted: 84 and -63, the nearer to 0 is the first
        (TRANS, NAN, True),  # one alone: the other would be at 0
        (CIS, NAN, False),
        (NAN, CIS, True),
        (NAN, TRANS, False),
        (NAN, NAN, False),
        ([0.0, 0, 2], [0.0, 0, 3], False),  # on the axis, without an angle
        ([0.0, 0, 1], CIS, True),  # in the place of CG: no angle either, the other tells
    ],
)
def test_asp_by_hand(od1, od2, swapped) -> None:
    given = residue("D", **AXIS, OD1=od1, OD2=od2)
    named, count = name_equivalents(encode("D"), given)
    expected = residue("D", **AXIS, OD1=od2, OD2=od1) if swapped else given
    np.testing.assert_array_equal(named, expected)
    assert count == swapped


def test_both_pairs_of_a_ring_change_places() -> None:
    given = residue("F", **AXIS, CD1=TRANS, CD2=CIS, CE1=[-1, 0, 3], CE2=[1, 0, 3], CZ=[0, 0, 4])
    named, count = name_equivalents(encode("F"), given)
    expected = residue("F", **AXIS, CD1=CIS, CD2=TRANS, CE1=[1, 0, 3], CE2=[-1, 0, 3], CZ=[0, 0, 4])
    np.testing.assert_array_equal(named, expected)
    assert count == 1


def test_no_other_residue_is_touched() -> None:
    """Nor X, nor Asn and Leu, whose atoms of these places are of two kinds."""
    codes_L = encode("".join(aa for aa in AMINO_ACIDS if aa not in EQUIVALENT) + "X")
    atoms_LA3 = np.random.default_rng(0).normal(size=(len(codes_L), 14, 3))
    named, count = name_equivalents(codes_L, atoms_LA3)
    np.testing.assert_array_equal(named, atoms_LA3)
    assert count == 0


def test_which_was_the_first_leaves_no_trace() -> None:
    """Random residues, some atoms missing, and the same with every pair exchanged; coincident atoms are no crash."""
    rng = np.random.default_rng(1)
    codes_L = encode("".join(EQUIVALENT) * 200)
    atoms_LA3 = np.where(HAS[codes_L][:, :, None], rng.normal(size=(len(codes_L), 14, 3)), np.nan)
    atoms_LA3[rng.random(codes_L.shape) < 0.2, 5] = np.nan
    other_LA3 = atoms_LA3.copy()
    for aa, (_, *pairs) in EQUIVALENT.items():
        rows = np.flatnonzero(codes_L == AMINO_ACIDS.index(aa))
        for a, b in ([ATOMS[aa].index(name) for name in pair] for pair in pairs):
            other_LA3[rows, a], other_LA3[rows, b] = atoms_LA3[rows, b], atoms_LA3[rows, a]
    (one, n_one), (two, n_two) = name_equivalents(codes_L, atoms_LA3), name_equivalents(codes_L, other_LA3)
    known_L = np.array([np.isfinite(atoms[CHI_SLOTS[c, EQUIVALENT[AMINO_ACIDS[c]][0] - 1]]).all() for c, atoms in
                        zip(codes_L, atoms_LA3, strict=True)])  # fmt: skip
    np.testing.assert_array_equal(one[known_L], two[known_L])
    assert n_one + n_two == known_L.sum() and 0.4 < n_one / known_L.sum() < 0.6
    named, count = name_equivalents(codes_L, np.zeros((len(codes_L), 14, 3)))
    assert count == 0 and (named == 0).all()
