r"""Attention of residues to their neighbours, whose gathered rows never leave the cache and are never stored.

.. math:: a_{ij} = softmax_j(q_i \cdot x_j + b_{ij}), \quad \sum_j a_{ij} x_j, \quad \sum_j a_{ij} e_{ij}

Shape key:  N residues   K neighbours   C channels   H heads   P channels of a pair
"""

from typing import Any

import torch
from torch import Tensor

WORK = {"cpu": 2**18, "cuda": 2**27}  # numbers gathered at a time: what a cache holds, what keeps a GPU busy


class PairAttention(torch.autograd.Function):
    """The two sums and a, by blocks of residues; the backward pass gathers again in place of keeping what it gathered.

    On a CPU it takes half the time of the same by torch's own gradients, which move each gathered block through memory
    six times, and on any device a fifth of its memory.
    """

    @staticmethod
    def forward(
        ctx: Any, x_NC: Tensor, query_NHC: Tensor, bias_NHK: Tensor, e_NKP: Tensor, idx_NK: Tensor, ok_NK: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        share_NHK = torch.empty_like(bias_NHK)
        x_NHC, e_NHP = torch.empty_like(query_NHC), e_NKP.new_empty(*bias_NHK.shape[:2], e_NKP.shape[2])
        with torch.autocast(x_NC.device.type, enabled=False):
            for some in _blocks(x_NC, idx_NK):
                seen = _rows(x_NC, idx_NK[some])
                logit = torch.baddbmm(bias_NHK[some], query_NHC[some], seen.mT)
                share = logit.softmax(dim=2, dtype=torch.promote_types(torch.float32, x_NC.dtype))
                share_NHK[some] = share * ok_NK[some, None]  # 0, not NaN or a mean, where a residue has no neighbour
                torch.bmm(share_NHK[some], seen, out=x_NHC[some])
                torch.bmm(share_NHK[some], e_NKP[some], out=e_NHP[some])
        ctx.save_for_backward(x_NC, query_NHC, share_NHK, e_NKP, idx_NK)
        ctx.set_materialize_grads(False)
        return x_NHC, e_NHP, share_NHK

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NC, query_NHC, share_NHK, e_NKP, idx_NK = ctx.saved_tensors
        of_x_NHC, of_e_NHP = (grad.contiguous() for grad in grads[:2])
        of_share_NHK = grads[2]  # None without points
        # the gradient of a row adds up over all who look at it: in float32, whatever the rows are in
        x_grad_NC = torch.zeros_like(x_NC, dtype=torch.promote_types(torch.float32, x_NC.dtype))
        query_grad, logit_grad, e_grad = (torch.empty_like(kind) for kind in (query_NHC, share_NHK, e_NKP))
        with torch.autocast(x_NC.device.type, enabled=False):
            for some in _blocks(x_NC, idx_NK):
                seen, share, query = _rows(x_NC, idx_NK[some]), share_NHK[some], query_NHC[some]
                of_x, of_e = of_x_NHC[some], of_e_NHP[some]
                of_share = torch.bmm(of_e, e_NKP[some].mT).baddbmm_(of_x, seen.mT)
                if of_share_NHK is not None:
                    of_share += of_share_NHK[some]
                of_logit = share * (of_share - (share * of_share).sum(dim=2, keepdim=True))
                logit_grad[some] = of_logit
                torch.bmm(of_logit, seen, out=query_grad[some])
                torch.bmm(share.mT, of_e, out=e_grad[some])
                of_seen = torch.bmm(share.mT, of_x).baddbmm_(of_logit.mT, query)
                x_grad_NC.index_add_(0, idx_NK[some].flatten(), of_seen.flatten(0, 1).to(x_grad_NC.dtype))
        return x_grad_NC.to(x_NC.dtype), query_grad, logit_grad, e_grad, None, None


def _blocks(x_NC: Tensor, idx_NK: Tensor) -> list[slice]:
    work = WORK["cpu" if x_NC.device.type == "cpu" else "cuda"]
    step = max(16, work // max(1, idx_NK.shape[1] * x_NC.shape[1]))
    return [slice(first, first + step) for first in range(0, len(x_NC), step)]


def _rows(x_NC: Tensor, idx_NK: Tensor) -> Tensor:
    """What the table holds for each neighbour, shape (N, K, C)."""
    return x_NC.index_select(0, idx_NK.flatten()).view(*idx_NK.shape, -1)
