"""Noise levels, targets and losses of both denoising heads, by hand; and what a zero answer costs, by simulation."""

import numpy as np
import pytest
import torch

from protray.losses.diffusion import (
    FRAME_ZERO_LOSS,
    as_vectors,
    masked_share,
    noise_levels,
    pair_target,
    pair_zero_loss,
    pairs_of,
    variance_steps,
    vector_loss,
)


def test_levels_of_siamdiff() -> None:
    """0.0353 Å first, 13.93 Å last; quartiles of the note: 0.26, 0.98, 3.9 Å."""
    s_T = noise_levels("siamdiff")
    assert len(s_T) == 100 and (np.diff(s_T) > 0).all()
    assert s_T[[0, 99]] == pytest.approx([0.0353, 13.93], rel=2e-3)
    assert s_T[[24, 49, 74]] == pytest.approx([0.26, 0.98, 3.9], rel=0.06)
    beta_T = variance_steps(100, 1e-3, 0.1)
    assert beta_T[0] == pytest.approx(1e-3 + 0.099 / (1 + np.exp(6)))
    assert s_T[0] == pytest.approx(np.sqrt(beta_T[0] / (1 - beta_T[0])))


def test_levels_of_the_second_stage() -> None:
    """beta = 1e-4 throughout: s_t = sqrt(1 / 0.9999^(t + 1) - 1)."""
    assert noise_levels("siamdiff-2").round(4).tolist() == [0.01, 0.0141, 0.0173, 0.02, 0.0224]


def test_geometric_levels() -> None:
    s_T = noise_levels("geometric")
    assert s_T[[0, -1]] == pytest.approx([0.05, 3])
    assert s_T[1:] / s_T[:-1] == pytest.approx((3 / 0.05) ** (1 / 15))


def test_masked_share() -> None:
    assert masked_share(0, 100) == pytest.approx(0.1585)
    assert masked_share(99, 100) == pytest.approx(1)


def test_pair_target_on_two_residues() -> None:
    """1 Å apart, the second moved by 0.1 Å along the bond: b = -+0.1 / s at both ends, v pulls it back."""
    clean_BL3, idx_BLK = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]]), torch.tensor([[[1], [0]]])
    kept_BLK, sigma_B = torch.ones(1, 2, 1, dtype=torch.bool), torch.tensor([0.2])
    for move in (0.1, -0.1):
        noisy_BL3 = torch.tensor([[[0.0, 0, 0], [1 + move, 0, 0]]])
        noisy_BLK, unit_BLK3 = pairs_of(noisy_BL3, idx_BLK)
        b_BLK = pair_target(pairs_of(clean_BL3, idx_BLK)[0], noisy_BLK, sigma_B)
        assert b_BLK.flatten().tolist() == pytest.approx([-move / 0.2] * 2, rel=1e-5)
        assert unit_BLK3.squeeze().tolist() == [[-1, 0, 0], [1, 0, 0]]  # from j to i
        v_BL3 = as_vectors(b_BLK, unit_BLK3, kept_BLK)
        assert v_BL3.flatten().tolist() == pytest.approx([move / 0.2, 0, 0, -move / 0.2, 0, 0], rel=1e-5)
        loss_B = vector_loss(torch.zeros(1, 2, 3), v_BL3, torch.ones(1, 2, dtype=torch.bool))
        assert loss_B.item() == pytest.approx(0.5 * 0.5**2, rel=1e-5)


def test_vectors_are_means_over_the_kept_neighbours() -> None:
    unit_BLK3 = torch.eye(3)[None, None]
    a_BLK = torch.tensor([[[2.0, 4.0, 100.0]]])
    assert as_vectors(a_BLK, unit_BLK3, torch.tensor([[[True, True, False]]])).tolist() == [[[1, 2, 0]]]
    assert as_vectors(a_BLK, unit_BLK3, torch.zeros(1, 1, 3, dtype=torch.bool)).tolist() == [[[0, 0, 0]]]


def test_losses_are_means_over_the_residues_asked_for() -> None:
    """|(0, 2, 0)|^2 / 2 = 2 and |(2, 2, 0)|^2 / 2 = 4; the third is not asked for, and one protein has none."""
    found_BL3 = torch.tensor([[[0.0, 2, 0], [2, 2, 0], [50, 0, 0]], [[9, 9, 9]] * 3])
    asked_BL = torch.tensor([[True, True, False], [False, False, False]])
    assert vector_loss(found_BL3, torch.zeros(2, 3, 3), asked_BL).tolist() == [3, 0]


def chain(length: int = 100) -> torch.Tensor:
    """A walk of steps of 3.8 Å, no two residues nearer than 3.5 Å."""
    rng = np.random.default_rng(3)
    places = [np.zeros(3)]
    while len(places) < length:
        step = rng.standard_normal(3) - 0.05 * places[-1]  # back to the middle, so that it is compact
        new = places[-1] + 3.8 * step / np.linalg.norm(step)
        if min(np.linalg.norm(np.array(places) - new, axis=1)) > 3.5:
            places.append(new)
    return torch.from_numpy(np.array(places))


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 0.5])
def test_zero_answers_of_pairs_cost_what_they_should(sigma) -> None:
    """1/2 (tr M^2 + 1/K) of the clean chain, within 3 standard errors of 300 draws and 2 % for what is not linear."""
    torch.manual_seed(0)
    clean_BL3 = chain().expand(300, -1, -1)
    idx_BLK = torch.cdist(clean_BL3, clean_BL3).topk(21, largest=False).indices[:, :, 1:]
    kept_BLK, asked_BL = torch.ones_like(idx_BLK, dtype=torch.bool), torch.ones(300, 100, dtype=torch.bool)
    clean_BLK, clean_unit_BLK3 = pairs_of(clean_BL3, idx_BLK)
    expected = pair_zero_loss(clean_unit_BLK3, kept_BLK, asked_BL)[0].item()
    noisy_BLK, unit_BLK3 = pairs_of(clean_BL3 + sigma * torch.randn_like(clean_BL3), idx_BLK)
    b_BLK = pair_target(clean_BLK, noisy_BLK, torch.full((300,), sigma, dtype=torch.float64))
    true_BL3 = as_vectors(b_BLK, unit_BLK3, kept_BLK)
    loss_B = vector_loss(torch.zeros_like(true_BL3), true_BL3, asked_BL)
    error = loss_B.std().item() / 300**0.5
    assert 0.2 < expected < 0.3
    assert loss_B.mean().item() == pytest.approx(expected, abs=3 * error + (0 if sigma < 0.01 else 0.02 * expected))


def test_closed_form_by_hand() -> None:
    """Two neighbours at right angles: M = diag(1/2, 1/2, 0), tr M^2 = 1/2, 1/K = 1/2: half of their sum is 1/2."""
    unit_BLK3 = torch.eye(3)[None, None]
    kept_BLK = torch.tensor([[[True, True, False]]])
    assert pair_zero_loss(unit_BLK3, kept_BLK, torch.ones(1, 1, dtype=torch.bool)).tolist() == [0.5]
    assert pair_zero_loss(unit_BLK3, kept_BLK & False, torch.ones(1, 1, dtype=torch.bool)).tolist() == [0]


def test_zero_answers_of_frames_cost_three_halves() -> None:
    torch.manual_seed(0)
    noise_BL3 = torch.randn(400, 50, 3)
    loss_B = vector_loss(torch.zeros_like(noise_BL3), noise_BL3, torch.ones(400, 50, dtype=torch.bool))
    assert loss_B.mean().item() == pytest.approx(FRAME_ZERO_LOSS, abs=3 * loss_B.std().item() / 20)
