"""Embeddings of decoys for GraphQA: of a score network (pairs on edges, residues on nodes), a joint encoder (residues),
or a language model.

Each is computed once and kept in memory as long as there is room, since a training comes back to a decoy many times.

Shape key:  L residues   E edges   C channels
"""

from pathlib import Path

import numpy as np

from protray.data.decoys.graphs import Widths
from protray.data.decoys.table import Decoy
from protray.data.location import Location
from protray.inference.embeddings.residues import JointEncoder, LanguageModel, open_structure_model
from protray.inference.embeddings.score_net import Embedder

ROOM = 1 << 30  # bytes: 4,000 decoys of 90 residues with 64 channels


class ScoreNetEmbeddings:
    """What a score network says of the decoy's own structure, without noise (Guo et al., AAAI 2022, Figure 2)."""

    def __init__(self, embedder: Embedder, room: int = ROOM) -> None:
        self.embedder, self.left = embedder, room
        self.widths = Widths(embedder.channels, embedder.channels)
        self.known: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, decoy: Decoy, edges_2E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residues (L, C), the mean over j of (E_ij + E_ji) / 2; and E_ij of the edges, (E, C); float16."""
        if decoy.id in self.known:
            return self.known[decoy.id]
        parts, of_rows, start = [], [], 0
        column_LC = np.zeros((len(decoy.sequence), self.embedder.channels))
        for strip_ILC in self.embedder.pair(decoy.chain):
            inside = slice(*np.searchsorted(edges_2E[0], [start, start + len(strip_ILC)]))
            parts.append(strip_ILC[edges_2E[0, inside] - start, edges_2E[1, inside]])
            of_rows.append(strip_ILC.mean(axis=1, dtype=np.float32))
            column_LC += strip_ILC.sum(axis=0, dtype=np.float32)
            start += len(strip_ILC)
        residue_LC = (np.concatenate(of_rows) + column_LC / len(column_LC)) / 2
        found = residue_LC.astype(np.float16), np.concatenate(parts)
        size = sum(array.nbytes for array in found)
        if size <= self.left:
            self.left -= size
            self.known[decoy.id] = found
        return found


class JointEmbeddings:
    """What SSDM's encoder says of the residues of the decoy's own structure; nothing on edges."""

    def __init__(self, embed: JointEncoder, room: int = ROOM) -> None:
        self.embed, self.left = embed, room
        self.widths = Widths(embed.width, 0)
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, decoy: Decoy, edges_2E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residues, (L, C), float16; and no channel of the edges, (E, 0)."""
        residue_LC = self.known.get(decoy.id)
        if residue_LC is None:
            residue_LC = self.embed(decoy.sequence, decoy.backbone_L43, decoy.index_L).astype(np.float16)
            if residue_LC.nbytes <= self.left:
                self.left -= residue_LC.nbytes
                self.known[decoy.id] = residue_LC
        return residue_LC, np.zeros((edges_2E.shape[1], 0), np.float16)


def open_decoy_embeddings(
    folder: Path | Location, noise: float, device: str = "cpu", room: int = ROOM
) -> ScoreNetEmbeddings | JointEmbeddings:
    """Read the folder ``model`` of jobs/score_net.py, which is told the `noise` (Å), or of jobs/ssdm.py."""
    embed = open_structure_model(folder, noise, device)
    if isinstance(embed, JointEncoder):
        return JointEmbeddings(embed, room)
    return ScoreNetEmbeddings(embed.embedder, room)


class LanguageModelEmbeddings:
    """What a language model says of each residue: the same for all decoys of a target, nothing on edges."""

    def __init__(self, embed: LanguageModel) -> None:
        self.embed = embed
        self.widths = Widths(embed.width, 0)
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, decoy: Decoy, edges_2E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residues (L, C), float16; and no channel of the edges, (E, 0)."""
        if decoy.sequence not in self.known:
            self.known[decoy.sequence] = self.embed(decoy.sequence).astype(np.float16)
        return self.known[decoy.sequence], np.zeros((edges_2E.shape[1], 0), np.float16)
