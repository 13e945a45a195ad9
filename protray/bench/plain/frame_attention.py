"""Frame attention as one would write it first: what ours is timed, and tested, against.

float32, all pairs of residues, (B, L, L), for features and attention alike, of which all but the neighbours are masked;
queries, keys and values; sums by einsum.  Numbers of single residues, frames among them, come from the functions of
ours: they are a small part.

Shape key:  B proteins   L residues, padded   C channels   H heads   D = C / H   P channels of a pair   F numbers
            G layers   3 x, y, z in Å   A axes of a frame
"""

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.structure.frame_attention import FrameAttention, Layer
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.models.structure.frame_features import (
    CLOSEST,
    FARTHEST,
    N_GAUSSIANS,
    N_SEPARATIONS,
    NEAREST,
    SEPARATIONS,
    VIRTUAL_CB,
    node_features,
)
from protray.models.structure.neighbours import HOPS
from protray.models.structure.structure_batch import StructureBatch
from protray.struct.residues.frames import NONE, Frames, frames

NEVER = -1e9  # logit of a pair that is not there: not infinite, since padding has no neighbour


class PlainLayer(nn.Module):
    """Attention to the neighbours, and two layers for each residue."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.heads = layer.heads
        self.norm, self.query, self.key, self.value, self.out, self.feed = copy.deepcopy(
            (layer.norm, layer.query, layer.key, layer.value, layer.out, layer.feed)
        )

    def forward(self, h_BLC: Tensor, e_BLLP: Tensor, bias_BLLH: Tensor) -> Tensor:
        x_BLC = self.norm(h_BLC)
        query_BLHD, key_BLHD, value_BLHD = (
            part(x_BLC).unflatten(2, (self.heads, -1)) for part in (self.query, self.key, self.value)
        )
        logit_BHLL = torch.einsum("bihd,bjhd->bhij", query_BLHD, key_BLHD) / math.sqrt(query_BLHD.shape[3])
        share_BHLL = (logit_BHLL + bias_BLLH.permute(0, 3, 1, 2)).softmax(dim=3)
        value_BLHD = torch.einsum("bhij,bjhd->bihd", share_BHLL, value_BLHD)
        pair_BLHP = torch.einsum("bhij,bijp->bihp", share_BHLL, e_BLLP)
        h_BLC = h_BLC + self.out(torch.cat([value_BLHD.flatten(2), pair_BLHP.flatten(2)], dim=2))
        return h_BLC + self.feed(h_BLC)


class PlainFrameNet(nn.Module):
    """A network with the weights of `net`: structures -> vectors of residues, (B, L, C), 0 at padding."""

    def __init__(self, net: FrameAttention) -> None:
        super().__init__()
        self.config = config = net.config
        sizes = ("channels", "heads", "pair", "layers", "neighbours", "expansion")
        if config != replace(FrameAttentionConfig(), **{name: getattr(config, name) for name in sizes}):
            raise ValueError(f"the plain network knows the sizes alone, not the options of {config}")
        self.types, self.node, self.pair, self.separations, self.pair_out, self.bias, self.norms = copy.deepcopy(
            (net.types, net.node, net.pair, net.separations, net.pair_out, net.bias, net.norms)
        )
        self.layers = nn.ModuleList(PlainLayer(layer) for layer in net.layers)  # type: ignore[arg-type]

    def forward(self, batch: StructureBatch) -> Tensor:
        framed = frames(batch.atoms_BLA3, batch.present_BLA, batch.index_BL, batch.chain_BL, batch.real_BL)
        h_BLC = self.node(torch.cat([self.types(batch.type_BL), node_features(batch, framed)], dim=2))  # type: ignore[misc]
        inner_BLLP = self.pair(pair_features(batch, framed)) + self.separations(separations(batch))
        e_BLLP = self.pair_out(F.silu(inner_BLLP))
        near_BLL1 = nearest(batch, self.config.neighbours)[..., None]
        bias_BLLGH = self.bias(e_BLLP).masked_fill(~near_BLL1, NEVER).unflatten(3, (self.config.layers, -1))
        for layer, bias_BLLH in zip(self.layers, bias_BLLGH.unbind(dim=3), strict=True):
            h_BLC = layer(h_BLC, e_BLLP, bias_BLLH)
        return self.norms[-1](h_BLC) * batch.real_BL[..., None]


def nearest(batch: StructureBatch, neighbours: int) -> Tensor:
    """Bool, (B, L, L): whether j is among those that i looks at; itself, those along the chain, then by distance."""
    length, both_BLL = batch.real_BL.shape[1], batch.real_BL[:, :, None] & batch.real_BL[:, None]
    step_BLL = (batch.index_BL[:, None] - batch.index_BL[:, :, None]).abs()
    along_BLL = (step_BLL <= HOPS) & (batch.chain_BL[:, None] == batch.chain_BL[:, :, None])
    apart_BLL = (batch.ca_BL3[:, None] - batch.ca_BL3[:, :, None]).norm(dim=3)
    order_BLL = torch.where(along_BLL, step_BLL / (HOPS + 1) - 1, apart_BLL)
    order_BLL = order_BLL.masked_fill(~both_BLL, torch.inf)
    chosen_BLK = order_BLL.topk(min(neighbours, length), dim=2, largest=False).indices
    return torch.zeros_like(both_BLL).scatter(2, chosen_BLK, True) & both_BLL


def separations(batch: StructureBatch) -> Tensor:
    """Places from i to j along the chain, as a bin; (B, L, L)."""
    step_BLL = batch.index_BL[:, None] - batch.index_BL[:, :, None]
    same_BLL = batch.chain_BL[:, None] == batch.chain_BL[:, :, None]
    return torch.where(same_BLL, step_BLL.clamp(-SEPARATIONS, SEPARATIONS) + SEPARATIONS, N_SEPARATIONS - 1)


def pair_features(batch: StructureBatch, framed: Frames) -> Tensor:
    """The numbers of each pair in the order of our `frame_features.pair_features`; (B, L, L, 37)."""
    turn_BLA3 = framed.rotation_BL33.mT  # by rows
    virtual_BL3 = torch.tensor([VIRTUAL_CB[kind] for kind in range(3)])[framed.kind_BL]
    cb_BL3 = framed.origin_BL3 + torch.einsum("biax,bia->bix", turn_BLA3, virtual_BL3)
    step_BLL3 = framed.origin_BL3[:, None] - framed.origin_BL3[:, :, None]
    d_BLL1 = step_BLL3.norm(dim=3, keepdim=True)
    towards_BLL3 = step_BLL3 / d_BLL1.clamp(min=CLOSEST)
    centres_G = torch.linspace(NEAREST, FARTHEST, N_GAUSSIANS)
    has_BL1 = (framed.kind_BL != NONE).float()[..., None]
    both_BLL1 = has_BL1[:, None] * has_BL1[:, :, None]
    same_BLL1 = (batch.chain_BL[:, None] == batch.chain_BL[:, :, None])[..., None]
    bonded_BLL1 = same_BLL1 & ((batch.index_BL[:, None] - batch.index_BL[:, :, None]).abs() == 1)[..., None]
    parts = [
        torch.exp(-(((d_BLL1 - centres_G) / (centres_G[1] - centres_G[0])) ** 2)),
        torch.log(1 + d_BLL1),
        has_BL1[:, :, None].expand_as(d_BLL1),
        has_BL1[:, None].expand_as(d_BLL1),
        bonded_BLL1.float(),
        same_BLL1.float(),
        torch.einsum("biax,bijx->bija", turn_BLA3, towards_BLL3),
        torch.einsum("bjax,bijx->bija", turn_BLA3, -towards_BLL3),
        ((cb_BL3[:, None] - cb_BL3[:, :, None]).norm(dim=3, keepdim=True) - d_BLL1) * both_BLL1,
        torch.einsum("bjax,bicx->bijac", turn_BLA3, turn_BLA3).flatten(3),
    ]
    return torch.cat(parts, dim=3)
