"""What a predictor of stability has to beat: a linear fit to what a substitution changes, or to the composition.

Shape key:  N measurements   F features
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from protray.seq.alphabet import AMINO_ACIDS, N_AA

# Kyte & Doolittle (J Mol Biol 157:105, 1982), hydropathy; Zamyatnin (Prog Biophys Mol Biol 24:107, 1972), Å^3
HYDROPATHY = dict(zip("ARNDCQEGHILKMFPSTWYV", (
    1.8, -4.5, -3.5, -3.5, 2.5, -3.5, -3.5, -0.4, -3.2, 4.5, 3.8, -3.9, 1.9, 2.8, -1.6, -0.8, -0.7, -0.9, -1.3, 4.2,
), strict=True))  # fmt: skip
VOLUME = dict(zip("ARNDCQEGHILKMFPSTWYV", (
    88.6, 173.4, 114.1, 111.1, 108.5, 143.8, 138.4, 60.1, 153.2, 166.7, 166.7, 168.6, 162.9, 189.9, 112.7, 89.0, 116.1,
    227.8, 193.6, 140.0,
), strict=True))  # fmt: skip
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@cache
def _blosum62() -> np.ndarray:
    from Bio.Align import substitution_matrices

    matrix: Any = substitution_matrices.load("BLOSUM62")
    return np.array([[matrix[a][b] for b in AMINO_ACIDS] for a in AMINO_ACIDS])


def substitution(was: str, to: str) -> np.ndarray:
    """Features of a mutation, summed over sites: BLOSUM62, change of hydropathy and volume, their sizes, both residues.

    >>> substitution("A", "V")[:3].round(1).tolist()
    [0.0, 2.4, 51.4]
    """
    found_F = np.zeros(5 + 2 * N_AA)
    for old, new in zip(was, to, strict=True):
        a, b = AMINO_ACIDS.index(old), AMINO_ACIDS.index(new)
        water, size = HYDROPATHY[new] - HYDROPATHY[old], VOLUME[new] - VOLUME[old]
        found_F[:5] += _blosum62()[a, b], water, size, abs(water), abs(size)
        found_F[5 + a] += 1
        found_F[5 + N_AA + b] += 1
    return found_F


@dataclass(frozen=True)
class Ridge:
    """A linear map from standardised features."""

    mean_F: np.ndarray
    scale_F: np.ndarray
    weight_F: np.ndarray
    bias: float
    penalty: float

    def predict(self, x_NF: np.ndarray) -> np.ndarray:
        """Shape (N,)."""
        return (x_NF - self.mean_F) / self.scale_F @ self.weight_F + self.bias


def fit_ridge(x_NF: np.ndarray, y_N: np.ndarray, penalty: float) -> Ridge:
    r"""Minimise the mean squared error and `penalty` :math:`\|w\|^2`, the bias spared."""
    mean_F, scale_F = x_NF.mean(axis=0), x_NF.std(axis=0) + 1e-8
    x_NF, bias = (x_NF - mean_F) / scale_F, float(y_N.mean())
    square_FF = x_NF.T @ x_NF / len(x_NF) + penalty * np.eye(x_NF.shape[1])
    return Ridge(mean_F, scale_F, np.linalg.solve(square_FF, x_NF.T @ (y_N - bias) / len(x_NF)), bias, penalty)


def choose_ridge(x_NF: np.ndarray, y_N: np.ndarray, validation_x_NF: np.ndarray, validation_y_N: np.ndarray) -> Ridge:
    """The penalty with the lowest mean squared error on the validation split."""
    fitted = [fit_ridge(x_NF, y_N, penalty) for penalty in PENALTIES]
    return min(fitted, key=lambda one: float(np.square(one.predict(validation_x_NF) - validation_y_N).mean()))
