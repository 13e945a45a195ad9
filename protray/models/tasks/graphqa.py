"""GraphQA (Baldassarre et al., Bioinformatics 2021): quality of a protein model, of each residue and as a whole.

Graph networks after Battaglia et al. 2018 over C-alpha atoms, in plain torch.  It sees nothing that a rotation changes.
Embeddings of other models can be added to the features of nodes and of edges (Guo et al., AAAI 2022, Figure 2).

Shape key:  G graphs of a batch   V nodes (residues) of all graphs   E edges of all graphs   F features   C channels
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.tasks.graphqa_config import GLOBAL, LOCAL, GraphQaConfig
from protray.seq.alphabet import UNKNOWN
from protray.struct.graph import EDGE_FEATURES, GLOBAL_FEATURES, N_SEPARATIONS, NODE_FEATURES

RBF_CENTRES, RBF_FARTHEST = 16, 20.0  # Gaussians of a distance, 0 to 20 Å, of unit variance
NOTHING = 40.0  # exp(-40) is nothing beside 1; exp(-90) is a denormal number, which is slow


@dataclass(frozen=True)
class Graphs:
    """Several graphs as one without edges between them; the numbers of nodes and graphs count through."""

    codes_V: Tensor  # int64, residue types
    node_VF: Tensor
    graph_V: Tensor  # int64, the graph of each node
    edges_2E: Tensor  # int64, from and to
    distance_E: Tensor  # Å
    separation_E: Tensor  # int64
    edge_EF: Tensor
    global_GF: Tensor
    extra_VC: Tensor  # embeddings of residues; of width 0 without
    extra_EC: Tensor  # embeddings of pairs

    def to(self, device: str) -> "Graphs":
        return Graphs(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


class Layer(nn.Module):
    """One round: edges from their ends, nodes from the mean of their edges, the whole from the means of both.

    A linear map of concatenated inputs is computed as a sum of maps: what belongs to a node is multiplied once a node,
    not once an edge.
    """

    def __init__(self, before: tuple[int, int, int], after: tuple[int, int, int], config: GraphQaConfig) -> None:
        super().__init__()
        (e, n, w), (edges, nodes, whole) = before, after
        self.edge = nn.Linear(e, edges)
        self.edge_from, self.edge_to, self.edge_whole = (nn.Linear(size, edges, bias=False) for size in (n, n, w))
        self.node = nn.Linear(n + edges, nodes)
        self.node_whole = nn.Linear(w, nodes, bias=False)
        self.whole = nn.Linear(w + edges + nodes, whole)
        self.dropout = config.dropout
        self.norms = nn.ModuleList(nn.LayerNorm(size) if config.norm else nn.Identity() for size in after)

    def forward(self, e_EC: Tensor, v_VC: Tensor, u_GC: Tensor, graphs: Graphs) -> tuple[Tensor, Tensor, Tensor]:
        source_E, target_E = graphs.edges_2E
        graph_E = graphs.graph_V[target_E]
        of_nodes = rows(self.edge_from(v_VC), source_E) + rows(self.edge_to(v_VC), target_E)
        e_EC = self._end(0, self.edge(e_EC) + of_nodes + rows(self.edge_whole(u_GC), graph_E))
        message_VC = mean_by(e_EC, target_E, len(v_VC))
        of_whole = rows(self.node_whole(u_GC), graphs.graph_V)
        v_VC = self._end(1, self.node(torch.cat([v_VC, message_VC], dim=1)) + of_whole)
        means = mean_by(e_EC, graph_E, len(u_GC)), mean_by(v_VC, graphs.graph_V, len(u_GC))
        u_GC = self._end(2, self.whole(torch.cat([u_GC, *means], dim=1)))
        return e_EC, v_VC, u_GC

    def _end(self, number: int, x: Tensor) -> Tensor:
        return F.relu(self.norms[number](F.dropout(x, self.dropout, self.training)))


class GraphQa(nn.Module):
    """Graphs -> scores of residues (V, 2) and of whole models (G, 5), in [0, 1], in the order of `LOCAL` and `GLOBAL`.

    `node_channels` and `edge_channels` are the widths of the embeddings that come with each graph; each is
    standardised over its channels (layer norm), since no two models give numbers of one size.
    """

    centres_R: Tensor
    linear_local_FS: Tensor
    linear_global_FS: Tensor

    def __init__(self, config: GraphQaConfig, node_channels: int = 0, edge_channels: int = 0) -> None:
        super().__init__()
        self.config, self.node_channels, self.edge_channels = config, node_channels, edge_channels
        first, *others = config.sizes()
        e, n, w = first
        self.types = nn.Embedding(UNKNOWN + 1, n)
        self.separations = nn.Embedding(N_SEPARATIONS, e)
        self.of_node = nn.Linear(NODE_FEATURES, n)
        self.of_edge = nn.Linear(EDGE_FEATURES + RBF_CENTRES, e)
        self.of_whole = nn.Linear(GLOBAL_FEATURES, w)
        self.extra_node = _standardised(node_channels, n) if node_channels else None
        self.extra_edge = _standardised(edge_channels, e) if edge_channels else None
        self.layers = nn.ModuleList(
            Layer(before, after, config) for before, after in zip(config.sizes(), others, strict=False)
        )
        self.local = nn.Linear(others[-1][1] + n, len(LOCAL))
        self.local_whole = nn.Linear(others[-1][2] + w, len(LOCAL), bias=False)
        self.overall = nn.Linear(others[-1][2] + w, len(GLOBAL))
        self.register_buffer("linear_local_FS", torch.zeros(1 + NODE_FEATURES + GLOBAL_FEATURES, len(LOCAL)))
        self.register_buffer("linear_global_FS", torch.zeros(1 + GLOBAL_FEATURES, len(GLOBAL)))
        self.register_buffer("centres_R", torch.linspace(0, RBF_FARTHEST, RBF_CENTRES), persistent=False)

    def forward(self, graphs: Graphs) -> tuple[Tensor, Tensor]:
        away_ER = 0.5 * (graphs.distance_E[:, None] - self.centres_R).square()
        shape_EF = torch.cat([graphs.edge_EF, torch.exp(-away_ER.clamp(max=NOTHING))], dim=1)
        e_EC = self.of_edge(shape_EF) + self.separations(graphs.separation_E)
        v_VC = self.of_node(graphs.node_VF) + self.types(graphs.codes_V)
        if self.extra_node:
            v_VC = v_VC + self.extra_node(graphs.extra_VC)
        if self.extra_edge:
            e_EC = e_EC + self.extra_edge(graphs.extra_EC)
        e_EC, v_VC, u_GC = F.relu(e_EC), F.relu(v_VC), F.relu(self.of_whole(graphs.global_GF))
        first_VC, first_GC = v_VC, u_GC
        for layer in self.layers:
            e_EC, v_VC, u_GC = layer(e_EC, v_VC, u_GC, graphs)
        u_GC = torch.cat([u_GC, first_GC], dim=1)
        local_VS = self.local(torch.cat([v_VC, first_VC], dim=1)) + rows(self.local_whole(u_GC), graphs.graph_V)
        global_GS = self.overall(u_GC)
        if self.config.linear:
            one_GF = F.pad(graphs.global_GF, (1, 0), value=1.0)
            of_node_VF = torch.cat(
                [F.pad(graphs.node_VF, (1, 0), value=1.0), rows(graphs.global_GF, graphs.graph_V)], 1
            )
            local_VS = local_VS + of_node_VF @ self.linear_local_FS
            global_GS = global_GS + one_GF @ self.linear_global_FS
        return local_VS.sigmoid(), global_GS.sigmoid()

    def set_linear(self, local_FS: np.ndarray, global_FS: np.ndarray) -> None:
        """Start from least squares (`protray.data.decoys.linear.logit_fits`), which the rest learns to correct."""
        self.linear_local_FS.copy_(torch.from_numpy(local_FS))
        self.linear_global_FS.copy_(torch.from_numpy(global_FS))
        for last in (self.local, self.local_whole, self.overall):
            nn.init.zeros_(last.weight)
        for last in (self.local, self.overall):
            nn.init.zeros_(last.bias)


def rows(x_NC: Tensor, number_M: Tensor) -> Tensor:
    """x_NC[number_M], spelt so that its gradient is an index_add; brackets would sort the numbers first."""
    return x_NC.index_select(0, number_M)


def _standardised(channels: int, size: int) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, size))


def mean_by(x_NC: Tensor, group_N: Tensor, groups: int) -> Tensor:
    """Mean of the rows of each group, shape (groups, C); 0 for a group without rows.

    >>> mean_by(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2]), 3).tolist()
    [[2.0], [0.0], [5.0]]
    """
    sums_GC = x_NC.new_zeros(groups, x_NC.shape[1]).index_add_(0, group_N, x_NC)
    counts_G = torch.bincount(group_N, minlength=groups).clamp(min=1)
    return sums_GC / counts_G[:, None]
