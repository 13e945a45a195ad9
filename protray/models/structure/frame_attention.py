r"""Frame attention: an encoder of structures that sees residues, and pairs of residues, in their own frames.

After SSDM, whose slides ask for attention on backbone frames; its layers are those of Invariant Point Attention
(Jumper et al., Nature 2021) on the nearest neighbours, with the geometry in the pairs.

.. math:: l_{ij} = q_i \cdot k_j / \sqrt{D} + b(e_{ij}), \quad a = softmax_j(l), \quad
          o_i = W [\sum_j a_{ij} v_j \| \sum_j a_{ij} e_{ij}]

Neither rotations nor shifts change anything; mirror images differ.

Shape key:  B proteins   L residues, padded   N real residues of the batch, in a row   K neighbours   C channels
            H heads   D = C / H   P channels of a pair   Q points of a head   F features   3 x, y, z in Å
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.layers import Noise, dropout
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.models.structure.frame_features import (
    N_SEPARATIONS,
    NODE_NUMBERS,
    PAIR_NUMBERS,
    FramedResidues,
    node_features,
    pair_features,
)
from protray.models.structure.neighbours import Neighbours, find_neighbours
from protray.models.structure.pair_attention import PairAttention
from protray.models.structure.structure_batch import TYPES, StructureBatch
from protray.struct.residues.frames import frames

NEVER = -1e4  # logit of a pair that is not there; float16 holds it too
UNIT = 10.0  # Å, of points


class Layer(nn.Module):
    """Attention to the neighbours, and two layers for each residue.

    Keys and values are never formed for pairs: q . W_k x is (W_k^T q) . x, and the sum of a W_v x is W_v times the sum
    of a x.  So one gathered copy of x serves both, and what is done for each pair is two batched matrix products.
    """

    def __init__(self, config: FrameAttentionConfig) -> None:
        super().__init__()
        width, self.heads = config.channels, config.heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(2))  # biases would cancel or add up
        self.points = nn.Linear(width, 3 * config.heads * config.points) if config.points else None
        self.out = nn.Linear(width + config.heads * (config.pair + 4 * config.points), width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, config.expansion * width), nn.SiLU(),
            nn.Linear(config.expansion * width, width),
        )  # fmt: skip

    def attend(
        self, h_NC: Tensor, e_NKP: Tensor, bias_NHK: Tensor, idx_NK: Tensor, ok_NK: Tensor, residues: FramedResidues
    ) -> Tensor:
        """What attention adds to each residue."""
        heads, (n, width) = self.heads, h_NC.shape
        depth = width // heads
        x_NC = self.norm(h_NC)
        query_HND = self.query(x_NC).mul(depth**-0.5).view(n, heads, depth).transpose(0, 1)
        reach_HNC = torch.bmm(query_HND, self.key.weight.view(heads, depth, width))
        dtype = reach_HNC.dtype  # under autocast, two bytes a number
        mixed_NHC, seen_NHP, share_NHK = PairAttention.apply(  # pyright: ignore
            x_NC.to(dtype), reach_HNC.transpose(0, 1).contiguous(), bias_NHK.to(dtype), e_NKP.to(dtype), idx_NK, ok_NK
        )
        value_HND = torch.bmm(mixed_NHC.transpose(0, 1), self.value.weight.view(heads, depth, width).mT)
        seen = [value_HND.transpose(0, 1).flatten(1), seen_NHP.flatten(1)]
        if self.points is not None:
            seen.append(self._points(self.points(x_NC), share_NHK, idx_NK, residues))
        return self.out(torch.cat(seen, dim=1))

    def _points(self, points_NQ: Tensor, share_NHK: Tensor, idx_NK: Tensor, residues: FramedResidues) -> Tensor:
        """Points of the neighbours in the frame of each residue, and how far they are; (N, H Q 4)."""
        turn_N33, origin_N3 = residues.rotation_N33, residues.origin_N3
        with torch.autocast(share_NHK.device.type, enabled=False):
            own_NQ3 = points_NQ.to(origin_N3.dtype).unflatten(1, (-1, 3))
            place_NQ3 = own_NQ3 @ turn_N33.mT + origin_N3[:, None]
            seen_NKQ3 = place_NQ3.index_select(0, idx_NK.flatten()).view(*idx_NK.shape, -1, 3)
            step_NKQ3 = seen_NKQ3 - origin_N3[:, None, None]
            step_NHKQ = step_NKQ3.flatten(2).unflatten(2, (self.heads, -1)).transpose(1, 2)
            mean_NHQ3 = (share_NHK.to(origin_N3.dtype)[:, :, None] @ step_NHKQ).view(len(own_NQ3), -1, 3)
            local_NQ3 = mean_NHQ3 @ turn_N33 / UNIT
            length_NQ1 = (local_NQ3.square().sum(dim=2, keepdim=True) + 1e-8).sqrt()
            return torch.cat([local_NQ3, length_NQ1], dim=2).flatten(1).to(points_NQ.dtype)


class FrameAttention(nn.Module):
    """Structures -> vectors of residues, (B, L, `config.width`), 0 at padding."""

    def __init__(self, config: FrameAttentionConfig) -> None:
        super().__init__()
        self.config = config
        width, replaced = config.channels, config.lm_input == "replace"
        if replaced and not config.lm_channels:
            raise ValueError("only vectors of a language model can take the place of the type: lm_channels is 0")
        self.types = None if replaced else nn.Embedding(TYPES, width)
        self.lm = nn.Linear(config.lm_channels, width, bias=replaced) if config.lm_channels else None
        if self.lm is not None and not replaced:
            nn.init.zeros_(self.lm.weight)
        self.node = nn.Sequential(nn.Linear(width + NODE_NUMBERS, width), nn.SiLU(), nn.Linear(width, width))
        self.pair = nn.Linear(PAIR_NUMBERS[config.pair_input], config.pair, bias=False)  # each separation has its own
        self.separations = nn.Embedding(N_SEPARATIONS, config.pair)
        self.pair_out = nn.Linear(config.pair, config.pair)
        self.bias = nn.Linear(config.pair, config.layers * config.heads, bias=False)  # of attention, for all layers
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.layers if config.all_layers else 1))

    def forward(
        self, batch: StructureBatch, neighbours: Neighbours | None = None, noise: Noise | None = None
    ) -> Tensor:
        """Vectors of residues.

        Parameters
        ----------
        batch : StructureBatch
        neighbours : Neighbours, optional
            Found from the coordinates if not given.  Give them where pairs are removed, since their distance or angle
            is to be predicted.
        noise : Noise, optional
            Where dropout takes its randomness from; none without.

        Raises
        ------
        ValueError
            If the batch lacks the vectors of a language model that the network reads, or they are of another width.
        """
        config, keep_N = self.config, batch.real_BL.flatten().nonzero()[:, 0]
        node_NF, residues, pair_NKF, separation_NK, idx_NK, ok_NK = self._look(batch, neighbours, keep_N)
        h_NC = self._start(batch, node_NF, keep_N)
        e_NKP, biases = self._pairs(pair_NKF.to(h_NC.dtype), separation_NK, ok_NK)

        def drop(x_NC: Tensor, name: str) -> Tensor:
            if noise is None or config.dropout == 0:
                return x_NC
            dropped_BLC = dropout(_spread(x_NC, keep_N, batch.real_BL), config.dropout, noise, name)
            return dropped_BLC.flatten(0, 1).index_select(0, keep_N)

        found = []
        for number, (layer, bias_NHK) in enumerate(zip(self.layers, biases, strict=True)):
            assert isinstance(layer, Layer)
            h_NC = h_NC + drop(
                layer.attend(h_NC, e_NKP, bias_NHK, idx_NK, ok_NK, residues), f"frame.{number}.attention"
            )
            h_NC = h_NC + drop(layer.feed(h_NC), f"frame.{number}.feed")
            found.append(h_NC)
        kept = found if config.all_layers else found[-1:]
        z_NC = torch.cat([norm(h_NC) for norm, h_NC in zip(self.norms, kept, strict=True)], dim=1)
        return _spread(z_NC, keep_N, batch.real_BL)

    @torch.no_grad()
    def _look(
        self, batch: StructureBatch, neighbours: Neighbours | None, keep_N: Tensor
    ) -> tuple[Tensor, FramedResidues, Tensor, Tensor, Tensor, Tensor]:
        """All that comes from coordinates, in float32 under autocast too, since bfloat16 knows 40 Å to 0.2 Å."""
        config = self.config
        with torch.autocast(batch.real_BL.device.type, enabled=False):
            atoms_BLA3 = batch.atoms_BLA3.to(torch.promote_types(torch.float32, batch.atoms_BLA3.dtype))
            batch = replace(batch, atoms_BLA3=atoms_BLA3)
            chain = batch.index_BL, batch.chain_BL, batch.real_BL
            if neighbours is None:
                neighbours = find_neighbours(batch.ca_BL3, *chain, config.neighbours)
            framed = frames(atoms_BLA3, batch.present_BLA, *chain)
            node_BLF = node_features(batch, framed, handed=config.pair_input != "distance")
            rows = (framed.rotation_BL33, framed.origin_BL3, framed.kind_BL, batch.index_BL, batch.chain_BL)
            residues = FramedResidues(*(row.flatten(0, 1).index_select(0, keep_N) for row in rows))
            idx_NK, ok_NK = (x.flatten(0, 1).index_select(0, keep_N) for x in _packed(neighbours, batch.real_BL))
            pair_NKF, separation_NK = pair_features(residues, idx_NK, config.pair_input)
            node_NF = node_BLF.flatten(0, 1).index_select(0, keep_N)
        return node_NF, residues, pair_NKF, separation_NK, idx_NK, ok_NK

    def _pairs(self, pair_NKF: Tensor, separation_NK: Tensor, ok_NK: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Channels of pairs, (N, K, P), and for each layer what they add to the logits, (N, H, K)."""
        n, k, _ = pair_NKF.shape
        # index_select, not the embedding itself: its gradient takes a fifth of the time
        of_separation_MP = self.separations.weight.index_select(0, separation_NK.flatten())
        inner_MP = torch.addmm(of_separation_MP, pair_NKF.flatten(0, 1), self.pair.weight.t())
        e_NKP = self.pair_out(F.silu(inner_MP)).view(n, k, -1)
        bias_NGK = torch.matmul(self.bias.weight, e_NKP.mT).masked_fill(~ok_NK[:, None], NEVER)
        return e_NKP, bias_NGK.unflatten(1, (self.config.layers, self.config.heads)).unbind(dim=1)

    def _start(self, batch: StructureBatch, node_NF: Tensor, keep_N: Tensor) -> Tensor:
        """Vectors of residues before the first layer."""
        dtype = self.pair.weight.dtype
        read_NC = None
        if self.lm is not None:
            if batch.lm_BLC is None or batch.lm_BLC.shape[2] != self.config.lm_channels:
                got = "none" if batch.lm_BLC is None else f"{batch.lm_BLC.shape[2]} channels"
                raise ValueError(f"the network reads {self.config.lm_channels} channels of a language model, got {got}")
            read_NC = self.lm(batch.lm_BLC.flatten(0, 1).index_select(0, keep_N).to(dtype))
        type_NC = read_NC if self.types is None else self.types(batch.type_BL.flatten().index_select(0, keep_N))
        assert type_NC is not None
        h_NC = self.node(torch.cat([type_NC, node_NF.to(dtype)], dim=1)).to(dtype)
        return h_NC if self.types is None or read_NC is None else h_NC + read_NC


def _packed(neighbours: Neighbours, real_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours as numbers of real residues of the whole batch; 0 where there is none."""
    size = real_BL.shape[1]
    number_BL = (real_BL.flatten().cumsum(0) - 1).view_as(real_BL)
    flat_BLK = neighbours.idx_BLK + size * torch.arange(len(real_BL), device=real_BL.device)[:, None, None]
    idx_BLK = number_BL.flatten().index_select(0, flat_BLK.flatten()).view_as(flat_BLK)
    return torch.where(neighbours.ok_BLK, idx_BLK, 0), neighbours.ok_BLK


def _spread(x_NC: Tensor, keep_N: Tensor, real_BL: Tensor) -> Tensor:
    """Real residues in their places, 0 at padding; (B, L, C)."""
    found_MC = x_NC.new_zeros(real_BL.numel(), x_NC.shape[1]).index_copy(0, keep_N, x_NC)
    return found_MC.view(*real_BL.shape, -1)
