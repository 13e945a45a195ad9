"""Least squares from simple features of decoys to their scores: a baseline, and what GraphQA corrects.

Shape key:  V residues   G decoys   F features   S scores (`LOCAL` of residues, `GLOBAL` of models)   L of a decoy
"""

from collections.abc import Sequence

import numpy as np

from protray.data.decoys.table import Decoy
from protray.struct.graph import residue_graph

RIDGE = 1e-3  # times the number of rows
EXTREME = 0.02  # scores nearer to 0 or 1 have the logit of this


def logit_fits(decoys: Sequence[Decoy]) -> tuple[np.ndarray, np.ndarray]:
    """Maps of features to the logits ln(s / (1 - s)) of scores, of residues and of models; float32, shape (F, S).

    A score that is known of no decoy has 0.
    """
    found = [features(decoy) for decoy in decoys]
    local_VF, global_GF = np.concatenate([of_residues for of_residues, _ in found]), np.stack([one for _, one in found])
    fits = []
    for x_NF, true_NS in zip((local_VF, global_GF), true_scores(decoys), strict=True):
        share_NS = true_NS.clip(EXTREME, 1 - EXTREME)
        fits.append(ridge(x_NF, np.log(share_NS / (1 - share_NS))).astype(np.float32))
    return fits[0], fits[1]


def features(decoy: Decoy) -> tuple[np.ndarray, np.ndarray]:
    """Of residues (L, F): 1, their own, the model's; of the model (F,): 1 and its own."""
    graph = residue_graph(decoy.backbone_L43, decoy.index_L)
    node_LF, global_F = graph.node_LF.astype(np.float64), graph.global_F.astype(np.float64)
    of_model_F = np.concatenate([[1.0], global_F])
    return np.concatenate(
        [np.ones((len(node_LF), 1)), node_LF, np.tile(of_model_F[1:], (len(node_LF), 1))], 1
    ), of_model_F


def true_scores(decoys: Sequence[Decoy]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([decoy.local_LS for decoy in decoys]), np.stack([decoy.global_S for decoy in decoys])


def ridge(x_NF: np.ndarray, true_NS: np.ndarray) -> np.ndarray:
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
