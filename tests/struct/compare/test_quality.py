"""C-alpha RMSD and lDDT: by hand, by their invariances, and against biotite."""

import numpy as np
import pytest
from biotite import structure

from protray.struct.compare.quality import ca_lddt, ca_rmsd, distance_map, superpose


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A proper rotation."""
    q_33, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return q_33 * np.sign(np.linalg.det(q_33))


def walk(rng: np.random.Generator, length: int = 60, count: int = 1) -> np.ndarray:
    """Chains with steps of 3.8 Å that keep together, as proteins do; shape (B, L, 3)."""
    steps_BL3 = rng.standard_normal((count, length, 3))
    steps_BL3 *= 3.8 / np.linalg.norm(steps_BL3, axis=2, keepdims=True)
    ca_BL3 = np.zeros((count, length, 3))
    for i in range(1, length):
        ca_BL3[:, i] = 0.9 * ca_BL3[:, i - 1] + steps_BL3[:, i]
    return ca_BL3


def test_rmsd_by_hand() -> None:
    """Points at -1 and 1 against -2 and 2 on a line, turned and moved: each is 1 Å off its partner."""
    model_BL3 = np.array([[[0.0, -1, 0], [0, 1, 0]]])
    reference_BL3 = np.array([[[5.0, 7, 9], [9, 7, 9]]])
    assert ca_rmsd(model_BL3, reference_BL3) == pytest.approx([1])


def test_rmsd_of_one_residue_is_zero() -> None:
    assert ca_rmsd(np.ones((2, 1, 3)), np.zeros((1, 1, 3))) == pytest.approx([0, 0])


def test_moving_and_turning_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    model_BL3 = walk(rng, count=3)
    reference_BL3 = model_BL3 + rng.normal(0, 2, model_BL3.shape)
    moved_BL3 = model_BL3 @ rotation(rng) + 1000 * rng.standard_normal((3, 1, 3))
    assert ca_rmsd(moved_BL3, model_BL3) == pytest.approx(np.zeros(3), abs=1e-9)
    assert ca_rmsd(moved_BL3, reference_BL3) == pytest.approx(ca_rmsd(model_BL3, reference_BL3))
    assert ca_lddt(moved_BL3, reference_BL3) == pytest.approx(ca_lddt(model_BL3, reference_BL3))


def test_a_mirror_image_does_not_match() -> None:
    """A tetrahedron with edges from its corner of 1, 2 and 3 Å: only a reflection brings its mirror image back.

    Both have the singular values of X^T X; turning without a reflection counts the smallest of them against the match
    in place of for it, which costs it twice in both structures: RMSD^2 = 4 s_min / L.
    """
    corner_BL3 = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]]])
    mirror_BL3 = corner_BL3 * [1, 1, -1]
    centred_L3 = corner_BL3[0] - corner_BL3[0].mean(axis=0)
    smallest = np.linalg.eigvalsh(centred_L3.T @ centred_L3)[0]
    assert ca_rmsd(mirror_BL3, corner_BL3) == pytest.approx([2 * np.sqrt(smallest / 4)])
    assert ca_lddt(mirror_BL3, corner_BL3) == pytest.approx([1])


def test_no_other_rotation_is_better() -> None:
    rng = np.random.default_rng(1)
    reference_BL3 = walk(rng, 20)
    model_BL3 = reference_BL3 * [1, 1, -1] + rng.normal(0, 1, reference_BL3.shape)
    rotated_BL3, centred_BL3 = superpose(model_BL3, reference_BL3)
    best = ca_rmsd(model_BL3, reference_BL3)[0]
    for _ in range(200):
        skew_33 = 0.1 * rng.standard_normal((3, 3))
        turn_33, _ = np.linalg.qr(np.eye(3) + skew_33 - skew_33.T)
        turn_33 *= np.sign(np.diag(turn_33))
        other_BL3 = rotated_BL3 @ (turn_33 * np.linalg.det(turn_33))
        assert np.sqrt(np.square(other_BL3 - centred_BL3).sum() / 20) >= best


def test_lddt_by_hand() -> None:
    """Residues on a line at 0, 4, 8 and 30 Å: three pairs are within 15 Å, the last residue has none.

    Moving the first by 1.5 Å changes two of the three distances by 1.5 Å (kept at 2 and 4 Å: 2 / 4) and none of the
    third (4 / 4): (0.5 + 0.5 + 1) / 3.  Moving the last changes nothing.
    """
    reference_BL3 = np.array([[[0.0, 0, 0], [4, 0, 0], [8, 0, 0], [30, 0, 0]]])
    model_BL3 = np.repeat(reference_BL3, 2, axis=0)
    model_BL3[0, 0, 0] = -1.5
    model_BL3[1, 3, 0] = 300
    assert ca_lddt(model_BL3, reference_BL3) == pytest.approx([2 / 3, 1])


def test_lddt_without_a_pair_is_not_a_number() -> None:
    assert np.isnan(ca_lddt(np.zeros((1, 1, 3)), np.zeros((1, 1, 3)))).all()
    assert np.isnan(ca_lddt(np.zeros((1, 2, 3)), np.array([[[0.0, 0, 0], [16, 0, 0]]]))).all()


def test_distances_far_from_the_origin_keep_their_digits() -> None:
    """3 Å apart at 10^4 Å, in float32: exact to its last digit there, 0.001 Å."""
    ca_BL3 = np.array([[[1e4, 1e4, 1e4], [1e4 + 1, 1e4 + 2, 1e4 + 2]]], dtype=np.float32)
    assert distance_map(ca_BL3)[0, 0, 1] == pytest.approx(3, abs=3e-3)


@pytest.mark.parametrize("noise", [0.1, 1.0, 5.0])
def test_agrees_with_biotite(noise) -> None:
    rng = np.random.default_rng(2)
    reference_BL3 = walk(rng)
    model_BL3 = reference_BL3 + rng.normal(0, noise, (4, 60, 3))
    model_BL3[3] *= -1
    array = structure.AtomArray(60)
    array.coord = reference_BL3[0].astype(np.float32)
    array.res_id, array.atom_name, array.element = np.arange(60), np.full(60, "CA"), np.full(60, "C")
    fitted_BL3, _ = structure.superimpose(array.coord, model_BL3.astype(np.float32))
    assert ca_rmsd(model_BL3, reference_BL3) == pytest.approx(structure.rmsd(array.coord, fitted_BL3), abs=1e-4)
    theirs = structure.lddt(array, model_BL3.astype(np.float32), exclude_same_residue=True)
    assert ca_lddt(model_BL3, reference_BL3) == pytest.approx(theirs, abs=1e-3)  # a pair on the edge of a tolerance


@pytest.mark.parametrize("measure", [ca_rmsd, ca_lddt])
def test_what_does_not_fit_is_refused(measure) -> None:
    ca_BL3 = np.zeros((2, 4, 3))
    for other in (np.zeros((3, 4, 3)), np.zeros((2, 5, 3)), np.zeros((4, 3)), np.zeros((2, 4, 2))):
        with pytest.raises(ValueError, match=r"both be of shape \(B, L, 3\)"):
            measure(ca_BL3, other)
    with pytest.raises(ValueError, match="the model has coordinates that are not finite"):
        measure(np.full((1, 4, 3), np.nan), ca_BL3)
