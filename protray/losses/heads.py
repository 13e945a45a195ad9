"""Objectives of heads on embeddings, as sums, so that several workers can add theirs up.

Shape key:  B proteins   T labels, or 1
"""

from torch import Tensor
from torch.nn import functional as F


def label_loss(logit_BT: Tensor, true_BT: Tensor) -> Tensor:
    r"""Sum of the cross-entropies of all labels of all proteins, in nats.

    .. math:: L = -\sum_{b,t} y_{bt} \ln \sigma(z_{bt}) + (1 - y_{bt}) \ln (1 - \sigma(z_{bt}))
    """
    return F.binary_cross_entropy_with_logits(logit_BT, true_BT, reduction="sum")


def class_loss(logit_BT: Tensor, true_BT: Tensor) -> Tensor:
    r"""Sum of the cross-entropies of the one class that each protein has, in nats.

    .. math:: L = -\sum_{b,t} y_{bt} \ln \frac{e^{z_{bt}}}{\sum_u e^{z_{bu}}}
    """
    return F.cross_entropy(logit_BT, true_BT, reduction="sum")


def value_loss(found_BT: Tensor, true_BT: Tensor, scale_T: Tensor) -> Tensor:
    r"""Sum of squared errors in units of the training set's standard deviation, :math:`\sum (f - y)^2 / s^2`."""
    return ((found_BT - true_BT) / scale_T).square().sum()
