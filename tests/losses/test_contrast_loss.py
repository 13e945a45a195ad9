"""InfoNCE by hand."""

import math

import pytest
import torch

from protray.losses.contrast import contrast_losses, cosines, found_partner

OWN = torch.arange(8)  # clusters: each protein its own


@pytest.mark.parametrize("symmetric", [True, False])
def test_orthogonal_pairs(symmetric) -> None:
    """y1 = y2 = e_1, e_2, tau = 1: -1 + ln(e + 1) = ln(1 + 1/e) = 0.3133."""
    y_NC = torch.eye(2)
    loss_N = contrast_losses(y_NC, 5 * y_NC, OWN[:2], 1.0, symmetric)
    assert loss_N.tolist() == pytest.approx([math.log(1 + math.exp(-1))] * 2)
    assert loss_N[0].item() == pytest.approx(0.3133, abs=5e-5)


def test_equal_vectors_cost_the_logarithm_of_their_number() -> None:
    y_NC = torch.ones(5, 3)
    assert contrast_losses(y_NC, y_NC, OWN[:5], 0.07).tolist() == pytest.approx([math.log(5)] * 5)


def test_a_cluster_leaves_out_exactly_its_own_pairs() -> None:
    """Proteins 0 and 2 are alike: for 0 only 1 is a negative, for 1 both are.  Cosines by hand, tau = 0.5."""
    y1_NC = torch.tensor([[1.0, 0], [0, 1], [0.6, 0.8]], dtype=torch.float64)
    s = [[2 * (a @ b).item() for b in y1_NC] for a in y1_NC]
    loss_N = contrast_losses(y1_NC, y1_NC, torch.tensor([4, 9, 4]), 0.5, symmetric=False)
    expected = [
        math.log(math.exp(s[0][0]) + math.exp(s[0][1])) - s[0][0],
        math.log(sum(map(math.exp, s[1]))) - s[1][1],
        math.log(math.exp(s[2][1]) + math.exp(s[2][2])) - s[2][2],
    ]
    assert loss_N.tolist() == pytest.approx(expected, abs=1e-12)
    assert s[0][:2] == [2, 0] and expected[0] == pytest.approx(math.log(math.exp(2) + 1) - 2)


def test_symmetric_is_the_mean_of_both_directions() -> None:
    y1_NC, y2_NC = torch.randn(2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    both_N = contrast_losses(y1_NC, y2_NC, OWN[:6], 0.1)
    one_N, other_N = (contrast_losses(*pair, OWN[:6], 0.1, False) for pair in ((y1_NC, y2_NC), (y2_NC, y1_NC)))
    assert torch.allclose(both_N, (one_N + other_N) / 2)
    assert not torch.allclose(one_N, other_N)


def test_all_of_one_cluster_leave_nothing_to_tell_and_no_nan() -> None:
    y_NC = torch.randn(3, 4).requires_grad_()
    loss_N = contrast_losses(y_NC, y_NC + 1, torch.zeros(3, dtype=torch.int64), 0.07)
    loss_N.sum().backward()
    assert loss_N.tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert y_NC.grad is not None and y_NC.grad.isfinite().all()


def test_partners() -> None:
    y1_NC = torch.tensor([[1.0, 0], [0, 1]])
    y2_NC = torch.tensor([[0.0, 1], [-1, 1]])
    assert found_partner(y1_NC, y2_NC, torch.tensor([0, 1])).tolist() == [True, False]
    assert found_partner(y1_NC, y2_NC, torch.tensor([7, 7])).tolist() == [True, True]  # none is the other's rival


def test_cosines_are_not_rounded_under_autocast() -> None:
    y_NC = torch.randn(4, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cosines(y_NC, y_NC), cosines(y_NC, y_NC.clone()))
        assert cosines(y_NC, y_NC).diagonal().tolist() == pytest.approx([1] * 4, abs=1e-6)
