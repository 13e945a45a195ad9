r"""Contrast of two views of each protein (Hermosilla and Ropinski 2022; GearNet's Multiview Contrast).

.. math:: l_a = -s_{aa} + \ln \sum_b e^{s_{ab}}, \quad s_{ab} = \cos(y^1_a, y^2_b) / \tau

Shape key:  N proteins of a step, of all workers   C channels
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def cosines(y1_NC: Tensor, y2_NC: Tensor) -> Tensor:
    """Of every first view with every second, shape (N, N); not in bfloat16, whose rounding tau would blow up."""
    with torch.autocast(y1_NC.device.type, enabled=False):
        exact = torch.promote_types(y1_NC.dtype, torch.float32)
        return F.normalize(y1_NC.to(exact), dim=1) @ F.normalize(y2_NC.to(exact), dim=1).mT


def contrast_losses(y1_NC: Tensor, y2_NC: Tensor, cluster_N: Tensor, tau: float, symmetric: bool = True) -> Tensor:
    """InfoNCE of each protein, in nats, shape (N,): ln N where all vectors are equal.

    `symmetric` averages it with that of the second view among the first ones; without, it is the source's.  Other
    proteins of the same cluster are no negatives.
    """
    s_NN = _of_rivals(cosines(y1_NC, y2_NC) / tau, cluster_N)
    ahead_N = s_NN.logsumexp(dim=1) - s_NN.diagonal()
    if not symmetric:
        return ahead_N
    return (ahead_N + s_NN.logsumexp(dim=0) - s_NN.diagonal()) / 2


def _of_rivals(s_NN: Tensor, cluster_N: Tensor) -> Tensor:
    """The same with minus infinity for pairs of two proteins of one cluster."""
    alike_NN = (cluster_N[:, None] == cluster_N) & ~torch.eye(len(s_NN), dtype=torch.bool, device=s_NN.device)
    return s_NN.masked_fill(alike_NN, -torch.inf)


def found_partner(y1_NC: Tensor, y2_NC: Tensor, cluster_N: Tensor) -> Tensor:
    """Whether the second view of a protein is nearer to its first than those of other clusters, bool, shape (N,).

    To be read against an untrained network, not against 1 / N: the composition gives many crops away.
    """
    return _of_rivals(cosines(y1_NC, y2_NC), cluster_N).argmax(dim=1) == torch.arange(len(y1_NC), device=y1_NC.device)
