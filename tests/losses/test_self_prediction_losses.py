"""Angles, dihedrals, their bins, and the losses of self-prediction, by hand."""

import math

import pytest
import torch

from protray.losses.self_prediction import angle_of, bin_of, class_loss, dihedral_of, distance_loss


def points(*xyz: tuple[float, float, float]) -> list[torch.Tensor]:
    return [torch.tensor(point, dtype=torch.float64) for point in xyz]


@pytest.mark.parametrize(
    ("corner", "degrees"), [((1, 0, 0), 0), ((1, 1, 0), 45), ((0, 2, 0), 90), ((-1, 1, 0), 135), ((-3, 0, 0), 180)]
)
def test_angles_at_the_origin(corner, degrees) -> None:
    assert angle_of(*points((5, 0, 0), (0, 0, 0), corner)).item() == pytest.approx(math.radians(degrees), abs=1e-15)


def test_angles_near_0_keep_their_digits() -> None:
    """acos would say 0 in float32: cos 1e-4 = 1 - 5e-9."""
    a, b, c = (point.float() for point in points((1, 0, 0), (0, 0, 0), (1, 1e-4, 0)))
    assert angle_of(a, b, c).item() == pytest.approx(1e-4, rel=1e-5)


def test_dihedral_has_the_sign_of_iupac() -> None:
    """+90 degrees, and -90 in the mirror."""
    atoms = points((1, 0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 1))
    assert math.degrees(dihedral_of(*atoms).item()) == pytest.approx(90)
    mirror = torch.tensor([1.0, -1, 1], dtype=torch.float64)
    assert math.degrees(dihedral_of(*(atom * mirror for atom in atoms)).item()) == pytest.approx(-90)


def test_dihedral_cis_and_trans() -> None:
    cis = points((1, 0, 0), (0, 0, 0), (0, 0, 1), (2, 0, 1))
    trans = points((1, 0, 0), (0, 0, 0), (0, 0, 1), (-2, 0, 1))
    assert dihedral_of(*cis).item() == 0
    assert abs(dihedral_of(*trans).item()) == pytest.approx(math.pi)


def test_dihedral_is_that_of_biotite() -> None:
    from biotite.structure import dihedral

    atoms = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0))
    expected_N = torch.from_numpy(dihedral(*atoms.numpy()))
    off_N = dihedral_of(*atoms) - expected_N
    assert torch.remainder(off_N + 1, 2 * math.pi).sub(1).abs().max().item() < 1e-4  # its own numbers are float32
    assert expected_N.min().item() < -3 and expected_N.max().item() > 3


def test_bins_by_hand() -> None:
    """16 bins of 22.5 degrees: -pi opens bin 0, pi - eps closes bin 15, pi is -pi, 0 opens bin 8."""
    angles = torch.tensor([-math.pi, math.pi - 1e-9, math.pi, 0.0, -1e-9, math.radians(23)], dtype=torch.float64)
    assert bin_of(angles, 16, signed=True).tolist() == [0, 15, 0, 8, 7, 9]
    assert bin_of(angles, 8, signed=False).tolist() == [7, 7, 7, 0, 0, 1]


@pytest.mark.parametrize("signed", [True, False])
def test_float32_leaves_no_angle_outside_the_bins(signed) -> None:
    ends = torch.tensor([math.pi, -math.pi, 3.1415925, -3.1415925], dtype=torch.float32)
    around = torch.cat([ends, torch.nextafter(ends, torch.tensor(9.0)), torch.nextafter(ends, torch.tensor(-9.0))])
    found = bin_of(around, 16, signed)
    assert 0 <= found.min() and found.max() <= 15


def test_losses_by_hand() -> None:
    """Logits 0 for 20 classes cost ln 20 each; 12 Å is (12 - 8) / 4 = 1, so that 3 is wrong by 2, and 8 Å is 0."""
    loss, count = class_loss(torch.zeros(3, 20), torch.tensor([0, 7, 19]))
    assert (loss.item(), count) == (pytest.approx(3 * math.log(20)), 3)
    loss, count = distance_loss(torch.tensor([3.0, 0.5]), torch.tensor([12.0, 8.0]))
    assert (loss.item(), count) == (4 + 0.25, 2)


def test_no_targets_cost_nothing() -> None:
    logits = torch.zeros(0, 20, requires_grad=True)
    loss, count = class_loss(logits, torch.zeros(0, dtype=torch.int64))
    assert (loss.item(), count) == (0, 0)
