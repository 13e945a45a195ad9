r"""First-layer attention of all masked copies of a protein, for little more than that of one.

Copy m has the mask's query, key and value at position m and the protein's own everywhere else.  So the exponentials
:math:`e_{ij} = \exp(q_i k_j - c_i)` of the protein's own tokens serve every copy:

.. math:: o_i^{(m)} = \frac{\sum_{j \ne m} e_{ij} v_j + e'_{im} v'}{\sum_{j \ne m} e_{ij} + e'_{im}}, \quad
          e'_{im} = \exp(q_i k'_m - c_i)

where primes mark the mask's.  What m leaves is added up, never subtracted from the whole, which would cancel where m
gets most of the attention.  Row m itself, with the mask's own query, is ordinary attention.

Shape key:  M masked copies, of neighbouring positions   T tokens   H heads   D channels of a head
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST = 80.0  # exp(80) fits float32, and beside it 1 does not count


@dataclass(frozen=True)
class SharedAttention:
    """What the copies share; queries are divided by sqrt(D) already, values have a column of ones behind them."""

    own_query_HTD: Tensor
    own_key_HTD: Tensor
    own_value_HTD: Tensor
    mask_query_HTD: Tensor  # that the mask would have at each position
    mask_key_HTD: Tensor
    mask_value_HTD: Tensor
    c_HT1: Tensor
    e_HTT: Tensor

    @classmethod
    def of(cls, own_THD: list[Tensor], mask_THD: list[Tensor]) -> "SharedAttention":
        """Take float32 queries, keys and values, in this order, of the protein, and of the mask at each position."""
        query, key, value, mask_query, mask_key, mask_value = (x_THD.transpose(0, 1) for x_THD in (*own_THD, *mask_THD))
        scale = query.shape[-1] ** -0.5
        score_HTT = query * scale @ key.transpose(1, 2)
        # the second highest: whichever token a copy masks, one term of its sum is 1 or more
        c_HT1 = score_HTT.topk(min(2, score_HTT.shape[-1]), dim=-1).values[..., -1:]
        e_HTT = (score_HTT - c_HT1).clamp_(max=LARGEST).exp_()
        return cls(
            query * scale, key, _with_one(value), mask_query * scale, mask_key, _with_one(mask_value), c_HT1, e_HTT
        )

    def context(self, start: int, stop: int) -> Tensor:
        """What each token gets in the copies that mask `start`, ..., `stop` - 1; shape (M, T, H, D)."""
        here, copies_M = slice(start, stop), torch.arange(stop - start, device=self.e_HTT.device)
        far_HTD = self.e_HTT[:, :, :start] @ self.own_value_HTD[:, :start]
        far_HTD += self.e_HTT[:, :, stop:] @ self.own_value_HTD[:, stop:]
        others_MM = 1 - torch.eye(stop - start, device=self.e_HTT.device)
        near_MHTD = (self.e_HTT[:, :, here] * others_MM[:, None, None]) @ self.own_value_HTD[:, here]
        score_HTM = self.own_query_HTD @ self.mask_key_HTD[:, here].transpose(1, 2)
        e_MHT1 = (score_HTM - self.c_HT1).clamp_(max=LARGEST).exp_().permute(2, 0, 1)[..., None]
        mask_value_MH1D = self.mask_value_HTD[:, here].transpose(0, 1)[:, :, None]
        sum_MHTD = near_MHTD.add_(far_HTD).addcmul_(e_MHT1, mask_value_MH1D)
        sum_MHTD[copies_M, :, start + copies_M] = self._rows_of_masks(here)
        return (sum_MHTD[..., :-1] / sum_MHTD[..., -1:]).transpose(1, 2)

    def _rows_of_masks(self, here: slice) -> Tensor:
        """Numerators and denominators of the masks' own rows, shape (M, H, D)."""
        query_HMD, rows_M = self.mask_query_HTD[:, here], torch.arange(here.stop - here.start, device=self.e_HTT.device)
        score_HMT = query_HMD @ self.own_key_HTD.transpose(1, 2)
        score_HMT[:, rows_M, here.start + rows_M] = (query_HMD * self.mask_key_HTD[:, here]).sum(-1)
        share_HMT = score_HMT.softmax(-1)
        share_HM1 = share_HMT[:, rows_M, here.start + rows_M][..., None]
        share_HMT[:, rows_M, here.start + rows_M] = 0
        sum_HMD = share_HMT @ self.own_value_HTD + share_HM1 * self.mask_value_HTD[:, here]
        return sum_HMD.transpose(0, 1)


def _with_one(value_HTD: Tensor) -> Tensor:
    """With it, one product gives numerator and denominator."""
    return F.pad(value_HTD, (0, 1), value=1.0)
