r"""CDConv (Fan et al., ICLR 2023): convolution over neighbours in space, with a kernel for each step along the chain.

It reads residue types and C-alpha atoms.  An edge from residue j to i, at most r apart, has

.. math:: \delta = [O_i u_{ij}, \; b_i b_j, \; n_i n_j, \; o_i o_j, \; d/r], \quad u_{ij} = (x_j - x_i) / d
.. math:: k = LeakyReLU(\delta W_m + c_m), \quad m = clip(j - i, \pm 10) + 10
.. math:: s = 1/2 - 1/2 \tanh(16 \, (d/r) (|m - 10|/10) - 14)
.. math:: y_i = W \, vec(\sum_j s \, k \otimes x_j)

Where it departs from the paper: layer norm in place of batch norm, whose numbers depend on what else is in the batch
and on the number of workers; j - i counts over missing residues, and residues of another chain have a kernel of their
own; the vector of a residue can be made of all stages (`CdConvConfig.residue`).  The paper's last number of an edge is
d in Å: W_m can undo the division by r, but starts from smaller weights.  After 200 steps of residue type prediction on
the bundled sample, validation was at 2.72 and 2.75 nats (seeds 0 and 1), with d in Å at 2.76 and 2.77.

Shape key:  B proteins   L residues (or pairs, pairs of pairs, ...), padded   K neighbours   V = B L   E = B L K edges
            C channels   F = 8 numbers of an edge, its 1 among them   3 x, y, z in Å, or rows b, n, o
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.layers import Noise, dropout
from protray.models.structure.cdconv_config import CdConvConfig
from protray.models.structure.neighbours import Neighbours
from protray.models.structure.radius_graph import Places, flat, within
from protray.models.structure.structure_batch import TYPES, StructureBatch, mean_of_real
from protray.models.tasks.graphqa import mean_by, rows
from protray.struct.residues.frames import bonded_to_next

STEPS = 10  # along the chain, beyond which all are one
OTHER_CHAIN = 2 * STEPS + 1  # the last kernel
EDGE = 8  # numbers of an edge: 7, and 1 for the constant
SLOPE = 0.2  # of LeakyReLU below 0
STRAIGHT = 0.1  # sine of the angle of three C-alpha atoms, below which they have no plane
TINY = 1e-3  # Å; shorter vectors have no direction


@dataclass(frozen=True)
class Edges:
    """From j to i, K of them for each i, one after another; those that are none are 0."""

    source_E: Tensor  # int64, rows of V
    kernel_EF: Tensor  # int64, rows of the table of kernels
    delta_EF: Tensor  # [delta, 1] times s


class CdConv(nn.Module):
    """Proteins -> vectors of residues, (B, L, `config.width`)."""

    def __init__(self, config: CdConvConfig) -> None:
        super().__init__()
        self.config = config
        added = config.lm_input == "add"
        self.types = nn.Embedding(TYPES, config.embedding) if added else None
        self.lm = nn.Linear(config.lm_channels, config.embedding, bias=False) if config.lm_channels else None
        if self.lm is not None and added:
            nn.init.zeros_(self.lm.weight)  # what was trained without a language model goes on as it was
        sizes = zip([config.embedding, *config.widths], config.widths, strict=False)
        self.stages = nn.ModuleList(Stage(before, width, config) for before, width in sizes)
        read = config.widths if config.residue == "stages" else config.widths[-1:]
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in read)

    def forward(
        self, batch: StructureBatch, neighbours: Neighbours | None = None, noise: Noise | None = None
    ) -> Tensor:
        """Vectors of residues, 0 where not real.

        Of `neighbours`, where given, the first stage sees those within its radius.  The other stages see means of
        residues, and look for their own.
        """
        places = Places(batch.ca_BL3, batch.index_BL, batch.chain_BL, batch.real_BL)
        axes_BL33, x_BLC = trace_axes(places), self.start(batch)
        member_BL, found = torch.arange(x_BLC.shape[1], device=x_BLC.device).expand_as(batch.type_BL), []
        for number, stage in enumerate(self.stages):
            if number:
                pairs = Pairs(places)
                places, axes_BL33, x_BLC = pairs.places, _unit(pairs.mean(axes_BL33)), pairs.mean(x_BLC)
                member_BL = pairs.pair_BL.gather(1, member_BL)
                noise = None if noise is None else replace(noise, lengths_B=places.real_BL.sum(dim=1).tolist())
                neighbours = None
            near = within(places, self.config.radii[number], self.config.neighbours, neighbours)
            edges = find_edges(places, axes_BL33, near, self.config.radii[number])
            x_BLC = stage(x_BLC, edges, noise, str(number))
            if self.config.residue == "stages":
                z_VC = self.norms[number](x_BLC).flatten(0, 1)
                found.append(rows(z_VC, flat(member_BL, x_BLC.shape[1]).flatten()).view(*member_BL.shape, -1))
        if self.config.residue == "paper":
            z_BC = mean_of_real(self.norms[0](x_BLC), places.real_BL)
            found.append(z_BC[:, None].expand(-1, member_BL.shape[1], -1))
        return torch.cat(found, dim=2) * batch.real_BL[:, :, None]

    def start(self, batch: StructureBatch) -> Tensor:
        """What is known of a residue beside its place."""
        known = [] if self.types is None else [self.types(batch.type_BL)]
        if self.lm is not None:
            if batch.lm_BLC is None:
                raise ValueError(f"reads vectors of a language model ({self.config.lm_channels} channels), got none")
            known.append(self.lm(batch.lm_BLC))
        return torch.stack(known).sum(dim=0)


class Stage(nn.Module):
    """Blocks on one graph."""

    def __init__(self, before: int, width: int, config: CdConvConfig) -> None:
        super().__init__()
        sizes = [before] + [width] * (config.blocks - 1)
        self.blocks = nn.ModuleList(Block(size, width, config) for size in sizes)

    def forward(self, x_BLC: Tensor, edges: Edges, noise: Noise | None, name: str) -> Tensor:
        for number, block in enumerate(self.blocks):
            x_BLC = block(x_BLC, edges, noise, f"{name}.{number}")
        return x_BLC


class Block(nn.Module):
    """x + out(convolution(in(x))), in a quarter of the width; norm, LeakyReLU and dropout before each linear layer."""

    def __init__(self, before: int, width: int, config: CdConvConfig) -> None:
        super().__init__()
        self.inward = Step(before, width // 4, config.dropout)
        self.convolution = Convolution(width // 4, config.kernel)
        self.outward = Step(width // 4, width, config.dropout)
        self.skip = Step(before, width, config.dropout) if before != width else None

    def forward(self, x_BLC: Tensor, edges: Edges, noise: Noise | None, name: str) -> Tensor:
        kept_BLC = x_BLC if self.skip is None else self.skip(x_BLC, noise, f"{name}.skip")
        y_BLC = self.convolution(self.inward(x_BLC, noise, f"{name}.in"), edges)
        return kept_BLC + self.outward(y_BLC, noise, f"{name}.out")


class Step(nn.Module):
    """Linear(dropout(LeakyReLU(norm(x))))."""

    def __init__(self, before: int, after: int, share: float) -> None:
        super().__init__()
        self.norm, self.linear, self.share = nn.LayerNorm(before), nn.Linear(before, after), share

    def forward(self, x_BLC: Tensor, noise: Noise | None, name: str) -> Tensor:
        return self.linear(dropout(F.leaky_relu(self.norm(x_BLC), SLOPE), self.share, noise, name))


class Convolution(nn.Module):
    r"""y_i = W vec(\sum_j s k \otimes x_j), with k = LeakyReLU(\delta W_m + c_m); kernel R wide."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.kernels_MR = nn.Parameter(torch.empty((OTHER_CHAIN + 1) * EDGE, kernel))  # W_m over c_m, for each m
        nn.init.uniform_(self.kernels_MR, -((EDGE - 1) ** -0.5), (EDGE - 1) ** -0.5)  # as of a linear layer
        self.out = nn.Linear(kernel * width, width, bias=False)

    def forward(self, x_BLC: Tensor, edges: Edges) -> Tensor:
        batch, length, width = x_BLC.shape
        source_V3C = rows(x_BLC.flatten(0, 1), edges.source_E).view(batch * length, -1, width)
        # s >= 0 may go inside of LeakyReLU: it is one line on each side of 0
        kernel_ER = F.leaky_relu(
            F.embedding_bag(edges.kernel_EF, self.kernels_MR, mode="sum", per_sample_weights=edges.delta_EF), SLOPE
        )
        kernel_VKR = kernel_ER.view(batch * length, -1, kernel_ER.shape[1])
        return self.out((kernel_VKR.mT @ source_V3C).view(batch, length, -1))


