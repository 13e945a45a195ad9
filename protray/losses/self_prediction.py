"""Self-prediction: tell what was hidden of a structure, the type of a residue, a distance, an angle or a dihedral.

The four losses of GearNet (Zhang et al., ICLR 2023), on targets that follow from coordinates alone.  Losses are sums,
with the number of their summands: divided by the number in the whole step, any split among workers gives the same.

Shape key:  N targets   A classes, or bins   X any axes
"""

import math

from torch import Tensor
from torch.nn import functional as F

Sum = tuple[Tensor, int]  # of a loss, and over how many summands

MIDDLE, SPREAD = 8.0, 4.0  # Å: about the mean and the deviation of distances within 20 nearest neighbours


def bin_of(angle_X: Tensor, bins: int, signed: bool) -> Tensor:
    """Which of `bins` equal parts an angle is in: of [-pi, pi), where pi is -pi, or of [0, pi] for its size.

    >>> angle_X = Tensor([0.0, 3.1, -3.1])
    >>> bin_of(angle_X, 4, signed=True).tolist()
    [2, 3, 0]
    >>> bin_of(angle_X, 4, signed=False).tolist()
    [0, 3, 3]
    """
    if signed:
        return ((angle_X + math.pi) / (2 * math.pi) * bins).floor().long() % bins
    return (angle_X.abs() / math.pi * bins).floor().long().clamp(max=bins - 1)


def class_loss(logit_NA: Tensor, true_N: Tensor) -> Sum:
    r"""Cross-entropy of classes or bins, :math:`-\sum_n \ln p_{n, true}`, in nats."""
    return F.cross_entropy(logit_NA, true_N, reduction="sum"), len(true_N)


def distance_loss(found_N: Tensor, distance_N: Tensor) -> Sum:
    r"""Squared error of standardised distances, :math:`\sum_n (f_n - (d_n - 8) / 4)^2`, d in Å.

    In its unit, to know nothing costs about as much as with the other losses: 0.7, where 1 Å^2 of error is 1/16.
    """
    return (found_N - (distance_N - MIDDLE) / SPREAD).square().sum(), len(distance_N)
