"""Serial, parallel and cross fusion of a structure encoder with a protein language model (SSDM, ESM-GearNet).

Shape key:  B proteins   L residues, padded   S channels of the language model   G channels of the structure encoder
            C channels of each half in cross fusion   H heads   T tokens, 2 L of a protein
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.joint.fusion_config import FusionConfig, FusionKind
from protray.models.layers import Noise, dropout
from protray.models.structure.structure_batch import mean_of_real


class Fused(NamedTuple):
    """What the heads read; both halves of a vector side by side, the language model's first."""

    residue_BLC: Tensor  # 0 at padding
    protein_BC: Tensor


class Fusion(nn.Module):
    """Vectors of a language model and of any structure encoder -> vectors of residues and proteins.

    Serial fusion differs from parallel in the structure encoder alone, which has read the language model's vectors
    (`FrameAttentionConfig.lm_channels`); here, the two are one.
    """

    def __init__(self, kind: FusionKind, config: FusionConfig, lm_channels: int, structure_channels: int) -> None:
        super().__init__()
        self.config = config
        halves = lm_channels, structure_channels
        self.norms = nn.ModuleList(nn.Identity() if config.paper else nn.LayerNorm(size) for size in halves)
        self.cross = CrossAttention(config, *halves) if kind == "cross" else None
        self.width = 2 * config.channels if self.cross is not None else sum(halves)

    def forward(self, lm_BLS: Tensor, structure_BLG: Tensor, real_BL: Tensor, noise: Noise | None = None) -> Fused:
        halves = [norm(half) for norm, half in zip(self.norms, (lm_BLS, structure_BLG), strict=True)]
        if self.cross is not None:
            halves = self.cross(*halves, real_BL, noise)
        real_BL1 = real_BL[:, :, None]
        halves = [half.masked_fill(~real_BL1, 0.0) for half in halves]
        whole = [mean_of_real(half, real_BL) for half in halves]
        if self.config.readout == "sum":
            whole[1] = halves[1].sum(dim=1)
            if self.cross is not None:
                whole[0] = halves[0].sum(dim=1)
        return Fused(torch.cat(halves, dim=2), torch.cat(whole, dim=1))


class CrossAttention(nn.Module):
    """One attention among the residues of both models: 2 L tokens, each of one width.

    A token knows which model it is of.  Neither this nor the sum with what was there before is in the released code
    (`paper`), which has another linear layer before each of query, key and value.  That code drops shares of attention;
    here, as everywhere, what attention gives is dropped, keyed by protein.
    """

    def __init__(self, config: FusionConfig, lm_channels: int, structure_channels: int) -> None:
        super().__init__()
        width, self.config = config.channels, config
        self.project = nn.ModuleList(nn.Linear(size, width) for size in (lm_channels, structure_channels))
        self.segment = None if config.paper else nn.Embedding(2, width)
        self.norm = nn.Identity() if config.paper else nn.LayerNorm(width)
        self.before = nn.ModuleList(nn.Linear(width, width) if config.paper else nn.Identity() for _ in range(3))
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self, lm_BLS: Tensor, structure_BLG: Tensor, real_BL: Tensor, noise: Noise | None
    ) -> tuple[Tensor, Tensor]:
        config, (batch, size) = self.config, real_BL.shape
        both = [project(half) for project, half in zip(self.project, (lm_BLS, structure_BLG), strict=True)]
        if self.segment is not None:
            both = [half + of_model for half, of_model in zip(both, self.segment.weight, strict=True)]
        token_BTC = torch.cat(both, dim=1)
        x_BTC = self.norm(token_BTC)
        query_BHTD, key_BHTD, value_BHTD = (
            layer(before(x_BTC)).view(batch, 2 * size, config.heads, -1).transpose(1, 2)
            for before, layer in zip(self.before, (self.query, self.key, self.value), strict=True)
        )
        seen_B11T = real_BL.repeat(1, 2)[:, None, None]
        found_BHTD = F.scaled_dot_product_attention(query_BHTD, key_BHTD, value_BHTD, attn_mask=seen_B11T)
        found_BTC = self.out(found_BHTD.transpose(1, 2).flatten(2))
        found = [
            dropout(half_BLC, config.dropout, noise, f"fusion.{number}")
            for number, half_BLC in enumerate(found_BTC.split(size, dim=1))
        ]
        lm_BLC, structure_BLC = found if config.paper else [a + b for a, b in zip(both, found, strict=True)]
        return lm_BLC, structure_BLC
