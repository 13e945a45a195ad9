"""The linear read-out of frozen vectors as weights, with which a network may start.

Shape key:  N rows   F numbers of a vector   T labels, classes, or 1
"""

from dataclasses import dataclass

import numpy as np

from protray.evaluation.tasks.properties.discriminant import choose_discriminant
from protray.evaluation.tasks.properties.function import fmax
from protray.evaluation.tasks.properties.function_baselines import choose_logistic, cross_entropy
from protray.evaluation.tasks.properties.read_outs import standard_of, standardised
from protray.evaluation.tasks.properties.stability_baselines import choose_ridge
from protray.models.tasks.head_config import Kind


@dataclass(frozen=True)
class Linear:
    """(x - mean) / scale @ weight + bias, 0 in place of what is not known: logits, or a number."""

    mean_F: np.ndarray
    scale_F: np.ndarray  # infinite where a number says nothing
    weight_FT: np.ndarray
    bias_T: np.ndarray


def closed_form(
    kind: Kind, x_NF: np.ndarray, y_NT: np.ndarray, validation_x_NF: np.ndarray, validation_y_NT: np.ndarray
) -> Linear:
    """What the tables call linear: logistic regressions of labels, a discriminant of classes, ridge of a number.

    Its penalty, or shrinkage, is chosen on the validation rows.
    """
    mean_F, scale_F = standard_of(x_NF)
    train, validation = standardised(x_NF, validation_x_NF)
    if kind == "class":
        labels = y_NT.argmax(axis=1), validation_y_NT.argmax(axis=1)
        one = choose_discriminant(train, labels[0], y_NT.shape[1], validation, labels[1])
        return Linear(mean_F, scale_F, one.weight_FT, one.bias_T)
    if kind == "labels":
        other = choose_logistic(train, y_NT, validation, validation_y_NT)
        weight_FT, bias_T = other.weight_FT / other.scale_F[:, None], other.bias_T
    else:
        y_N, validation_y_N = (part[:, 0].astype(float) for part in (y_NT, validation_y_NT))
        other = choose_ridge(train, y_N, validation, validation_y_N)
        weight_FT, bias_T = (other.weight_F / other.scale_F)[:, None], np.array([other.bias])
    return Linear(mean_F, scale_F, weight_FT, bias_T - other.mean_F @ weight_FT)


def quality(kind: Kind, found_NT: np.ndarray, y_NT: np.ndarray) -> float:
    """Higher is better: Fmax of labels, accuracy of classes, minus the mean squared error of a number.

    Of a single label, of which Fmax says nothing, minus the cross-entropy in nats.

    >>> round(quality("labels", np.array([[0.5], [0.25]]), np.array([[1], [0]])), 4)  # (ln 1/2 + ln 3/4) / 2
    -0.4904
    """
    if kind == "labels":
        return fmax(found_NT, y_NT > 0.5) if y_NT.shape[1] > 1 else -cross_entropy(found_NT, y_NT)
    if kind == "class":
        return float((found_NT.argmax(axis=1) == y_NT.argmax(axis=1)).mean())
    return -float(np.square(found_NT - y_NT).mean(dtype=np.float64))
