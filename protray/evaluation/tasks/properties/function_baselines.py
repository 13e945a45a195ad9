"""What a predictor of labels has to beat without looking at the order of residues: composition, of states too.

Shape key:  N proteins   F features   T labels
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protray.seq.alphabet import N_AA, encode
from protray.seq.secondary import NO_LABEL, STATES
from protray.struct.dssp import by_pydssp
from protray.struct.files.chain import Chain

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
ITERATIONS = 100  # of L-BFGS, at most


def composition(sequences: Sequence[str]) -> np.ndarray:
    """Shares of the 20 amino acids, and the logarithm of the length; float32, shape (N, 21).

    >>> composition(["AARR"])[0, :3].tolist()
    [0.5, 0.5, 0.0]
    """
    found = np.zeros((len(sequences), N_AA + 1), np.float32)
    for row, sequence in zip(found, sequences, strict=True):
        codes_L = encode(sequence)
        row[:N_AA] = np.bincount(codes_L[codes_L < N_AA], minlength=N_AA)[:N_AA] / len(codes_L)
        row[N_AA] = np.log(len(codes_L))
    return found


def state_composition(chains: Sequence[Chain | None]) -> np.ndarray:
    """Shares of helix, strand and coil as pydssp assigns them, and the logarithm of the length; float32, shape (N, 4).

    NaN for a chain without a structure, or without any residue whose backbone is complete.
    """
    found = np.full((len(chains), len(STATES) + 1), np.nan, np.float32)
    for row, chain in zip(found, chains, strict=True):
        states = by_pydssp(chain).replace(NO_LABEL, "") if chain else ""
        if chain and states:
            row[:-1] = [states.count(state) / len(states) for state in STATES]
            row[-1] = np.log(len(chain.sequence))
    return found


@dataclass(frozen=True)
class Logistic:
    """One logistic regression for each label, on standardised features."""

    mean_F: np.ndarray
    scale_F: np.ndarray
    weight_FT: np.ndarray
    bias_T: np.ndarray
    penalty: float

    def predict(self, x_NF: np.ndarray) -> np.ndarray:
        """Probabilities, shape (N, T)."""
        return 1 / (1 + np.exp(-((x_NF - self.mean_F) / self.scale_F @ self.weight_FT + self.bias_T)))


def fit_logistic(x_NF: np.ndarray, y_NT: np.ndarray, penalty: float, start: Logistic | None = None) -> Logistic:
    r"""Minimise the mean cross-entropy of all labels and `penalty` :math:`\|W\|^2`, the bias spared, by L-BFGS.

    It begins with the weights of `start`, of the same rows, or with none.  In float32, which takes half the time.
    """
    import torch
    from torch.nn import functional as F

    mean_F, scale_F = x_NF.mean(axis=0, dtype=np.float64), x_NF.std(axis=0, dtype=np.float64) + 1e-8
    x, y = torch.from_numpy((x_NF - mean_F) / scale_F).float(), torch.from_numpy(y_NT).float()
    bias_T, weight_FT = torch.logit(y.mean(dim=0).clamp(1e-4, 1 - 1e-4)), torch.zeros(x.shape[1], y.shape[1])
    if start:
        bias_T, weight_FT = torch.from_numpy(start.bias_T).float(), torch.from_numpy(start.weight_FT).float()
    solved = [weight_FT.requires_grad_(), bias_T.requires_grad_()]
    solver = torch.optim.LBFGS(solved, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        entropy = F.binary_cross_entropy_with_logits(x @ weight_FT + bias_T, y, reduction="sum") / len(y)
        total = entropy + penalty * weight_FT.square().sum()
        total.backward()
        return total

    solver.step(loss)  # type: ignore[arg-type]
    return Logistic(mean_F, scale_F, weight_FT.detach().double().numpy(), bias_T.detach().double().numpy(), penalty)


def choose_logistic(
    x_NF: np.ndarray, y_NT: np.ndarray, validation_x_NF: np.ndarray, validation_y_NT: np.ndarray
) -> Logistic:
    """The penalty with the lowest cross-entropy on the validation split; each begins where a higher one ended.

    All are tried, since validation may get worse before it gets better.
    """
    fitted: list[Logistic] = []
    for penalty in PENALTIES:
        fitted.append(fit_logistic(x_NF, y_NT, penalty, fitted[-1] if fitted else None))
    return min(fitted, key=lambda one: cross_entropy(one.predict(validation_x_NF), validation_y_NT))


def cross_entropy(probability_NT: np.ndarray, true_NT: np.ndarray) -> float:
    """Mean over all pairs, in nats."""
    p = np.clip(probability_NT, 1e-7, 1 - 1e-7)
    return float(-np.where(true_NT > 0.5, np.log(p), np.log1p(-p)).mean())
