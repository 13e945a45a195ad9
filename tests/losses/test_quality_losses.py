"""Squared errors with unknown scores: by hand, and that unknown ones give no gradient."""

import pytest
import torch

from protray.losses.quality import mean_squared_error, squared_error

NAN = float("nan")


def test_by_hand() -> None:
    """First score: errors .5 and .1, the third unknown; second: unknown everywhere."""
    predicted = torch.tensor([[0.5, 0.3], [0.2, 0.3], [0.9, 0.3]])
    true = torch.tensor([[1.0, NAN], [0.3, NAN], [NAN, NAN]])
    sums_S, counts_S = squared_error(predicted, true)
    assert sums_S.tolist() == pytest.approx([0.26, 0])
    assert counts_S.tolist() == [2, 0]
    assert mean_squared_error(sums_S, counts_S).item() == pytest.approx(0.13)


def test_unknown_scores_give_no_gradient() -> None:
    predicted = torch.tensor([[0.5, 0.3], [0.2, 0.4]], requires_grad=True)
    mean_squared_error(*squared_error(predicted, torch.tensor([[1.0, NAN], [NAN, 0.4]]))).backward()
    assert predicted.grad is not None
    torch.testing.assert_close(predicted.grad, torch.tensor([[-1.0, 0.0], [0.0, 0.0]]))


def test_parts_add_up() -> None:
    """What two workers have makes what one would have."""
    torch.manual_seed(0)
    predicted, true = torch.rand(7, 3), torch.rand(7, 3)
    true[2, 1] = true[5, 0] = NAN
    whole = squared_error(predicted, true)
    parts = [squared_error(predicted[rows], true[rows]) for rows in (slice(0, 3), slice(3, 7))]
    torch.testing.assert_close(parts[0][0] + parts[1][0], whole[0])
    assert (parts[0][1] + parts[1][1]).tolist() == whole[1].tolist() == [6, 6, 7]
