"""Two operations of the score network whose backward passes take about half of autograd's time on a CPU.

Both give what the plain composition gives, up to the order of sums.

Shape key:  B structures   L residues   C channels
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

EPSILON = 1e-5  # added to a variance, as in torch's batch norm


class _LevelNorm(torch.autograd.Function):
    r"""Batch norm by the batch's own statistics, then a scale and a shift for each structure.

    .. math:: y = s_b \hat{x} + t_b, \quad \hat{x} = (x - \mu) r, \quad r = (v + \epsilon)^{-1/2}

    The statistics take one pass over x, the result another: :math:`y = g_b x + (t_b - g_b \mu)` with
    :math:`g_b = s_b r`.  With dy the gradient by y and means over all n = B L L pairs,

    .. math:: dx = g_b\,dy - r\,\overline{s\,dy} - r \hat{x}\,\overline{s\,dy\,\hat{x}}

    is linear in dy and x, so all it needs are the sums of dy and of dy x over each structure.
    """

    @staticmethod
    def forward(ctx: Any, x_BCLL: Tensor, scale_BC: Tensor, shift_BC: Tensor) -> Tensor:
        mean_C, var_C = moments(x_BCLL)
        rate_C = (var_C + EPSILON).rsqrt()
        ctx.save_for_backward(x_BCLL, scale_BC, mean_C, rate_C)
        return affine(x_BCLL, scale_BC * rate_C, shift_BC - scale_BC * rate_C * mean_C)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BCLL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_BCLL, scale_BC, mean_C, rate_C = ctx.saved_tensors
        pairs = x_BCLL.numel() / x_BCLL.shape[1]
        dshift_BC = dy_BCLL.sum(dim=(2, 3), dtype=torch.float32)
        dscale_BC = rate_C * ((dy_BCLL * x_BCLL).sum(dim=(2, 3), dtype=torch.float32) - mean_C * dshift_BC)
        constant_C = -rate_C * (scale_BC * dshift_BC).sum(dim=0) / pairs
        slope_C = -rate_C.square() * (scale_BC * dscale_BC).sum(dim=0) / pairs
        dx_BCLL = affine(x_BCLL, slope_C[None], (constant_C - slope_C * mean_C)[None])
        return dx_BCLL.addcmul_(dy_BCLL, _over_pairs(scale_BC * rate_C, dy_BCLL)), dscale_BC, dshift_BC


def moments(x_BCLL: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over all pairs, float32, shape (C,)."""
    unused_C = torch.zeros(2, x_BCLL.shape[1], device=x_BCLL.device)  # running ones; their type is that of the result
    return torch.batch_norm_update_stats(x_BCLL, unused_C[0], unused_C[1], 0.0)


def level_norm(x_BCLL: Tensor, scale_BC: Tensor, shift_BC: Tensor) -> Tensor:
    """Batch norm over all pairs of the batch, biased variance, then scale and shift; in the type of `x_BCLL`."""
    return _LevelNorm.apply(x_BCLL, scale_BC, shift_BC)  # type: ignore[return-value]


def affine(x_BCLL: Tensor, gain_BC: Tensor, offset_BC: Tensor) -> Tensor:
    """gain x + offset in one pass, in the type of `x_BCLL`."""
    return torch.addcmul(_over_pairs(offset_BC, x_BCLL), x_BCLL, _over_pairs(gain_BC, x_BCLL))


def _over_pairs(values_BC: Tensor, like: Tensor) -> Tensor:
    return values_BC.to(like.dtype)[:, :, None, None]


class _Dilated(torch.autograd.Function):
    """A dilated 3 x 3 convolution, the gradient of whose weights comes from a plain one."""

    @staticmethod
    def forward(ctx: Any, x_BCLL: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x_BCLL, weight)
        ctx.dilation = dilation
        return F.conv2d(x_BCLL, weight, padding=dilation, dilation=dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BCLL: Tensor) -> tuple[Tensor, Tensor, None]:
        x_BCLL, weight = ctx.saved_tensors
        dilation = ctx.dilation
        dx_BCLL, _, _ = _gradients(dy_BCLL, x_BCLL, weight, dilation, (True, False, False))
        thin_dy_BCLL, thin_x_BCLL = _thinned(dy_BCLL, dilation), _thinned(x_BCLL, dilation)
        _, dweight, _ = _gradients(thin_dy_BCLL, thin_x_BCLL, weight, 1, (False, True, False))
        return dx_BCLL, dweight, None


def dilated(x_BCLL: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """Convolve with 3 x 3 weights `dilation` apart, padded to the same size; `weight` in the type of `x_BCLL`.

    Without AVX-512, oneDNN's gradient of dilated float32 weights takes 2.4 times as long as that of plain ones (4.2
    against 1.75 ms, 8 maps of 32 x 32 x 32).  The pairs (i, j) of equal i and j modulo `dilation` only see one another,
    so each such sub-map is a map of its own under the plain convolution.
    """
    thin = dilation > 1 and x_BCLL.shape[-1] % dilation == 0 and x_BCLL.shape[-2] % dilation == 0
    if thin and x_BCLL.dtype == torch.float32 and x_BCLL.device.type == "cpu":
        return _Dilated.apply(x_BCLL, weight, dilation)  # type: ignore[return-value]
    return F.conv2d(x_BCLL, weight, padding=dilation, dilation=dilation)


def _gradients(dy_BCLL: Tensor, x_BCLL: Tensor, weight: Tensor, dilation: int, wanted: tuple[bool, bool, bool]) -> Any:
    apart = (dilation, dilation)
    backward: Any = torch.ops.aten.convolution_backward
    return backward(dy_BCLL, x_BCLL, weight, None, (1, 1), apart, apart, False, (0, 0), 1, wanted)


def _thinned(x_BCLL: Tensor, dilation: int) -> Tensor:
    """Every `dilation`-th row and column as a map of its own: (B dilation^2, C, L / dilation, L / dilation)."""
    x_BIJC = x_BCLL.permute(0, 2, 3, 1)
    batch, rows, columns, channels = x_BIJC.shape
    rows, columns = rows // dilation, columns // dilation
    parts = x_BIJC.reshape(batch, rows, dilation, columns, dilation, channels).permute(0, 2, 4, 1, 3, 5)
    return parts.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)
