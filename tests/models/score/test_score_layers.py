"""Backward passes written by hand, against autograd through the plain composition."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from protray.models.score.score_layers import EPSILON, affine, dilated, level_norm, moments


def maps(*shape: int, seed: int = 0) -> Tensor:
    """Channels-last maps away from 0, so that a lost mean would show."""
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return (2 * drawn + 3).to(memory_format=torch.channels_last).requires_grad_()


def plain_norm(x_BCLL: Tensor, scale_BC: Tensor, shift_BC: Tensor) -> Tensor:
    normed_BCLL = F.batch_norm(x_BCLL, None, None, training=True, eps=EPSILON)
    return normed_BCLL * scale_BC[:, :, None, None] + shift_BC[:, :, None, None]


def test_moments_by_hand() -> None:
    """Of 1, 3 and 5, 7: mean 4, squares 9, 1, 1, 9, so variance 5."""
    mean_C, var_C = moments(torch.tensor([1.0, 3.0, 5.0, 7.0]).view(2, 1, 1, 2))
    assert (mean_C.item(), var_C.item()) == (4, 5)


def test_affine_by_hand() -> None:
    x_BCLL = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    found = affine(x_BCLL, torch.tensor([[10.0, 100.0]]), torch.tensor([[3.0, 4.0]]))
    assert found.flatten().tolist() == [13, 204]


def test_norm_and_its_gradients_are_those_of_batch_norm() -> None:
    x_BCLL, scale_BC, shift_BC = maps(4, 6, 5, 5), torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    inputs = (x_BCLL, scale_BC, shift_BC.requires_grad_())
    ours, plain = level_norm(*inputs), plain_norm(*inputs)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    direction_BCLL = torch.randn(4, 6, 5, 5)
    for found, expected in zip(
        torch.autograd.grad(ours, inputs, direction_BCLL),
        torch.autograd.grad(plain, inputs, direction_BCLL),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_norm_in_bfloat16_keeps_its_statistics_in_float32() -> None:
    """A bfloat16 mean of 3 would be wrong by up to 0.008, and with it every value by 0.004 standard deviations."""
    x_BCLL = maps(8, 16, 12, 12).detach().bfloat16()
    mean_C, var_C = moments(x_BCLL)
    assert mean_C.dtype == var_C.dtype == torch.float32
    torch.testing.assert_close(mean_C, x_BCLL.float().mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-4)
    assert level_norm(x_BCLL, torch.ones(8, 16), torch.zeros(8, 16)).dtype == torch.bfloat16


@pytest.mark.parametrize("dilation", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [8, 12])
def test_dilated_convolution_and_its_gradients(dilation, length) -> None:
    """Also where the dilation does not divide the length."""
    x_BCLL, weight = maps(3, 4, length, length), torch.randn(4, 4, 3, 3, requires_grad=True)
    ours, plain = dilated(x_BCLL, weight, dilation), F.conv2d(x_BCLL, weight, padding=dilation, dilation=dilation)
    torch.testing.assert_close(ours, plain)
    direction_BCLL = torch.randn(3, 4, length, length)
    for found, expected in zip(
        torch.autograd.grad(ours, (x_BCLL, weight), direction_BCLL),
        torch.autograd.grad(plain, (x_BCLL, weight), direction_BCLL),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
