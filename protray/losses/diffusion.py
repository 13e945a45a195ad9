r"""Denoising of coordinates (SiamDiff, Zhang et al., NeurIPS 2023): levels of noise, targets and losses of two heads.

Noise is :math:`\tilde x = x + s_t \epsilon`, with :math:`\epsilon` standard normal, for every atom by itself.

Shape key:  B proteins   L residues, padded   K neighbours   T levels   3 x, y, z in Å
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Levels = Literal["geometric", "siamdiff", "siamdiff-2"]


def variance_steps(levels: int, first: float, last: float) -> np.ndarray:
    r"""beta_t of SiamDiff, shape (T,): from `first` to `last` along a sigmoid between -6 and 6."""
    return (last - first) / (1 + np.exp(-np.linspace(-6, 6, levels))) + first


def noise_levels(name: Levels) -> np.ndarray:
    r"""s_0 < ... < s_(T-1), shape (T,), in Å.

    .. math:: s_t = \sqrt{(1 - \bar\alpha_t) / \bar\alpha_t}, \quad \bar\alpha_t = \prod_{u \le t} (1 - \beta_u)

    Half of SiamDiff's 100 are above 0.98 Å, where a backbone frame means nothing; the geometric ones end at 3 Å.

    >>> noise_levels("siamdiff-2").round(3).tolist()
    [0.01, 0.014, 0.017, 0.02, 0.022]
    """
    if name == "geometric":
        return np.geomspace(0.05, 3.0, 16)
    beta_T = variance_steps(100, 1e-3, 0.1) if name == "siamdiff" else variance_steps(5, 1e-4, 1e-4)
    kept_T = np.cumprod(1 - beta_T)
    return np.sqrt((1 - kept_T) / kept_T)


def masked_share(level: int, levels: int) -> float:
    """Share of residues whose type SiamDiff hides at a level, counted from 0: 0.15 + 0.85 (t + 1) / T."""
    return 0.15 + 0.85 * (level + 1) / levels


def pairs_of(xyz_BL3: Tensor, idx_BLK: Tensor) -> tuple[Tensor, Tensor]:
    """Distances d_ij in Å, and unit vectors u_ij *from j to i*, to neighbours; shapes (B, L, K) and (B, L, K, 3)."""
    batch, length, _ = idx_BLK.shape
    flat_N = (idx_BLK + length * torch.arange(batch, device=idx_BLK.device)[:, None, None]).flatten()
    other_BLK3 = xyz_BL3.reshape(-1, 3).index_select(0, flat_N).view(*idx_BLK.shape, 3)
    between_BLK3 = xyz_BL3[:, :, None] - other_BLK3
    distance_BLK = between_BLK3.norm(dim=-1)
    return distance_BLK, between_BLK3 / distance_BLK.clamp(min=1e-3)[..., None]


def as_vectors(amount_BLK: Tensor, unit_BLK3: Tensor, kept_BLK: Tensor) -> Tensor:
    """v_i = mean_j u_ij a_ij over the neighbours that are kept, shape (B, L, 3); 0 for a residue without any."""
    weight_BLK = kept_BLK.to(unit_BLK3.dtype) / kept_BLK.sum(dim=-1, keepdim=True).clamp(min=1)
    return ((amount_BLK * weight_BLK)[..., None] * unit_BLK3).sum(dim=2)


def pair_target(clean_BLK: Tensor, noisy_BLK: Tensor, sigma_B: Tensor) -> Tensor:
    """b_ij = (d_ij - d~_ij) / s_t of distances in Å: how far each pair is to go back, in units of the noise."""
    return (clean_BLK - noisy_BLK) / sigma_B[:, None, None]


def vector_loss(found_BL3: Tensor, true_BL3: Tensor, asked_BL: Tensor) -> Tensor:
    """1/2 |v_i - v*_i|^2, averaged over the residues asked for, of each protein, shape (B,); 0 where none is."""
    of_BL = (found_BL3 - true_BL3).square().sum(dim=-1) / 2
    return (of_BL * asked_BL).sum(dim=1) / asked_BL.sum(dim=1).clamp(min=1)


def pair_zero_loss(unit_BLK3: Tensor, kept_BLK: Tensor, asked_BL: Tensor) -> Tensor:
    r"""What amounts of zero cost on average where distances are linear in the noise, shape (B,).

    .. math:: \tfrac12 (\mathrm{tr} M_i^2 + 1 / K_i), \quad M_i = \tfrac1{K_i} \sum_j u_{ij} u_{ij}^T

    Exact to 2 % up to s = 1 Å; above, noise adds to short distances, and the loss grows (by a third at 3 Å).
    """
    count_BL = kept_BLK.sum(dim=-1)
    weight_BLK = kept_BLK.to(unit_BLK3.dtype) / count_BL.clamp(min=1)[..., None]
    m_BL33 = ((weight_BLK[..., None] * unit_BLK3)[..., None] * unit_BLK3[..., None, :]).sum(dim=2)
    of_BL = (m_BL33.square().sum(dim=(-1, -2)) + (count_BL > 0) / count_BL.clamp(min=1)) / 2
    return (of_BL * asked_BL).sum(dim=1) / asked_BL.sum(dim=1).clamp(min=1)


FRAME_ZERO_LOSS = 1.5  # of `vector_loss` with the noise as its target and an answer of zero: half of E|eps|^2 = 3
