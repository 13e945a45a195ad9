"""Attention to neighbours, against the same by torch's own gradients."""

import pytest
import torch
from torch import Tensor

import protray.models.structure.pair_attention as module
from protray.models.structure.pair_attention import PairAttention

N, K, C, H, P = 50, 6, 8, 2, 3


def inputs(dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor, Tensor]:
    """Rows, queries, bias and pairs; who looks at whom: nobody at residue 7, and residue 9 at nobody."""
    source = torch.Generator().manual_seed(0)
    values = [torch.randn(*shape, generator=source).to(dtype) for shape in ((N, C), (N, H, C), (N, H, K), (N, K, P))]
    idx_NK = torch.randint(0, N, (N, K), generator=source)
    idx_NK = torch.where(idx_NK == 7, 8, idx_NK)
    ok_NK = torch.rand(N, K, generator=source) > 0.2
    ok_NK[9] = False
    values[2] = values[2].masked_fill(~ok_NK[:, None], -1e9)
    return [value.requires_grad_(True) for value in values], idx_NK, ok_NK


def plain(
    x_NC: Tensor, query_NHC: Tensor, bias_NHK: Tensor, e_NKP: Tensor, idx_NK: Tensor, ok_NK: Tensor
) -> list[Tensor]:
    seen_NKC = x_NC[idx_NK]
    logit_NHK = torch.einsum("nhc,nkc->nhk", query_NHC, seen_NKC) + bias_NHK
    share_NHK = logit_NHK.softmax(dim=2) * ok_NK[:, None]
    return [*(torch.einsum("nhk,nkc->nhc", share_NHK, seen) for seen in (seen_NKC, e_NKP)), share_NHK]


@pytest.mark.parametrize("work", [1, 700, 2**18])
@pytest.mark.parametrize("share", [False, True])
def test_values_and_gradients(monkeypatch, work, share) -> None:
    """However many residues are in a block, and whether or not the shares are read."""
    monkeypatch.setitem(module.WORK, "cpu", work)
    values, idx_NK, ok_NK = inputs()
    source, grads = torch.Generator().manual_seed(1), []
    for attend in (PairAttention.apply, plain):
        found = attend(*values, idx_NK, ok_NK)
        weights = [torch.randn(x.shape, generator=source.manual_seed(1)).double() for x in found]
        loss = sum((x * weight).sum() for x, weight in zip(found[: 2 + share], weights, strict=False))
        grads.append([*found, *torch.autograd.grad(loss, values)])
    for ours, expected in zip(*grads, strict=True):
        torch.testing.assert_close(ours, expected)
    assert not grads[0][0][9].any() and not grads[0][3][7].any()


def test_in_two_bytes() -> None:
    values, idx_NK, ok_NK = inputs(torch.bfloat16)
    exact = plain(*(value.double() for value in values), idx_NK, ok_NK)
    found = PairAttention.apply(*values, idx_NK, ok_NK)
    (found[0].sum() + found[1].sum()).backward()
    for ours, expected in zip(found, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.double(), expected, atol=0.06, rtol=0.02)
    assert all(value.grad is not None and value.grad.dtype == torch.bfloat16 for value in values)
