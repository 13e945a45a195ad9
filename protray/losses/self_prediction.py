"""Self-prediction: tell what was hidden of a structure, the type of a residue, a distance, an angle or a dihedral.

The four losses of GearNet (Zhang et al., ICLR 2023), on targets that follow from coordinates alone.  Losses are sums,
with the number of their summands: divided by the number in the whole step, any split among workers gives the same.

Shape key:  N targets   A classes, or bins   3 x, y, z in Å   ... any leading axes
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

Sum = tuple[Tensor, int]  # of a loss, and over how many summands

MIDDLE, SPREAD = 8.0, 4.0  # Å: about the mean and the deviation of distances within 20 nearest neighbours


def angle_of(a_X3: Tensor, b_X3: Tensor, c_X3: Tensor) -> Tensor:
    """The angle at `b`, in [0, pi]; by atan2, which keeps its digits near 0 and pi where acos loses them."""
    u_X3, v_X3 = a_X3 - b_X3, c_X3 - b_X3
    return torch.atan2(torch.linalg.cross(u_X3, v_X3).norm(dim=-1), (u_X3 * v_X3).sum(dim=-1))


def dihedral_of(a_X3: Tensor, b_X3: Tensor, c_X3: Tensor, d_X3: Tensor) -> Tensor:
    r"""The turn about b-c that brings `a` over `d`, in [-pi, pi]; IUPAC: positive where it is clockwise.

    .. math:: \mathrm{atan2}(|b_2| \, b_1 \cdot (b_2 \times b_3), (b_1 \times b_2) \cdot (b_2 \times b_3))

    with b_1, b_2, b_3 from each atom to the next; 0 where three of them are on one line.
    """
    first_X3, axis_X3, last_X3 = b_X3 - a_X3, c_X3 - b_X3, d_X3 - c_X3
    normal_X3 = torch.linalg.cross(axis_X3, last_X3)
    sine_X = axis_X3.norm(dim=-1) * (first_X3 * normal_X3).sum(dim=-1)
    return torch.atan2(sine_X, (torch.linalg.cross(first_X3, axis_X3) * normal_X3).sum(dim=-1))


def bin_of(angle_X: Tensor, bins: int, signed: bool) -> Tensor:
    """Which of `bins` equal parts an angle is in: of [-pi, pi), where pi is -pi, or of [0, pi] for its size.

    >>> bin_of(torch.tensor([0.0, 3.1, -3.1]), 4, signed=True).tolist()
    [2, 3, 0]
    >>> bin_of(torch.tensor([0.0, 3.1, -3.1]), 4, signed=False).tolist()
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
