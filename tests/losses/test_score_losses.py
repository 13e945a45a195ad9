"""Equations 1 to 5 of denoising score matching, by hand and against autograd."""

import math

import pytest
import torch

from protray.losses.score import coordinate_score, denoising_loss, perturb, true_score
from protray.struct.geometry import distances, without_rigid_motion


def test_eq_1_and_2_by_hand() -> None:
    """x = 1, z = 2, sigma = 0.5: x~ = 1 + 0.5 x 2 = 2, score (1 - 2) / 0.25 = -4 = -z / sigma."""
    ca_BL3, noise_BL3, sigma_B = torch.ones(1, 1, 3), torch.full((1, 1, 3), 2.0), torch.tensor([0.5])
    noisy_BL3 = perturb(ca_BL3, noise_BL3, sigma_B)
    assert noisy_BL3.tolist() == [[[2, 2, 2]]]
    assert true_score(ca_BL3, noisy_BL3, sigma_B).tolist() == [[[-4, -4, -4]]]


def test_eq_2_is_the_gradient_of_the_log_density() -> None:
    ca_BL3, sigma_B = torch.randn(2, 4, 3), torch.tensor([0.3, 2.0])
    noisy_BL3 = (ca_BL3 + torch.randn(2, 4, 3)).requires_grad_()
    scale = sigma_B[:, None, None]
    log_p = torch.distributions.Normal(ca_BL3, scale.expand_as(ca_BL3)).log_prob(noisy_BL3).sum()
    (gradient,) = torch.autograd.grad(log_p, noisy_BL3)
    assert torch.allclose(true_score(ca_BL3, noisy_BL3.detach(), sigma_B), gradient, atol=1e-6)


def test_eq_4_by_hand() -> None:
    """Residues at 0 and 3 Å, h_01 = 0.5, h_10 = 1: g_0 = 2 (0.5 + 1)(0 - 3) = -9, g_1 = +9."""
    noisy_BL3 = torch.tensor([[[0.0, 0, 0], [3, 0, 0]]])
    h_BLL = torch.tensor([[[7.0, 0.5], [1.0, -2.0]]])  # the diagonal pulls at nothing
    assert coordinate_score(h_BLL, noisy_BL3).tolist() == [[[-9, 0, 0], [9, 0, 0]]]


def test_eq_4_is_the_chain_rule() -> None:
    """Where h_ij = dE / d(d_ij^2), G = dE / dX: E = sum of sin(d^2) / 10, whose h is cos(d^2) / 10 by hand."""
    noisy_BL3 = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    differences = noisy_BL3[:, :, None] - noisy_BL3[:, None]
    squares_BLL = differences.square().sum(dim=-1)
    (gradient,) = torch.autograd.grad((squares_BLL.sin() / 10).sum(), noisy_BL3)
    h_BLL = squares_BLL.detach().cos() / 10
    assert torch.allclose(coordinate_score(h_BLL, noisy_BL3.detach()), gradient)


def test_score_has_no_net_force_nor_torque_and_turns_with_the_structure() -> None:
    noisy_BL3, h_BLL = torch.randn(1, 8, 3, dtype=torch.float64), torch.randn(1, 8, 8, dtype=torch.float64)
    score_BL3 = coordinate_score(h_BLL, noisy_BL3)
    assert score_BL3.sum(dim=1).abs().max().item() < 1e-12
    assert torch.linalg.cross(noisy_BL3, score_BL3).sum(dim=1).abs().max().item() < 1e-12
    turn_33 = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    moved_BL3 = noisy_BL3 @ turn_33.T + 5
    assert torch.allclose(coordinate_score(h_BLL, moved_BL3), score_BL3 @ turn_33.T)


def test_eq_5_by_hand() -> None:
    """sigma = 2, one residue off by (1, 2, 2): 4 / 2 x 9 = 18; nothing at the true score."""
    true_BL3 = torch.zeros(1, 1, 3)
    score_BL3 = torch.tensor([[[1.0, 2, 2]]])
    assert denoising_loss(score_BL3, true_BL3, torch.tensor([2.0])).tolist() == [18]
    assert denoising_loss(score_BL3, score_BL3, torch.tensor([2.0])).tolist() == [0]


