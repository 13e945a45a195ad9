r"""Geometric vector perceptrons (Jing et al., ICLR 2021; vector gates of Jing, Eismann, et al. 2021), on residues.

Every node and edge has numbers s that no rotation changes, and vectors V that turn with the structure.  A perceptron:

.. math:: V_h = W_h V, \quad s' = W [s \| |V_h|] + b, \quad V' = \sigma(W_g s' + b_g) \, (W_v V_h)

It gives ReLU(s') and V'; squares of lengths are at least 1e-8.  A layer, with perceptrons G:

.. math:: x_i \leftarrow norm(x_i + mean_j \, G_3(G_2(G_1(x_i, x_j, e_{ij})))), \quad x \leftarrow norm(x + G_5(G_4(x)))

G_3 and G_5 have no ReLU; norm is layer norm of s, and V over the root of the mean square of its lengths.

Inputs "esm-gvp" are those of ESM-GVP: residue types; Gaussians of distances and the displacement x_j - x_i, in Å.
Inputs "gvp" are those of GVP's own code, with masks where that has silent zeros: also phi, psi and omega, directions to
the neighbours along the chain and of the side chain (as a tetrahedral carbon has it, which tells mirror images apart),
and places along the chain; the displacement is a unit vector.  Where a residue has no backbone, its frame is that of
the C-alpha trace (`protray.struct.residues.frames`).

Shape key:  B proteins   L residues, padded   V = B L nodes   E edges, from j to i   N nodes or edges
            S scalars   T vectors   K neighbours   3 x, y, z
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.layers import Noise, dropout
from protray.models.structure.gvp_config import GvpConfig
from protray.models.structure.neighbours import Neighbours
from protray.models.structure.radius_graph import Places, flat, within
from protray.models.structure.structure_batch import TYPES, StructureBatch
from protray.models.tasks.graphqa import mean_by, rows
from protray.struct.residues.frames import bonded_to_next, frames
from protray.struct.residues.torsions import backbone_torsions

RBF_CENTRES, RBF_FARTHEST, RBF_WIDTH = 16, 20.0, 1.25  # Gaussians of a distance, 0 to 20 Å
NOTHING = 40.0  # exp(-40) is nothing beside 1; exp(-90) is a denormal number, which is slow
WAVES = 8  # sines, and as many cosines, of steps along the chain
SHAPE = 9 + 3  # sines, cosines and masks of phi, psi and omega; what the frame was made of
SMALLEST = 1e-8  # square of a length
TINY = 1e-3  # Å; shorter vectors have no direction
SIDE = (-0.4758, -0.3270, -0.8165)  # towards CB in the frame, where N-CA-C is 111 degrees


class Features(NamedTuple):
    """Of nodes or edges."""

    s_NS: Tensor
    v_N3T: Tensor


def plus(x: Features, y: Features) -> Features:
    return Features(x.s_NS + y.s_NS, x.v_N3T + y.v_N3T)


class Perceptron(nn.Module):
    """One geometric vector perceptron; `last` has no ReLU.  `inner` is the number of vectors V_h."""

    def __init__(self, before: tuple[int, int], after: tuple[int, int], last: bool = False, inner: int = 0) -> None:
        super().__init__()
        inner = inner or max(before[1], after[1])
        self.inner = nn.Linear(before[1], inner, bias=False)
        self.scalars = nn.Linear(before[0] + inner, after[0])
        self.vectors = nn.Linear(inner, after[1], bias=False) if after[1] else None
        self.gates = nn.Linear(after[0], after[1]) if after[1] else None
        self.last = last

    def forward(self, x: Features, more: Features | None = None) -> Features:
        """`more` is added to W [s, |V_h|] + b and to V_h."""
        inner_N3T = self.inner(x.v_N3T)
        if more is not None:
            inner_N3T = inner_N3T + more.v_N3T
        length_NT = inner_N3T.square().sum(dim=1).clamp(min=SMALLEST).sqrt()
        s_NS = self.scalars(torch.cat([x.s_NS, length_NT], dim=1))
        if more is not None:
            s_NS = s_NS + more.s_NS
        if self.vectors is None or self.gates is None:
            v_N3T = inner_N3T[:, :, :0]
        else:
            v_N3T = self.gates(s_NS).sigmoid()[:, None] * self.vectors(inner_N3T)
        return Features(s_NS if self.last else F.relu(s_NS), v_N3T)


class Norm(nn.Module):
    """Layer norm of scalars; vectors over the root of the mean square of their lengths."""

    def __init__(self, scalars: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(scalars)

    def forward(self, x: Features) -> Features:
        square_N1T = x.v_N3T.square().sum(dim=1, keepdim=True).clamp(min=SMALLEST)
        return Features(self.norm(x.s_NS), x.v_N3T / square_N1T.mean(dim=2, keepdim=True).sqrt())


class Layer(nn.Module):
    """Messages and what each node makes of them.

    G_1 is linear in its three inputs before lengths are taken: what belongs to a node is multiplied once a node.
    """

    def __init__(self, node: tuple[int, int], edge: tuple[int, int]) -> None:
        super().__init__()
        (scalars, vectors), inner = node, 2 * node[1] + edge[1]
        self.scalars_of_ends = nn.Linear(scalars, 2 * scalars, bias=False)
        self.vectors_of_ends = nn.Linear(vectors, 2 * inner, bias=False)
        self.first = Perceptron(edge, node, inner=inner)
        self.others = nn.Sequential(Perceptron(node, node), Perceptron(node, node, last=True))
        wide = 4 * scalars, 2 * vectors
        self.forwards = nn.Sequential(Perceptron(node, wide), Perceptron(wide, node, last=True))
        self.norm, self.last_norm = Norm(scalars), Norm(scalars)

    def forward(
        self, x: Features, e: Features, source_E: Tensor, target_E: Tensor, drop: Callable[[str, Features], Features]
    ) -> Features:
        x = self.norm(plus(x, drop("messages", self.messages(x, e, source_E, target_E))))
        return self.last_norm(plus(x, drop("forwards", self.forwards(x))))

    def messages(self, x: Features, e: Features, source_E: Tensor, target_E: Tensor) -> Features:
        """The mean of what a node is told; 0 where nobody tells it anything."""
        s_to_VS, s_from_VS = self.scalars_of_ends(x.s_NS).chunk(2, dim=-1)
        v_to_V3T, v_from_V3T = self.vectors_of_ends(x.v_N3T).chunk(2, dim=-1)
        of_ends = Features(
            rows(s_to_VS, target_E) + rows(s_from_VS, source_E), rows(v_to_V3T, target_E) + rows(v_from_V3T, source_E)
        )
        told = self.others(self.first(e, of_ends))
        nodes = len(x.s_NS)
        v_VT = mean_by(told.v_N3T.flatten(1), target_E, nodes)
        return Features(mean_by(told.s_NS, target_E, nodes), v_VT.view(nodes, 3, -1))


class Gvp(nn.Module):
    """Proteins -> vectors of residues, (B, L, `config.width`), that no rotation changes."""

    def __init__(self, config: GvpConfig) -> None:
        super().__init__()
        self.config = config
        node, edge = (config.node_scalars, config.node_vectors), (config.edge_scalars, config.edge_vectors)
        whole, added = config.inputs == "gvp", config.lm_input == "add"
        self.types = nn.Embedding(TYPES, node[0]) if added else None
        self.shape = Perceptron((SHAPE, 3), node, last=True) if whole else None
        self.lm = nn.Linear(config.lm_channels, node[0], bias=False) if config.lm_channels else None
        if self.lm is not None and added:
            nn.init.zeros_(self.lm.weight)  # what was trained without a language model goes on as it was
        self.edges = Perceptron((RBF_CENTRES + whole * (2 * WAVES + 1), 1), edge, last=True)
        self.node_norm, self.edge_norm = Norm(node[0]), Norm(edge[0])
        self.layers = nn.ModuleList(Layer(node, edge) for _ in range(config.layers))
        self.last = Perceptron(node, (node[0], 0), last=True)

    def forward(
        self, batch: StructureBatch, neighbours: Neighbours | None = None, noise: Noise | None = None
    ) -> Tensor:
        """Vectors of residues, 0 where not real; of `neighbours`, where given, those within the radius are seen."""
        edges = self.find_edges(batch, neighbours)
        e = self.edge_norm(self.edges(self.edge_inputs(batch, *edges)))
        x = self.node_norm(self.start(batch))
        for number, layer in enumerate(self.layers):
            x = layer(x, e, *edges, partial(self.drop, batch, noise, number))
        z_BLC = self.last(x).s_NS.view(*batch.real_BL.shape, -1)
        return z_BLC * batch.real_BL[:, :, None]

    @torch.no_grad()
    def find_edges(self, batch: StructureBatch, neighbours: Neighbours | None) -> tuple[Tensor, Tensor]:
        """Rows of V that edges come from and go to; no residue sees itself."""
        config = self.config
        places = Places(batch.ca_BL3, batch.index_BL, batch.chain_BL, batch.real_BL)
        near = within(places, config.radius, config.neighbours + 1, neighbours)  # itself is one of the neighbours
        length = near.idx_BLK.shape[1]
        own_L1 = torch.arange(length, device=near.idx_BLK.device)[:, None]
        kept_BLK = near.ok_BLK & (near.idx_BLK != own_L1)
        source_BLK, target_BLK = flat(near.idx_BLK, length), flat(own_L1.expand_as(near.idx_BLK), length)
        return source_BLK[kept_BLK], target_BLK[kept_BLK]

    def start(self, batch: StructureBatch) -> Features:
        """What is known of the nodes before the first layer, added up."""
        if self.shape is not None:
            s_VS, v_V3T = self.shape(shape_inputs(batch))
        else:
            s_VS = batch.atoms_BLA3.new_zeros(batch.real_BL.numel(), self.config.node_scalars)
            v_V3T = batch.atoms_BLA3.new_zeros(batch.real_BL.numel(), 3, self.config.node_vectors)
        if self.types is not None:
            s_VS = s_VS + self.types(batch.type_BL).flatten(0, 1)
        if self.lm is not None:
            if batch.lm_BLC is None:
                raise ValueError(f"reads vectors of a language model ({self.config.lm_channels} channels), got none")
            s_VS = s_VS + self.lm(batch.lm_BLC).flatten(0, 1)
        return Features(s_VS, v_V3T)

    @torch.no_grad()
    def edge_inputs(self, batch: StructureBatch, source_E: Tensor, target_E: Tensor) -> Features:
        """Gaussians of distances, and displacements; for "gvp" also steps along the chain."""
        ca_V3 = batch.ca_BL3.flatten(0, 1)
        away_E3 = rows(ca_V3, source_E) - rows(ca_V3, target_E)
        d_E1 = away_E3.norm(dim=1, keepdim=True)
        centres_R = torch.linspace(0, RBF_FARTHEST, RBF_CENTRES, device=d_E1.device, dtype=d_E1.dtype)
        rbf_ER = torch.exp(-((d_E1 - centres_R) / RBF_WIDTH).square().clamp(max=NOTHING))
        if self.config.inputs == "esm-gvp":
            return Features(rbf_ER, away_E3[:, :, None])
        index_V, chain_V = batch.index_BL.flatten(), batch.chain_BL.flatten()
        same_E1 = (rows(chain_V, source_E) == rows(chain_V, target_E)).to(d_E1.dtype)[:, None]
        rates_W = torch.exp(torch.arange(WAVES, device=d_E1.device) * (-math.log(10_000) / WAVES))
        angle_EW = (rows(index_V, source_E) - rows(index_V, target_E))[:, None] * rates_W
        along_EW = torch.cat([angle_EW.sin(), angle_EW.cos()], dim=1) * same_E1
        return Features(torch.cat([rbf_ER, along_EW, same_E1], dim=1), (away_E3 / d_E1.clamp(min=TINY))[:, :, None])

    def drop(self, batch: StructureBatch, noise: Noise | None, number: int, name: str, x: Features) -> Features:
        """Dropout of scalars, and of vectors as a whole."""
        if noise is None or self.config.dropout == 0:
            return x
        proteins, length = batch.real_BL.shape
        s_BLS = x.s_NS.view(proteins, length, -1)
        one_BLT = x.v_N3T.new_ones(proteins, length, x.v_N3T.shape[2])
        s_BLS, kept_BLT = (
            dropout(y_BLC, self.config.dropout, noise, f"{number}.{name}.{kind}")
            for y_BLC, kind in ((s_BLS, "scalars"), (one_BLT, "vectors"))
        )
        return Features(s_BLS.flatten(0, 1), x.v_N3T * kept_BLT.flatten(0, 1)[:, None])


@torch.no_grad()
def shape_inputs(batch: StructureBatch) -> Features:
    """Torsions and kinds of frames; directions to the residues behind and before, and of the side chain."""
    given = batch.atoms_BLA3, batch.present_BLA, batch.index_BL, batch.chain_BL, batch.real_BL
    angle_BL3, known_BL3 = backbone_torsions(*given)
    framed = frames(*given)
    kind_BLK = F.one_hot(framed.kind_BL, SHAPE - 9)
    s_BLS = torch.cat([angle_BL3.sin(), angle_BL3.cos() * known_BL3, known_BL3, kind_BLK], dim=2)
    after_BL = bonded_to_next(batch.index_BL, batch.chain_BL, batch.real_BL)
    to_next_BL3 = batch.ca_BL3.roll(-1, dims=1) - batch.ca_BL3
    to_next_BL3 = to_next_BL3 / to_next_BL3.norm(dim=2, keepdim=True).clamp(min=TINY) * after_BL[:, :, None]
    side_3 = framed.rotation_BL33.new_tensor(SIDE)
    side_BL3 = (framed.rotation_BL33 * side_3).sum(dim=3)
    v_BL3T = torch.stack([to_next_BL3, -to_next_BL3.roll(1, dims=1), side_BL3], dim=3)
    return Features(s_BLS.flatten(0, 1), v_BL3T.flatten(0, 1))
