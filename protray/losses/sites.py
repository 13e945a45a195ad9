r"""Loss of the network for interaction sites.

Shape key:  B proteins of a batch   L residues, padded
"""

from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logit_BL: Tensor, label_BL: Tensor) -> Tensor:
    r"""Binary cross-entropy in nats, summed over the residues whose label is known (not negative).

    .. math:: -\sum_i \left[y_i \ln p_i + (1 - y_i) \ln (1 - p_i)\right], \quad p_i = \sigma(x_i)
    """
    known_BL = label_BL >= 0
    return F.binary_cross_entropy_with_logits(logit_BL[known_BL], label_BL[known_BL].float(), reduction="sum")
