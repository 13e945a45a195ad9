"""What a predictor of interaction sites has to beat: logistic regression on windows and the protein's length.

Shape key:  L residues of a protein   N residues of many   F features of a residue   W residues of a window
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from protray.data.sites.batch import FeatureSet, features
from protray.data.sites.table import SiteProtein
from protray.evaluation.tasks.sites.scores import average_precision

WINDOWS = (7, 15)  # residues
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # of the squared weights, a residue
STEPS = 100  # of L-BFGS


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on the standardised features of a window."""

    wanted: FeatureSet
    window: int
    penalty: float
    mean_F: np.ndarray
    deviation_F: np.ndarray
    weight_F: np.ndarray  # of W x F features and the length
    bias: float

    def predict(self, proteins: Sequence[SiteProtein]) -> list[np.ndarray]:
        """Probabilities of being a site of each protein's residues, shape (L,)."""
        found = []
        for protein in proteins:
            x_LF = windows(protein, self.wanted, self.window)
            score_L = (x_LF - self.mean_F) / self.deviation_F @ self.weight_F + self.bias
            found.append(1 / (1 + np.exp(-score_L)))
        return found


def best_logistic(train: Sequence[SiteProtein], validation: Sequence[SiteProtein]) -> Logistic:
    """The one of `WINDOWS` and `PENALTIES` with the highest AUPRC on validation; without embeddings."""
    wanted = FeatureSet.of(train)
    wanted = FeatureSet(wanted.pssm, wanted.dssp)
    site_N = np.concatenate([one.label_L[one.known_L] == 1 for one in validation])
    best, best_score = None, -np.inf
    for window in WINDOWS:
        for penalty in PENALTIES:
            fitted = fit_logistic(train, wanted, window, penalty)
            found = fitted.predict(validation)
            score_N = np.concatenate([one_L[one.known_L] for one_L, one in zip(found, validation, strict=True)])
            score = average_precision(score_N, site_N)
            if best is None or score > best_score:
                best, best_score = fitted, score
    assert best
    return best


def fit_logistic(proteins: Sequence[SiteProtein], wanted: FeatureSet, window: int, penalty: float) -> Logistic:
    r"""Minimise :math:`\frac{1}{N} \sum_n \mathrm{BCE}_n + \frac{\lambda}{2} |w|^2` by L-BFGS; the bias is spared."""
    x_NF = np.concatenate([windows(one, wanted, window)[one.known_L] for one in proteins])
    y_N = torch.from_numpy(np.concatenate([one.label_L[one.known_L] for one in proteins]).astype(np.float32))
    mean_F, deviation_F = x_NF.mean(axis=0), x_NF.std(axis=0)
    deviation_F[deviation_F == 0] = 1
    x = torch.from_numpy((x_NF - mean_F) / deviation_F)
    weight_F = torch.zeros(x.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_F, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        fits = torch.nn.functional.binary_cross_entropy_with_logits(x @ weight_F + bias, y_N)
        value = fits + penalty / 2 * weight_F.square().sum()
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    found_F = weight_F.detach().numpy()
    return Logistic(wanted, window, penalty, mean_F, deviation_F, found_F, bias.item())


def windows(protein: SiteProtein, wanted: FeatureSet, window: int) -> np.ndarray:
    """Features of each residue and its neighbours, zero beyond the ends, and ln L; float32, shape (L, W F + 1).

    The length, since small proteins have more of their residues in interfaces; a network can tell it from the ends.
    """
    feature_LF = features(protein, wanted)
    padded = np.pad(feature_LF, ((window // 2, window // 2), (0, 0)))
    length_L1 = np.full((len(feature_LF), 1), np.log(len(feature_LF)), np.float32)
    return np.concatenate([*(padded[start : start + len(feature_LF)] for start in range(window)), length_L1], axis=1)