@pytest.mark.parametrize("sigma", [0.01, 1.0, 10.0])
def test_a_score_of_zero_costs_three_halves_of_the_length(sigma) -> None:
    torch.manual_seed(0)
    ca_BL3, sigma_B = torch.randn(4000, 32, 3), torch.full((4000,), sigma)
    noisy_BL3 = perturb(ca_BL3, torch.randn(4000, 32, 3), sigma_B)
    loss_B = denoising_loss(torch.zeros_like(ca_BL3), true_score(ca_BL3, noisy_BL3, sigma_B), sigma_B)
    assert loss_B.mean().item() == pytest.approx(48, rel=0.01)


@pytest.mark.parametrize(("sigma", "floor"), [(0.01, 3.0), (100.0, 1.5)])
def test_rigid_motions_cost_three(sigma, floor) -> None:
    """Six dimensions, half a unit each; where noise is all there is, it does not turn against itself: three."""
    torch.manual_seed(0)
    ca_BL3, sigma_B = torch.randn(4000, 32, 3), torch.full((4000,), sigma)
    noisy_BL3 = perturb(ca_BL3, torch.randn(4000, 32, 3), sigma_B)
    true_BL3 = true_score(ca_BL3, noisy_BL3, sigma_B)
    loss_B = denoising_loss(without_rigid_motion(true_BL3, noisy_BL3), true_BL3, sigma_B)
    assert loss_B.mean().item() == pytest.approx(floor, rel=0.03)


def test_some_h_reaches_the_target_without_rigid_motion_exactly() -> None:
    """The image of Eq. 4 has rank 3 L - 6: least squares over h leaves nothing of the projected target, and of the
    other just its rigid part."""
    torch.manual_seed(1)
    length = 6
    ca_BL3, sigma_B = torch.randn(1, length, 3, dtype=torch.float64), torch.tensor([0.1], dtype=torch.float64)
    noisy_BL3 = perturb(ca_BL3, torch.randn_like(ca_BL3), sigma_B)
    true_BL3 = true_score(ca_BL3, noisy_BL3, sigma_B)
    units = torch.eye(length**2, dtype=torch.float64).view(-1, length, length)
    image = coordinate_score(units, noisy_BL3.expand(len(units), -1, -1)).flatten(1).T
    assert torch.linalg.matrix_rank(image).item() == 3 * length - 6

    def least(target_BL3: torch.Tensor) -> float:
        flat = target_BL3.flatten()[:, None]
        best = image @ torch.linalg.lstsq(image, flat, driver="gelsd").solution
        return denoising_loss(best.view_as(target_BL3), target_BL3, sigma_B).item()

    projected_BL3 = without_rigid_motion(true_BL3, noisy_BL3)
    assert least(projected_BL3) < 1e-20
    rigid = denoising_loss(projected_BL3, true_BL3, sigma_B).item()
    assert least(true_BL3) == pytest.approx(rigid)
    assert 0 < rigid < 20  # 3 on average


def test_projection_changes_the_loss_by_a_constant() -> None:
    """So the gradient by h is the same with either target."""
    torch.manual_seed(2)
    ca_BL3, sigma_B = torch.randn(1, 9, 3, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    noisy_BL3 = perturb(ca_BL3, torch.randn_like(ca_BL3), sigma_B)
    true_BL3 = true_score(ca_BL3, noisy_BL3, sigma_B)
    gradients = []
    h_BLL = torch.randn(1, 9, 9, dtype=torch.float64, requires_grad=True)
    for target_BL3 in (true_BL3, without_rigid_motion(true_BL3, noisy_BL3)):
        loss = denoising_loss(coordinate_score(h_BLL, noisy_BL3), target_BL3, sigma_B).sum()
        gradients += torch.autograd.grad(loss, h_BLL)
    assert torch.allclose(*gradients)


def test_distances_of_the_noisy_structure_grow_as_expected() -> None:
    """E d~^2 = d^2 + 6 sigma^2."""
    torch.manual_seed(3)
    ca_BL3 = torch.tensor([[[0.0, 0, 0], [3.8, 0, 0]]]).expand(200_000, -1, -1)
    noisy_BL3 = perturb(ca_BL3, torch.randn_like(ca_BL3), torch.full((200_000,), 1.5))
    mean_square = distances(noisy_BL3)[:, 0, 1].square().mean().item()
    assert mean_square == pytest.approx(3.8**2 + 6 * 1.5**2, rel=0.01)
    assert math.isfinite(mean_square)
