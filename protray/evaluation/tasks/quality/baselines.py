"""What a predictor of quality has to beat: the mean of the training decoys, and a linear fit to simple features.

Shape key:  V residues   G decoys   F features   S scores (`LOCAL` of residues, `GLOBAL` of models)   L of a decoy
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protray.data.decoys.linear import features, ridge, true_scores
from protray.data.decoys.table import Decoy
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL


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
    local_VS, global_GS = true_scores(decoys)
    of_residues_LF, of_model_F = features(decoys[0])
    local_FS, global_FS = (np.zeros((size, len(names))) for size, names in
                           ((of_residues_LF.shape[1], LOCAL), (len(of_model_F), GLOBAL)))  # fmt: skip
    local_FS[0], global_FS[0] = _mean(local_VS), _mean(global_GS)
    return Linear(local_FS, global_FS)


def fit_linear(decoys: Sequence[Decoy]) -> Linear:
    """Ridge regression on features that need no network: length, compactness, contacts, angles, bond lengths."""
    of_decoys = [features(decoy) for decoy in decoys]
    local_VS, global_GS = true_scores(decoys)
    local_VF = np.concatenate([of_residues_LF for of_residues_LF, _ in of_decoys])
    global_GF = np.stack([of_model_F for _, of_model_F in of_decoys])
    return Linear(ridge(local_VF, local_VS), ridge(global_GF, global_GS))


def _mean(true_NS: np.ndarray) -> np.ndarray:
    """Over what is known; 0 for a score of which nothing is."""
    counts_S = np.isfinite(true_NS).sum(axis=0)
    return np.nan_to_num(true_NS).sum(axis=0, dtype=np.float64) / np.maximum(counts_S, 1)
