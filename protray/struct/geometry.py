"""Geometry of C-alpha coordinates in batches of equal length.

Shape key:  B structures   L residues   3 x, y, z in Å
"""

import torch
from torch import Tensor


def distances(ca_BL3: Tensor) -> Tensor:
    """d_ij = |x_i - x_j|, shape (B, L, L), in Å; by differences, since products lose the digits of short distances.

    >>> distances(torch.tensor([[[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]])).tolist()
    [[[0.0, 5.0], [5.0, 0.0]]]
    """
    return torch.cdist(ca_BL3, ca_BL3, compute_mode="donot_use_mm_for_euclid_dist")


def without_rigid_motion(vectors_BL3: Tensor, ca_BL3: Tensor) -> Tensor:
    r"""Take from a field of vectors at `ca_BL3` the part that moves the structure as a rigid body.

    .. math:: v_i - \bar v - \omega \times r_i, \quad \omega = I^{-1} \sum_i r_i \times v_i,
              \quad I = \sum_i (|r_i|^2 - r_i r_i^T), \quad r_i = x_i - \bar x

    An orthogonal projection: what is left has no net force and no net torque.  Residues on one line have a singular
    I, whose pseudo-inverse leaves the rotation about the line alone, as it should.
    """
    r_BL3 = ca_BL3 - ca_BL3.mean(dim=1, keepdim=True)
    v_BL3 = vectors_BL3 - vectors_BL3.mean(dim=1, keepdim=True)
    torque_B3 = torch.linalg.cross(r_BL3, v_BL3).sum(dim=1)
    eye_33 = torch.eye(3, dtype=r_BL3.dtype, device=r_BL3.device)
    inertia_B33 = r_BL3.square().sum(dim=(1, 2))[:, None, None] * eye_33 - r_BL3.mT @ r_BL3
    omega_B3 = (torch.linalg.pinv(inertia_B33, hermitian=True, rtol=1e-5) @ torque_B3[:, :, None])[:, :, 0]
    return v_BL3 - torch.linalg.cross(omega_B3[:, None].expand_as(r_BL3), r_BL3)
