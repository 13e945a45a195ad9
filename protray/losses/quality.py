"""The objective of GraphQA: squared errors of scores that are known.

Shape key:  N residues, or models   S scores of each
"""

import torch
from torch import Tensor


def squared_error(predicted_NS: Tensor, true_NS: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the squared errors of each score, and how many of it are known (not NaN); shape (S,) both.

    Sums, so that several workers can add theirs up.  What is not known gives no gradient, not even NaN.

    >>> squared_error(torch.tensor([[0.5, 0.2], [0.1, 0.3]]), torch.tensor([[1.0, float("nan")], [0.1, float("nan")]]))
    (tensor([0.2500, 0.0000]), tensor([2, 0]))
    """
    known_NS = true_NS.isfinite()
    off_NS = predicted_NS - torch.where(known_NS, true_NS, predicted_NS)
    return off_NS.square().sum(dim=0), known_NS.sum(dim=0)


def mean_squared_error(sums_S: Tensor, counts_S: Tensor) -> Tensor:
    r"""Sum over scores of the mean squared error of each; scores of which nothing is known add nothing.

    .. math:: L = \sum_s \frac{1}{n_s} \sum_i (p_{is} - t_{is})^2
    """
    return (sums_S / counts_S.clamp(min=1)).sum()
