r"""A linear discriminant for one label of many, in closed form, its covariance drawn towards a sphere.

With the means :math:`\mu_t` and shares :math:`\pi_t` of the classes and the covariance W within them,

.. math:: S = (1 - a) W + a \frac{\mathrm{tr} W}{F} I, \quad
    g_t(x) = x^T S^{-1} \mu_t - \tfrac12 \mu_t^T S^{-1} \mu_t + \ln \pi_t

and the probabilities are the softmax of g.  One eigendecomposition of W serves every a.
Source: Friedman, J Am Stat Assoc 84:165 (1989), with one covariance for all classes.

Shape key:  N rows   F features   T classes
"""

from dataclasses import dataclass

import numpy as np

SHRINKAGES = (0.9, 0.6, 0.3, 0.1, 0.03, 0.01)  # a; of equally good ones the first


@dataclass(frozen=True)
class Discriminant:
    """What tells the classes apart."""

    weight_FT: np.ndarray
    bias_T: np.ndarray
    shrinkage: float

    def predict(self, x_NF: np.ndarray) -> np.ndarray:
        """Probabilities, shape (N, T)."""
        score_NT = x_NF @ self.weight_FT + self.bias_T
        found_NT = np.exp(score_NT - score_NT.max(axis=1, keepdims=True))
        return found_NT / found_NT.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Spread:
    """Means, shares and the covariance within the classes of training rows, the last by its eigenvectors."""

    mean_TF: np.ndarray
    share_T: np.ndarray
    value_F: np.ndarray
    vector_FF: np.ndarray

    @classmethod
    def of(cls, x_NF: np.ndarray, label_N: np.ndarray, classes: int) -> "Spread":
        """Raises ValueError if a class has no row, or no class has two of them."""
        count_T = np.bincount(label_N, minlength=classes)
        if not count_T.all() or len(x_NF) <= classes:
            raise ValueError(f"{len(x_NF)} training rows of {classes} classes, {(count_T == 0).sum()} of which "
                             "have none; each needs one, and one of them two")  # fmt: skip
        mean_TF = (label_N == np.arange(classes)[:, None]) @ x_NF / count_T[:, None]
        within_NF = x_NF - mean_TF[label_N]
        value_F, vector_FF = np.linalg.eigh(within_NF.T @ within_NF / (len(x_NF) - classes))
        return cls(mean_TF, count_T / len(x_NF), np.maximum(value_F, 0), vector_FF)

    def discriminant(self, shrinkage: float) -> Discriminant:
        """For one a; ValueError unless it is above 0 and at most 1."""
        if not 0 < shrinkage <= 1:
            raise ValueError(f"shrinkage is a share above 0, got {shrinkage}")
        value_F = (1 - shrinkage) * self.value_F + shrinkage * max(float(self.value_F.mean()), 1e-12)
        weight_FT = self.vector_FF @ ((self.mean_TF @ self.vector_FF) / value_F).T
        bias_T = np.log(self.share_T) - (self.mean_TF * weight_FT.T).sum(axis=1) / 2
        return Discriminant(weight_FT, bias_T, shrinkage)


def choose_discriminant(
    x_NF: np.ndarray, label_N: np.ndarray, classes: int, validation_x_NF: np.ndarray, validation_label_N: np.ndarray
) -> Discriminant:
    """The shrinkage with the most validation rows right."""
    spread = Spread.of(x_NF, label_N, classes)
    fitted = [spread.discriminant(shrinkage) for shrinkage in SHRINKAGES]
    return max(fitted, key=lambda one: (one.predict(validation_x_NF).argmax(axis=1) == validation_label_N).sum())
