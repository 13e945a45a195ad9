"""What a predictor of quality has to beat: the mean of the training decoys, and a linear fit to simple features.

Shape key:  V residues   G decoys   F features   S scores (`LOCAL` of residues, `GLOBAL` of models)   L of a decoy
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protray.data.decoys.table import Decoy
from protray.models.graphqa_config import GLOBAL, LOCAL
from protray.struct.graph import residue_graph

RIDGE = 1e-3  # times the number of rows


@dataclass(frozen=True)
class Linear:
    """One linear map to the scores of residues, one to those of models; clipped to [0, 1]."""

    local_FS: np.ndarray
    global_FS: np.ndarray

    def predict(self, decoys: Sequence[Decoy]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Scores of residues (L, S) and of the whole (S,) of each decoy."""
        found = []
        for decoy in decoys:
            of_residues_LF, of_model_F = features(decoy)
            found.append(((of_residues_LF @ self.local_FS).clip(0, 1), (of_model_F @ self.global_FS).clip(0, 1)))
        return found


def fit_constant(decoys: Sequence[Decoy]) -> Linear:
    """The mean of each score over the training decoys, whatever the structure."""
    local_VS, global_GS = _true(decoys)
    of_residues_LF, of_model_F = features(decoys[0])
    local_FS, global_FS = (np.zeros((size, len(names))) for size, names in
                           ((of_residues_LF.shape[1], LOCAL), (len(of_model_F), GLOBAL)))  # fmt: skip
    local_FS[0], global_FS[0] = _mean(local_VS), _mean(global_GS)
    return Linear(local_FS, global_FS)


def fit_linear(decoys: Sequence[Decoy]) -> Linear:
    """Ridge regression on features that need no network: length, compactness, contacts, angles, bond lengths."""
    of_decoys = [features(decoy) for decoy in decoys]
    local_VS, global_GS = _true(decoys)
    local_VF = np.concatenate([of_residues_LF for of_residues_LF, _ in of_decoys])
    global_GF = np.stack([of_model_F for _, of_model_F in of_decoys])
    return Linear(_ridge(local_VF, local_VS), _ridge(global_GF, global_GS))


def features(decoy: Decoy) -> tuple[np.ndarray, np.ndarray]:
    """Of residues (L, F): 1, their own, the model's; of the model (F,): 1 and its own."""
    graph = residue_graph(decoy.backbone_L43, decoy.index_L)
    node_LF, global_F = graph.node_LF.astype(np.float64), graph.global_F.astype(np.float64)
    of_model_F = np.concatenate([[1.0], global_F])
    return np.concatenate(
        [np.ones((len(node_LF), 1)), node_LF, np.tile(of_model_F[1:], (len(node_LF), 1))], 1
    ), of_model_F


def _true(decoys: Sequence[Decoy]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([decoy.local_LS for decoy in decoys]), np.stack([decoy.global_S for decoy in decoys])


def _mean(true_NS: np.ndarray) -> np.ndarray:
    """Over what is known; 0 for a score of which nothing is."""
    counts_S = np.isfinite(true_NS).sum(axis=0)
    return np.nan_to_num(true_NS).sum(axis=0, dtype=np.float64) / np.maximum(counts_S, 1)


def _ridge(x_NF: np.ndarray, true_NS: np.ndarray) -> np.ndarray:
    """Least squares with a small penalty, which the constant (the first feature) is spared; shape (F, S)."""
    penalty_F = np.full(x_NF.shape[1], RIDGE)
    penalty_F[0] = 0
    found_FS = np.zeros((x_NF.shape[1], true_NS.shape[1]))
    for score, true_N in enumerate(true_NS.T):
        known_N = np.isfinite(true_N)
        if known_N.any():
            x, y = x_NF[known_N], true_N[known_N].astype(np.float64)
            found_FS[:, score] = np.linalg.lstsq(x.T @ x + len(x) * np.diag(penalty_F), x.T @ y, rcond=None)[0]
    return found_FS