def smooth(share: Tensor, step: Tensor) -> Tensor:
    """s: how much an edge counts, of d / r and j - i cut at 10 steps; less the further away it is in both."""
    return 0.5 - 0.5 * torch.tanh(16 * share * (step.abs() / STEPS) - 14)


@torch.no_grad()
def trace_axes(places: Places) -> Tensor:
    r"""Axes of the C-alpha trace: rows b, n, o, shape (B, L, 3, 3).

    .. math:: u_i = unit(x_i - x_{i-1}), \quad b = unit(u_i - u_{i+1}), \quad n = unit(u_i \times u_{i+1}),
              \quad o = b \times n

    At an end of the chain, at a break, and where three atoms lie on a line, they are those of the next residue, or of
    the one before, if bonded to it; 0 if these have none.
    """
    place_BL3 = places.place_BL3
    after_BL = bonded_to_next(places.index_BL, places.chain_BL, places.real_BL)
    before_BL = after_BL.roll(1, dims=1)
    u_BL3 = _unit(place_BL3 - place_BL3.roll(1, dims=1))
    next_BL3 = u_BL3.roll(-1, dims=1)
    normal_BL3 = torch.linalg.cross(u_BL3, next_BL3)
    b_BL3, n_BL3 = _unit(u_BL3 - next_BL3), _unit(normal_BL3)
    axes_BL33 = torch.stack([b_BL3, n_BL3, torch.linalg.cross(b_BL3, n_BL3)], dim=2)
    bent_BL = after_BL & before_BL & (normal_BL3.norm(dim=2) > STRAIGHT)
    of_next_BL = ~bent_BL & after_BL & bent_BL.roll(-1, dims=1)
    of_last_BL = ~bent_BL & ~of_next_BL & before_BL & bent_BL.roll(1, dims=1)
    own_BL33 = torch.where(bent_BL[:, :, None, None], axes_BL33, 0)
    for taken_BL, shift in ((of_next_BL, -1), (of_last_BL, 1)):
        own_BL33 = torch.where(taken_BL[:, :, None, None], axes_BL33.roll(shift, dims=1), own_BL33)
    return own_BL33


