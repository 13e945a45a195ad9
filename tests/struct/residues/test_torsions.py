"""Torsions: by hand, against biotite, and the masks."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from biotite.structure import Atom, array, dihedral_backbone
from structure_batches import moved, protein, without

from protray.models.structure.structure_batch import MASKED, StructureBatch
from protray.seq.alphabet import AMINO_ACIDS, UNKNOWN
from protray.struct.residues.atom14 import ATOMS, CA, TURNED_SLOTS, C, N
from protray.struct.residues.torsions import angle, backbone_torsions, dihedral, side_chain_torsions, turn_side_chains


def backbone_of(batch: StructureBatch) -> tuple[torch.Tensor, torch.Tensor]:
    return backbone_torsions(batch.atoms_BLA3, batch.present_BLA, batch.index_BL, batch.chain_BL, batch.real_BL)


def points(*xyz: tuple[float, float, float]) -> list[torch.Tensor]:
    return [torch.tensor(point, dtype=torch.float64) for point in xyz]


@pytest.mark.parametrize(
    ("corner", "degrees"), [((1, 0, 0), 0), ((1, 1, 0), 45), ((0, 2, 0), 90), ((-1, 1, 0), 135), ((-3, 0, 0), 180)]
)
def test_angles_at_the_origin(corner, degrees) -> None:
    assert angle(*points((5, 0, 0), (0, 0, 0), corner)).item() == pytest.approx(math.radians(degrees), abs=1e-15)


def test_angles_near_0_keep_their_digits() -> None:
    """acos would say 0 in float32: cos 1e-4 = 1 - 5e-9."""
    a, b, c = (point.float() for point in points((1, 0, 0), (0, 0, 0), (1, 1e-4, 0)))
    assert angle(a, b, c).item() == pytest.approx(1e-4, rel=1e-5)


def test_dihedral_cis_and_trans() -> None:
    cis = points((1, 0, 0), (0, 0, 0), (0, 0, 1), (2, 0, 1))
    trans = points((1, 0, 0), (0, 0, 0), (0, 0, 1), (-2, 0, 1))
    assert dihedral(*cis).item() == 0
    assert abs(dihedral(*trans).item()) == pytest.approx(math.pi)


def test_dihedral_is_that_of_biotite() -> None:
    from biotite.structure import dihedral as of_biotite

    atoms = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0))
    expected_N = torch.from_numpy(of_biotite(*atoms.numpy()))
    off_N = dihedral(*atoms) - expected_N
    assert torch.remainder(off_N + 1, 2 * math.pi).sub(1).abs().max().item() < 1e-4  # its own numbers are float32
    assert expected_N.min().item() < -3 and expected_N.max().item() > 3


def test_the_sign_is_that_of_iupac() -> None:
    atoms_43 = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]])
    assert dihedral(*atoms_43).item() == pytest.approx(math.pi / 2)
    assert dihedral(*(atoms_43 * torch.tensor([1.0, -1, 1]))).item() == pytest.approx(-math.pi / 2)


def test_backbone_torsions_are_those_of_biotite() -> None:
    one = protein(20)
    atoms = [
        Atom(one.atoms_BLA3[0, residue, slot].numpy(), atom_name=name, res_id=residue, res_name="GLY", chain_id="A")
        for residue in range(20)
        for slot, name in enumerate(("N", "CA", "C"))
    ]
    expected_3L = np.stack(dihedral_backbone(array(atoms)))
    angle_BL3, known_BL3 = backbone_of(one)
    assert (known_BL3[0].numpy() == np.isfinite(expected_3L.T)).all()
    np.testing.assert_allclose(angle_BL3[0], np.nan_to_num(expected_3L.T), atol=1e-5)


def test_masks_of_the_backbone() -> None:
    """Ends, a break behind residue 2, and N of residue 5 missing; columns are phi, psi, omega."""
    one = without(protein(8), [N], [5])
    one = replace(one, index_BL=torch.tensor([[0, 1, 2, 4, 5, 6, 7, 8]]))
    angle_BL3, known_BL3 = backbone_of(one)
    expected = [[0, 1, 1], [1, 1, 1], [1, 0, 0], [0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1], [1, 0, 0]]
    assert known_BL3[0].int().tolist() == expected
    assert not angle_BL3[~known_BL3].any() and angle_BL3[known_BL3].all()


def test_torsions_stay_in_their_chain() -> None:
    one = replace(protein(4), chain_BL=torch.tensor([[0, 0, 1, 1]]))
    assert backbone_of(one)[1][0].int().tolist() == [[0, 1, 1], [1, 0, 0], [0, 1, 1], [1, 0, 0]]


def test_what_lies_on_a_line_has_no_torsion() -> None:
    one = protein(3)
    atoms_BLA3 = one.atoms_BLA3.clone()
    atoms_BLA3[0, 1, C] = 2 * atoms_BLA3[0, 1, CA] - atoms_BLA3[0, 1, N]
    angle_BL3, known_BL3 = backbone_of(replace(one, atoms_BLA3=atoms_BLA3))
    assert angle_BL3.isfinite().all() and known_BL3[0, 1].tolist() == [False, False, True]


def test_chi_of_each_amino_acid() -> None:
    """How many there are, and that the first of serine is N-CA-CB-OG."""
    counts = {
        "A": 0,
        "G": 0,
        "S": 1,
        "C": 1,
        "T": 1,
        "V": 1,
        "P": 2,
        "L": 2,
        "W": 2,
        "D": 2,
        "E": 3,
        "M": 3,
        "K": 4,
        "R": 5,
    }
    one = protein(200)
    angle_BL5, known_BL5 = side_chain_torsions(one.type_BL, one.atoms_BLA3, one.present_BLA)
    for code, known_5 in zip(one.type_BL[0].tolist(), known_BL5[0], strict=True):
        letter = AMINO_ACIDS[code]
        assert letter not in counts or known_5.tolist() == [chi < counts[letter] for chi in range(5)]
    serine = one.type_BL[0].tolist().index(AMINO_ACIDS.index("S"))
    slots = [ATOMS["S"].index(name) for name in ("N", "CA", "CB", "OG")]
    assert angle_BL5[0, serine, 0] == dihedral(*one.atoms_BLA3[0, serine, slots])
    assert not angle_BL5[~known_BL5].any()


@pytest.mark.parametrize("code", [UNKNOWN, MASKED])
def test_what_is_no_amino_acid_has_no_chi(code) -> None:
    one = protein(5)
    everything_BLA = torch.ones_like(one.present_BLA)
    assert not side_chain_torsions(torch.full_like(one.type_BL, code), one.atoms_BLA3, everything_BLA)[1].any()


def test_a_missing_atom_takes_the_torsions_that_need_it() -> None:
    one = protein(1)
    lysine = torch.tensor([[AMINO_ACIDS.index("K")]])
    atoms_BLA3 = torch.randn(1, 1, 14, 3, generator=torch.Generator().manual_seed(0))
    present_BLA = torch.ones_like(one.present_BLA)
    present_BLA[0, 0, ATOMS["K"].index("CE")] = False
    known_BL5 = side_chain_torsions(lysine, atoms_BLA3, present_BLA)[1]
    assert known_BL5.tolist() == [[[True, True, False, False, False]]]


def test_the_mirror_image_has_the_opposite_signs() -> None:
    one = protein(30)
    other = moved(one, shift=3.0, mirror=True)
    torch.testing.assert_close(backbone_of(other)[0], -backbone_of(one)[0])
    torch.testing.assert_close(
        side_chain_torsions(other.type_BL, other.atoms_BLA3, other.present_BLA)[0],
        -side_chain_torsions(one.type_BL, one.atoms_BLA3, one.present_BLA)[0],
    )


def test_what_each_torsion_moves() -> None:
    """All that is further out than its axis; of isoleucine's second CD1 alone, of proline's ring nothing."""

    def moved_by(letter: str, chi: int) -> list[str]:
        moved_A = TURNED_SLOTS[AMINO_ACIDS.index(letter), chi - 1]
        return [name for slot, name in enumerate(ATOMS[letter]) if moved_A[slot]]

    assert moved_by("V", 1) == ["CG1", "CG2"] and moved_by("I", 1) == ["CG1", "CG2", "CD1"]
    assert moved_by("I", 2) == ["CD1"] and moved_by("M", 3) == ["CE"] and moved_by("R", 5) == ["NH1", "NH2"]
    assert moved_by("Y", 2) == ["CD1", "CD2", "CE1", "CE2", "CZ", "OH"]
    assert not moved_by("P", 1) and not moved_by("A", 1) and not TURNED_SLOTS[UNKNOWN].any()


def test_a_quarter_turn_by_hand() -> None:
    """OG of serine beyond an axis along z, 1 to the front: clockwise seen along the axis is from x to y."""
    at = {"CA": (0.0, 0, 0), "CB": (0.0, 0, 1), "OG": (1.0, 0, 2), "N": (1.0, 0, 0)}
    atoms_BLA3, present_BLA = torch.zeros(1, 1, 14, 3), torch.zeros(1, 1, 14, dtype=torch.bool)
    for name, xyz in at.items():
        atoms_BLA3[0, 0, ATOMS["S"].index(name)] = torch.tensor(xyz)
        present_BLA[0, 0, ATOMS["S"].index(name)] = True
    serine, turn_BL5 = torch.tensor([[AMINO_ACIDS.index("S")]]), torch.full((1, 1, 5), math.pi / 2)
    turned_BLA3 = turn_side_chains(serine, atoms_BLA3, present_BLA, turn_BL5)
    og = ATOMS["S"].index("OG")
    torch.testing.assert_close(turned_BLA3[0, 0, og], torch.tensor([0.0, 1, 2]), atol=1e-6, rtol=0)
    torch.testing.assert_close(turned_BLA3[0, 0, :og], atoms_BLA3[0, 0, :og])
    present_BLA[0, 0, ATOMS["S"].index("CB")] = False
    assert torch.equal(turn_side_chains(serine, atoms_BLA3, present_BLA, turn_BL5), atoms_BLA3)


def test_turned_side_chains_have_the_torsions_and_keep_their_bonds() -> None:
    one = protein(200)
    turn_BL5 = torch.randn(1, 200, 5, generator=torch.Generator().manual_seed(0))
    turned_BLA3 = turn_side_chains(one.type_BL, one.atoms_BLA3, one.present_BLA, turn_BL5)
    (before_BL5, known_BL5), (after_BL5, _) = (
        side_chain_torsions(one.type_BL, atoms_BLA3, one.present_BLA) for atoms_BLA3 in (one.atoms_BLA3, turned_BLA3)
    )
    known_BL5 &= (one.type_BL != AMINO_ACIDS.index("P"))[..., None]
    off_BL5 = torch.remainder(after_BL5 - before_BL5 - turn_BL5 + math.pi, 2 * math.pi) - math.pi
    assert known_BL5.sum() > 100 and off_BL5[known_BL5].abs().max() < 1e-3
    for a, b in (("CA", "CB"), ("CB", "CG"), ("CG", "CD"), ("CD", "NE")):
        slots = [ATOMS["R"].index(name) for name in (a, b)]
        arginine_BL = one.type_BL == AMINO_ACIDS.index("R")
        lengths = [(atoms[arginine_BL][:, slots[0]] - atoms[arginine_BL][:, slots[1]]).norm(dim=1)
                   for atoms in (one.atoms_BLA3, turned_BLA3)]  # fmt: skip
        torch.testing.assert_close(*lengths)
