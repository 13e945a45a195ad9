r"""The objective of PSSM-Distil (AAAI 2021), equations 1 to 9 in the paper's order.

Everything is per residue, shape (B, L); `mean` takes the average over real residues.  KL_marginal of the paper is the
divergence between the class distributions of one residue, summed over its classes.  Networks give log-probabilities.

Shape key:  B proteins   L residues   A amino-acid types (20)   S secondary-structure states
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from protray.losses.weights import DistilWeights

IGNORED = -100  # label of a residue without one


def mean(per_residue_BL: Tensor, mask_BL: Tensor, count: float | Tensor | None = None) -> Tensor:
    """Average over real residues; `count` replaces their number where other workers hold more of the batch."""
    total = per_residue_BL.masked_fill(~mask_BL, 0.0).sum()
    return total / (mask_BL.sum().clamp(min=1) if count is None else count)


def distillation(cross_entropy_BL: Tensor, kl_BL: Tensor, weights: DistilWeights) -> Tensor:
    """L_d = sigma L_ce + (1 - sigma) L_kl, Eq. 1."""
    return weights.kd_sigma * cross_entropy_BL + (1 - weights.kd_sigma) * kl_BL


def cross_entropy(log_BLS: Tensor, labels_BL: Tensor) -> Tensor:
    """L_ce in Eq. 1: -ln of the probability of the true state; 0 where there is no label."""
    return F.nll_loss(log_BLS.transpose(1, 2), labels_BL, ignore_index=IGNORED, reduction="none")


def kl_marginal(target_log_BLS: Tensor, log_BLS: Tensor, weights: DistilWeights) -> Tensor:
    r"""KL_marginal of Eq. 2 and 7: :math:`\sum_s p_s \ln(p_s / q_s)` of each residue, in nats.

    p is the target (the teacher), q what is trained, as in Hinton et al. 2015; `student_first` swaps them.
    """
    p_log, q_log = (log_BLS, target_log_BLS) if weights.student_first else (target_log_BLS, log_BLS)
    return (p_log.exp() * (p_log - q_log)).sum(dim=-1)


def negative(low_logits_BLS: Tensor, bert_logits_BLS: Tensor) -> Tensor:
    """F_N = (F_t(S, X_l) + F_t(S, X_b)) / 2, Eq. 6: the mean of the logits, as log-probabilities."""
    return F.log_softmax((low_logits_BLS + bert_logits_BLS) / 2, dim=-1)


def triplet(enhanced_log_BLS: Tensor, high_log_BLS: Tensor, negative_log_BLS: Tensor, weights: DistilWeights) -> Tensor:
    """L_t = max(0, KL(F_X, F_P) - KL(F_X, F_N) + eta), Eq. 7, hinged at each residue."""
    to_positive_BL = kl_marginal(high_log_BLS, enhanced_log_BLS, weights)
    to_negative_BL = kl_marginal(negative_log_BLS, enhanced_log_BLS, weights)
    return (to_positive_BL - to_negative_BL + weights.eta).clamp(min=0)


def reconstruction(enhanced_BLA: Tensor, high_BLA: Tensor, weights: DistilWeights) -> Tensor:
    """L_m, Eq. 8: mean over the 20 entries of (X_e - X_h)^2, or the norm of the difference with `l2`."""
    difference_BLA = enhanced_BLA - high_BLA
    if weights.l2:
        return torch.linalg.vector_norm(difference_BLA, dim=-1)
    return difference_BLA.square().mean(dim=-1)


def total(distillation_: Tensor, reconstruction_: Tensor, triplet_: Tensor, weights: DistilWeights) -> Tensor:
    """L = alpha L_d + beta L_m + gamma L_t, Eq. 9."""
    return weights.alpha * distillation_ + weights.beta * reconstruction_ + weights.gamma * triplet_
