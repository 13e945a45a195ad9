r"""What frozen vectors say without a network trained on them: the nearest training rows, and vectors made ready for it.

Vectors are standardised by the training rows.  With the cosines :math:`c_i` of the k nearest training rows, none below
0, and what is known of them, :math:`y_i`,

.. math:: f = \frac{\sum_i c_i y_i}{\sum_i c_i}

and the training mean where all of them are 0.  k is chosen on the validation split.

Shape key:  Q queries   M training rows   N rows   F numbers of a vector   K neighbours   T labels, or 1
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

HEAD, LINEAR, NEAREST, TUNED = "3-layer head", "linear", "nearest neighbours", "fine-tuned"
ENDS = (LINEAR, "logistic", NEAREST, TUNED)  # of the names of methods, after a comma
NO_READ_OUT = "–"
COUNTS = (1, 3, 10, 30)  # k
AT_ONCE = 500  # queries whose cosines are in memory


def read_out_of(method: str, heads: Collection[str]) -> str:
    """The read-out that a method's name says; `heads` are the names of those that are networks.

    >>> read_out_of("score net, linear", ["score net"]), read_out_of("score net", ["score net"])
    ('linear', '3-layer head')
    """
    if method in heads:
        return HEAD
    return next((end for end in ENDS if method.endswith(f", {end}")), NO_READ_OUT)


def input_of(method: str, read_out: str) -> str:
    """The name of a method without its read-out.

    >>> input_of("composition + log L, linear", "linear")
    'composition + log L'
    """
    return method.removesuffix(f", {read_out}")


def same_read_out(reference: str, read_out: str) -> str:
    """The method that reads the vectors `reference` in this way."""
    return reference if read_out == HEAD else f"{reference}, {read_out}"


def standardised(train_NF: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """All of them with mean 0 and deviation 1 in the training rows; float64, 0 where a number is not known.

    >>> standardised(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[4.0, np.nan]]))[1].tolist()
    [[2.0, 0.0]]
    """
    mean_F, scale_F = standard_of(train_NF)
    return [np.where(np.isfinite(part), (part - mean_F) / scale_F, 0) for part in (train_NF, *others)]


def standard_of(train_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each number over the rows that have it, float64; infinite where it is always the same."""
    train_NF = train_NF.astype(np.float64)
    known_NF = np.isfinite(train_NF)
    count_F = np.maximum(known_NF.sum(axis=0), 1)
    mean_F = np.where(known_NF, train_NF, 0).sum(axis=0) / count_F
    scale_F = np.sqrt(np.square(np.where(known_NF, train_NF - mean_F, 0)).sum(axis=0) / count_F)
    scale_F[scale_F <= 1e-6 * np.abs(mean_F)] = np.inf  # up to rounding: it says nothing
    return mean_F, scale_F


@dataclass(frozen=True)
class Near:
    """The nearest training rows of each query, the nearest first."""

    place_QK: np.ndarray
    cosine_QK: np.ndarray

    def mean(self, count: int, y_MT: np.ndarray) -> np.ndarray:
        """What is known of the nearest `count`, by their cosines; shape (Q, T)."""
        found_QT = np.zeros((len(self.place_QK), y_MT.shape[1]))
        weight_QK = np.maximum(self.cosine_QK[:, :count], 0)
        for k in range(weight_QK.shape[1]):
            found_QT += weight_QK[:, k, None] * y_MT[self.place_QK[:, k]]
        total_Q1 = weight_QK.sum(axis=1, keepdims=True)
        return np.where(total_Q1 > 0, found_QT / np.where(total_Q1 > 0, total_Q1, 1), y_MT.mean(axis=0))


def nearest(x_QF: np.ndarray, x_MF: np.ndarray) -> Near:
    """The nearest training rows by the cosine, as many as `COUNTS` asks for; of equal ones the first."""
    unit_MF, parts = unit(x_MF), []
    for start in range(0, len(x_QF), AT_ONCE):
        cosine_QM = unit(x_QF[start : start + AT_ONCE]) @ unit_MF.T
        place_QK = np.argsort(-cosine_QM, axis=1, kind="stable")[:, : max(COUNTS)]
        parts.append((place_QK, np.take_along_axis(cosine_QM, place_QK, axis=1)))
    return Near(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def choose_count(near: Near, y_MT: np.ndarray, quality: Callable[[np.ndarray], float]) -> int:
    """The k whose predictions for the validation rows, whose neighbours are given, are of the highest quality."""
    return max(COUNTS, key=lambda count: quality(near.mean(count, y_MT)))


def unit(x_NF: np.ndarray) -> np.ndarray:
    """Vectors of length 1; those of length 0 stay."""
    length_N1 = np.linalg.norm(x_NF, axis=1, keepdims=True)
    return x_NF / np.where(length_N1 > 0, length_N1, 1)
