"""Settings of the score network that cannot work are refused, with the reason."""

import pytest
import torch
from torch.nn import functional as F

from protray.models.score.score_config import ScoreNetConfig


@pytest.mark.parametrize("channels", [17, 24, 40])
def test_widths_that_bfloat16_convolutions_get_wrong_are_refused(channels) -> None:
    with pytest.raises(ValueError, match=f"bottleneck must be a multiple of 16, or less than 16, got {channels}"):
        ScoreNetConfig(bottleneck=channels)


@pytest.mark.parametrize("channels", [6, 16, 32])
def test_gradients_of_widths_that_are_taken(channels) -> None:
    """The dilated convolution as training runs it, against float32."""
    ScoreNetConfig(bottleneck=channels)
    torch.manual_seed(0)
    x_BCLL = torch.randn(4, channels, 16, 16).bfloat16().contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3).bfloat16().contiguous(memory_format=torch.channels_last)
    exact = weight.float().contiguous().requires_grad_()
    weight.requires_grad_()
    maps_BCLL = F.conv2d(x_BCLL, weight, padding=2, dilation=2)
    up_BCLL = torch.randn_like(maps_BCLL)
    maps_BCLL.backward(up_BCLL)
    F.conv2d(x_BCLL.float().contiguous(), exact, padding=2, dilation=2).backward(up_BCLL.float().contiguous())
    assert weight.grad is not None and exact.grad is not None
    torch.testing.assert_close(weight.grad.float(), exact.grad, rtol=0.02, atol=0.02 * exact.grad.abs().max().item())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": 0}, "blocks must be at least 1, got 0"),
        ({"positional": 7}, "positional must be even"),
        ({"dilations": ()}, "dilations a list of numbers from 1"),
        ({"distances": -1}, "distances at least 0"),
    ],
)
def test_other_settings_that_cannot_be(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        ScoreNetConfig(**settings)
