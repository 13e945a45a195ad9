r"""Denoising score matching on C-alpha distances (Guo et al., AAAI 2022), equations 1 to 5 in the paper's order.

Eq. 3 is the network: ``protray.models.score.score_net`` gives h_ij, its estimate of the derivative of log p by d_ij^2.

Shape key:  B structures of one length   L residues   3 x, y, z in Å
"""

import torch
from torch import Tensor


def perturb(ca_BL3: Tensor, noise_BL3: Tensor, sigma_B: Tensor) -> Tensor:
    """X~ = X + Z with Z ~ N(0, sigma^2), Eq. 1; `noise_BL3` is standard normal."""
    return ca_BL3 + sigma_B[:, None, None] * noise_BL3


def true_score(ca_BL3: Tensor, noisy_BL3: Tensor, sigma_B: Tensor) -> Tensor:
    """(X - X~) / sigma^2, Eq. 2, in 1/Å; the paper's text has lost the tilde."""
    return (ca_BL3 - noisy_BL3) / sigma_B[:, None, None].square()


def coordinate_score(h_BLL: Tensor, noisy_BL3: Tensor) -> Tensor:
    r"""g_i = sum_j 2 (h_ij + h_ji) (x_i - x_j), Eq. 4, in 1/Å.

    With S = H + H^T this is G = 2 (diag(S 1) X - S X), so no L x L x 3 differences are needed.  Whatever H is, the
    forces of a pair cancel: G has no net force and no net torque.
    """
    ca_BL3 = noisy_BL3 - noisy_BL3.mean(dim=1, keepdim=True)  # far from the origin S 1 * X and S X would lose digits
    s_BLL = h_BLL + h_BLL.mT
    return 2 * (s_BLL.sum(dim=2, keepdim=True) * ca_BL3 - torch.bmm(s_BLL, ca_BL3))


def denoising_loss(score_BL3: Tensor, true_BL3: Tensor, sigma_B: Tensor) -> Tensor:
    """sigma^2 / 2 |G - (X - X~) / sigma^2|_F^2 of each structure, the summand of Eq. 5; no unit, shape (B,).

    A score of zero costs 3 L / 2 on average, at every noise level.  Six of the 3 L dimensions are rigid motions, which
    no G of Eq. 4 reaches: at best 3 is left.  Give `true_BL3` ``without_rigid_motion`` to take that constant out; the
    gradient is the same, since G is orthogonal to it.
    """
    return 0.5 * sigma_B.square() * (score_BL3 - true_BL3).square().sum(dim=(1, 2))
