"""Distances and rigid motions, against hand calculations and properties."""

import pytest
import torch

from protray.struct.geometry import distances, without_rigid_motion


def test_distances() -> None:
    """A 3-4-5 triangle."""
    ca_BL3 = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [3, 4, 0]]])
    assert distances(ca_BL3)[0].tolist() == [[0, 3, 5], [3, 0, 4], [5, 4, 0]]


def test_short_distances_far_from_the_origin_keep_their_digits() -> None:
    ca_BL3 = torch.tensor([[[1000.0, 0, 0], [1000.0625, 0, 0]]])
    assert distances(ca_BL3)[0, 0, 1].item() == 0.0625


def test_translation_and_rotation_are_taken_out() -> None:
    """v = t + omega x r is a rigid motion, so nothing is left of it."""
    ca_BL3 = torch.randn(3, 10, 3, dtype=torch.float64)
    t_3, omega_3 = torch.tensor([1.0, -2, 3]).double(), torch.tensor([0.3, 0.5, -0.7]).double()
    v_BL3 = t_3 + torch.linalg.cross(omega_3.expand_as(ca_BL3), ca_BL3)
    assert without_rigid_motion(v_BL3, ca_BL3).abs().max().item() < 1e-12


def test_what_is_left_has_no_force_and_no_torque_and_is_a_projection() -> None:
    ca_BL3, v_BL3 = torch.randn(2, 7, 3, dtype=torch.float64), torch.randn(2, 7, 3, dtype=torch.float64)
    left_BL3 = without_rigid_motion(v_BL3, ca_BL3)
    assert left_BL3.sum(dim=1).abs().max().item() < 1e-12
    assert torch.linalg.cross(ca_BL3, left_BL3).sum(dim=1).abs().max().item() < 1e-12
    assert torch.allclose(without_rigid_motion(left_BL3, ca_BL3), left_BL3)
    lost_B = (v_BL3 - left_BL3).square().sum(dim=(1, 2))  # orthogonal: squares add up
    assert torch.allclose(v_BL3.square().sum(dim=(1, 2)), left_BL3.square().sum(dim=(1, 2)) + lost_B)


def test_six_dimensions_are_rigid() -> None:
    """The projection of the 3 L unit vectors has trace 3 L - 6; 3 L - 5 on a line; 0 for a single residue."""

    def rank(ca_L3: torch.Tensor) -> float:
        size = ca_L3.numel()
        units = torch.eye(size, dtype=torch.float64).view(size, -1, 3)
        left = without_rigid_motion(units, ca_L3.expand(size, -1, -1))
        return left.reshape(size, size).trace().item()

    assert rank(torch.randn(5, 3, dtype=torch.float64)) == pytest.approx(9)
    line_L3 = torch.arange(4.0, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 0, 0]], dtype=torch.float64)
    assert rank(line_L3) == pytest.approx(7)
    assert rank(torch.ones(1, 3, dtype=torch.float64)) == pytest.approx(0)
    assert rank(torch.ones(4, 3, dtype=torch.float64)) == pytest.approx(9)  # all at one point: only translations


def test_float32_is_precise_enough_for_the_smallest_noise() -> None:
    """Targets of 1 / sigma = 100 per Å on a chain of 100 Å: force left over stays 1e-5 of that."""
    ca_BL3, v_BL3 = 50 * torch.randn(1, 300, 3), 100 * torch.randn(1, 300, 3)
    exact = without_rigid_motion(v_BL3.double(), ca_BL3.double())
    assert (without_rigid_motion(v_BL3, ca_BL3) - exact).abs().max().item() < 1e-3
