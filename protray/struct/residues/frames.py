"""A frame in each residue, and what it takes to turn one into another.

Shape key:  B proteins   L residues, padded   A 14 atoms (`protray.struct.residues.atom14`)   3 x, y, z in Å
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from protray.struct.residues.atom14 import CA, C, N

NONE, BACKBONE, TRACE = range(3)  # what a frame was made of: nothing, N and C, or the C-alpha atoms before and behind
FLATTEST = 0.1  # sine of the angle N-CA-C from which on the three atoms give a frame; 0.93 in proteins
DEGENERATE = 1e-3  # sin t2 below which t1 and t3 are not told apart
SMALLEST = 1e-24  # Å^2; a square below it counts as it, so that roots have gradients


@dataclass(frozen=True)
class Frames:
    """Axes and origins; a residue of kind NONE has axes of 0, so that every product with them is 0."""

    rotation_BL33: Tensor  # columns are the axes x, y, z
    origin_BL3: Tensor  # C-alpha atoms
    kind_BL: Tensor  # int64: NONE, BACKBONE or TRACE


def frames(atoms_BLA3: Tensor, present_BLA: Tensor, index_BL: Tensor, chain_BL: Tensor, real_BL: Tensor) -> Frames:
    r"""Frames of residues, as in the deck of SSDM (Backbone Representation).

    .. math:: y = \frac{N - CA}{|N - CA|}, \quad t = C - CA, \quad z = \frac{t \times y}{|t \times y|},
              \quad x = y \times z, \quad R = [x\ y\ z]

    Where N or C is missing, or the three lie on a line, the C-alpha atoms of the residues before and behind take their
    places, if both are one place away in the chain.

    Parameters
    ----------
    atoms_BLA3 : Tensor
        Å; what stands in place of absent atoms means nothing.
    present_BLA, real_BL : Tensor
        Bool: atoms that are there, residues that are not padding.
    index_BL, chain_BL : Tensor
        Place in the chain, and number of the chain.
    """
    atoms_BLA3 = torch.where(present_BLA[..., None], atoms_BLA3, 0)
    ca_BL3 = atoms_BLA3[:, :, CA]
    whole_BL = present_BLA[:, :, [N, CA, C]].all(dim=2) & real_BL
    backbone_BL33, given_BL = _axes(atoms_BLA3[:, :, N] - ca_BL3, atoms_BLA3[:, :, C] - ca_BL3)
    after_BL = bonded_to_next(index_BL, chain_BL, real_BL)
    before_BL = after_BL.roll(1, dims=1)
    trace_BL33, traced_BL = _axes(ca_BL3.roll(1, dims=1) - ca_BL3, ca_BL3.roll(-1, dims=1) - ca_BL3)
    given_BL, traced_BL = given_BL & whole_BL, traced_BL & before_BL & after_BL
    rotation_BL33 = torch.where(traced_BL[..., None, None], trace_BL33, 0)
    rotation_BL33 = torch.where(given_BL[..., None, None], backbone_BL33, rotation_BL33)
    kind_BL = torch.where(given_BL, BACKBONE, torch.where(traced_BL, TRACE, NONE))
    return Frames(rotation_BL33, ca_BL3, kind_BL)


def bonded_to_next(index_BL: Tensor, chain_BL: Tensor, real_BL: Tensor) -> Tensor:
    """Whether the next residue is one place away in the same chain; bool, never of the last column."""
    found_BL = torch.zeros_like(real_BL)
    found_BL[:, :-1] = (
        (index_BL[:, 1:] - index_BL[:, :-1] == 1)
        & (chain_BL[:, 1:] == chain_BL[:, :-1])
        & real_BL[:, 1:]
        & real_BL[:, :-1]
    )
    return found_BL


def euler_angles(m_33: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Angles of M = Rz(t1) Rx(t2) Rz(t3), of any leading shape, in radians.

    .. math:: t_2 = atan2(\sqrt{M_{13}^2 + M_{23}^2}, M_{33}), \quad t_1 = atan2(M_{13}, -M_{23}),
              \quad t_3 = atan2(M_{31}, M_{32})

    Below sin t2 = 1e-3, where the axes z of both frames lie along one line, only the sum of t1 and t3 exists (their
    difference, if the axes are opposite): t1 is all of it, and t3 is 0.  Neither values nor gradients are ever NaN; a
    matrix of zeros counts as no turn.
    """
    nothing = (m_33 == 0).all(dim=-1).all(dim=-1)
    m_33 = torch.where(nothing[..., None, None], torch.eye(3, dtype=m_33.dtype, device=m_33.device), m_33)
    m13, m23, m33 = m_33[..., 0, 2], m_33[..., 1, 2], m_33[..., 2, 2]
    square = m13.square() + m23.square()
    t2 = torch.atan2(square.clamp(min=SMALLEST).sqrt(), m33)
    along = square < DEGENERATE**2
    # both branches are computed, and the gradient of either must be finite where the other is taken
    t1 = torch.atan2(torch.where(along, m_33[..., 1, 0], m13), torch.where(along, m_33[..., 0, 0], -m23))
    t3 = torch.atan2(torch.where(along, 0, m_33[..., 2, 0]), torch.where(along, 1, m_33[..., 2, 1]))
    return t1, t2, t3


def _axes(n_BL3: Tensor, c_BL3: Tensor) -> tuple[Tensor, Tensor]:
    """Axes from the vectors N - CA and C - CA, and whether they are there."""
    y_BL3 = _unit(n_BL3)
    normal_BL3 = torch.linalg.cross(c_BL3, y_BL3)
    z_BL3 = _unit(normal_BL3)
    given_BL = normal_BL3.norm(dim=-1) > FLATTEST * c_BL3.norm(dim=-1)
    return torch.stack([torch.linalg.cross(y_BL3, z_BL3), y_BL3, z_BL3], dim=-1), given_BL


def _unit(v_BL3: Tensor) -> Tensor:
    square_BL1 = v_BL3.square().sum(dim=-1, keepdim=True)
    return v_BL3 * square_BL1.clamp(min=SMALLEST).rsqrt()
