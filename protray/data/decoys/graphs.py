"""Batches of decoys for GraphQA: their graphs as one, and what is to be predicted.

Shape key:  G decoys   V residues of all   E edges of all   L residues of one   S scores   C channels of embeddings
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from protray.data.decoys.table import Decoy
from protray.models.tasks.graphqa import Graphs
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.seq.alphabet import encode
from protray.struct.graph import residue_graph

# embeddings of residues (L, C) and of the pairs that edges join (E, C'), of a decoy with the edges (2, E)
Extras = Callable[[Decoy, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Widths:
    """Channels of the embeddings of residues and of pairs."""

    residue: int = 0
    pair: int = 0


@dataclass(frozen=True)
class DecoyBatch:
    """Some decoys as graphs, and their true scores; NaN where one is not known."""

    decoys: tuple[Decoy, ...]
    graphs: Graphs
    local_VS: Tensor
    global_GS: Tensor


def no_extras(decoy: Decoy, edges_2E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """No embeddings."""
    return np.zeros((len(decoy.sequence), 0), np.float32), np.zeros((edges_2E.shape[1], 0), np.float32)


def decoy_batch(decoys: Sequence[Decoy], config: GraphQaConfig, extras: Extras = no_extras) -> DecoyBatch:
    """Put the graphs of some decoys side by side."""
    graphs = [residue_graph(one.backbone_L43, one.index_L, config.radius, config.hops) for one in decoys]
    more = [extras(one, graph.edges_2E) for one, graph in zip(decoys, graphs, strict=True)]
    lengths = [len(one.sequence) for one in decoys]
    starts = np.cumsum([0, *lengths[:-1]])
    edges_2E = np.concatenate([graph.edges_2E + start for graph, start in zip(graphs, starts, strict=True)], axis=1)
    joined = Graphs(
        codes_V=_tensor([encode(one.sequence).astype(np.int64) for one in decoys]),
        node_VF=_tensor([graph.node_LF for graph in graphs]),
        graph_V=torch.from_numpy(np.repeat(np.arange(len(decoys)), lengths)),
        edges_2E=torch.from_numpy(edges_2E),
        distance_E=_tensor([graph.distance_E for graph in graphs]),
        separation_E=_tensor([graph.separation_E for graph in graphs]),
        edge_EF=_tensor([graph.edge_EF for graph in graphs]),
        global_GF=torch.from_numpy(np.stack([graph.global_F for graph in graphs])),
        extra_VC=_tensor([residue_LC for residue_LC, _ in more]).float(),
        extra_EC=_tensor([pair_EC for _, pair_EC in more]).float(),
    )
    local_VS, global_GS = _tensor([one.local_LS for one in decoys]), _tensor([one.global_S[None] for one in decoys])
    return DecoyBatch(tuple(decoys), joined, local_VS, global_GS)


def _tensor(arrays: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays))