@torch.no_grad()
def find_edges(places: Places, axes_BL33: Tensor, near: Neighbours, radius: float) -> Edges:
    """Edges from all neighbours within the radius, the residue itself among them."""
    _, length, count = near.idx_BLK.shape
    source_E = flat(near.idx_BLK, length).flatten()

    def ends(x_BL: Tensor) -> tuple[Tensor, Tensor]:
        x_V = x_BL.flatten(0, 1)
        return x_V.repeat_interleave(count, dim=0), rows(x_V, source_E)

    (x_E3, y_E3), (axes_E33, others_E33) = ends(places.place_BL3), ends(axes_BL33)
    (i_E, j_E), (chain_E, other_E) = ends(places.index_BL), ends(places.chain_BL)
    away_E3 = y_E3 - x_E3
    towards_E3 = (axes_E33 * _unit(away_E3)[:, None]).sum(dim=2)
    alike_E3 = (axes_E33 * others_E33).sum(dim=2)
    step_E = torch.where(chain_E == other_E, (j_E - i_E).clamp(-STEPS, STEPS), STEPS)
    kernel_E = torch.where(chain_E == other_E, step_E + STEPS, OTHER_CHAIN)
    share_E = away_E3.norm(dim=1) / radius
    delta_EF = torch.cat([towards_E3, alike_E3, share_E[:, None], torch.ones_like(share_E)[:, None]], dim=1)
    delta_EF = delta_EF * (smooth(share_E, step_E) * near.ok_BLK.flatten())[:, None]
    kernel_EF = kernel_E[:, None] * EDGE + torch.arange(EDGE, device=kernel_E.device)
    return Edges(source_E, kernel_EF, delta_EF)


class Pairs:
    """Residues of each chain in pairs, counted from its first one; where the partner is missing, alone."""

    def __init__(self, places: Places) -> None:
        index_BL, chain_BL, real_BL = places.index_BL, places.chain_BL, places.real_BL
        begins_BL = torch.ones_like(real_BL)
        begins_BL[:, 1:] = chain_BL[:, 1:] != chain_BL[:, :-1]
        at_L = torch.arange(real_BL.shape[1], device=real_BL.device)
        first_BL = torch.where(begins_BL, at_L, 0).cummax(dim=1).values
        half_BL = (index_BL - index_BL.gather(1, first_BL)) // 2
        begins_BL[:, 1:] |= half_BL[:, 1:] != half_BL[:, :-1]
        begins_BL &= real_BL
        count_B = begins_BL.sum(dim=1)
        self.proteins, self.width = len(count_B), max(1, int(count_B.amax()))
        self.pair_BL = (begins_BL.cumsum(dim=1) - 1).clamp(min=0)  # of padding, whatever
        nowhere = self.proteins * self.width
        self.pair_V = torch.where(real_BL, flat(self.pair_BL, self.width), nowhere).flatten()
        numbers_BP2 = torch.zeros(nowhere + 1, 2, dtype=torch.int64, device=real_BL.device)
        numbers_BP2[self.pair_V] = torch.stack([half_BL, chain_BL], dim=2).flatten(0, 1)
        half_BP, chain_BP = numbers_BP2[:-1].view(self.proteins, self.width, 2).unbind(dim=2)
        real_BP = torch.arange(self.width, device=real_BL.device) < count_B[:, None]
        self.places = Places(self.mean(places.place_BL3), half_BP, chain_BP, real_BP)

    def mean(self, x_BLC: Tensor) -> Tensor:
        """Means of pairs, of any trailing shape."""
        x_PC = mean_by(x_BLC.flatten(2).flatten(0, 1), self.pair_V, self.proteins * self.width + 1)[:-1]
        return x_PC.view(self.proteins, self.width, *x_BLC.shape[2:])


def _unit(v_3: Tensor) -> Tensor:
    """Vectors of length 1, of any leading shape; shorter ones where there is no direction."""
    return v_3 / v_3.norm(dim=-1, keepdim=True).clamp(min=TINY)
