"""Bins of angles, and the losses of self-prediction, by hand."""

import math

import pytest
import torch

from protray.losses.self_prediction import bin_of, class_loss, distance_loss


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
