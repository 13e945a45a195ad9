"""Angles, and torsions of backbones and side chains, with masks of those that are there.

Shape key:  B proteins   L residues, padded   A 14 atoms (`struct.residues.atom14`)   3 x, y, z in Å, or phi, psi, omega
            5 chi_1 to chi_5
"""

import torch
from torch import Tensor

from protray.struct.residues.atom14 import CA, CHI_SLOTS, MAX_CHI, TURNED_SLOTS, C, N
from protray.struct.residues.frames import bonded_to_next

STRAIGHTEST = 1e-2  # sine of the angle of three atoms in a row from which on a torsion is known
CHI_SLOTS_OF_TYPE, TURNED_SLOTS_OF_TYPE = torch.from_numpy(CHI_SLOTS), torch.from_numpy(TURNED_SLOTS)


def angle(a_3: Tensor, b_3: Tensor, c_3: Tensor) -> Tensor:
    """The angle at `b` in radians, in [0, pi], of any leading shape; atan2 keeps the digits that acos loses near 0."""
    u_3, v_3 = a_3 - b_3, c_3 - b_3
    return torch.atan2(torch.linalg.cross(u_3, v_3).norm(dim=-1), (u_3 * v_3).sum(dim=-1))


def dihedral(a_3: Tensor, b_3: Tensor, c_3: Tensor, d_3: Tensor) -> Tensor:
    """Torsion about b-c in radians, of any leading shape, with IUPAC's sign: clockwise, seen along b-c, is positive.

    >>> atoms = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]])
    >>> round(dihedral(*atoms).item(), 6)
    1.570796
    """
    first_3, axis_3, last_3 = b_3 - a_3, c_3 - b_3, d_3 - c_3
    return _angle(torch.linalg.cross(first_3, axis_3), torch.linalg.cross(axis_3, last_3), axis_3, last_3)


def _angle(one_3: Tensor, two_3: Tensor, axis_3: Tensor, last_3: Tensor) -> Tensor:
    """From the normals of both planes, the axis and the last bond."""
    return torch.atan2((one_3 * last_3).sum(-1) * axis_3.norm(dim=-1), (one_3 * two_3).sum(-1))


def backbone_torsions(
    atoms_BLA3: Tensor, present_BLA: Tensor, index_BL: Tensor, chain_BL: Tensor, real_BL: Tensor
) -> tuple[Tensor, Tensor]:
    """phi, psi and omega of each residue in radians, 0 where unknown, and which are known; both of shape (B, L, 3).

    phi_i = C(i-1) N CA C, psi_i = N CA C N(i+1), omega_i = CA C N(i+1) CA(i+1).  Unknown at the ends of a chain, where
    the next residue is not one place away, where an atom is missing or three in a row lie on a line.
    """
    atoms_BLA3 = torch.where(present_BLA[..., None], atoms_BLA3, 0)
    n_BL3, ca_BL3, c_BL3 = (atoms_BLA3[:, :, atom] for atom in (N, CA, C))
    after_BL = bonded_to_next(index_BL, chain_BL, real_BL)
    here_BL = present_BLA[:, :, [N, CA, C]].all(dim=2) & real_BL
    next_n_BL3, next_ca_BL3 = n_BL3.roll(-1, dims=1), ca_BL3.roll(-1, dims=1)
    next_n_BL = present_BLA[:, :, N].roll(-1, dims=1) & after_BL
    known_BL3 = torch.stack(
        [
            here_BL & (after_BL & present_BLA[:, :, C]).roll(1, dims=1),
            here_BL & next_n_BL,
            present_BLA[:, :, CA] & present_BLA[:, :, C] & next_n_BL & present_BLA[:, :, CA].roll(-1, dims=1),
        ],
        dim=2,
    )
    path_4BL33 = [
        torch.stack(atoms, dim=2)
        for atoms in zip(
            (c_BL3.roll(1, dims=1), n_BL3, ca_BL3, c_BL3),
            (n_BL3, ca_BL3, c_BL3, next_n_BL3),
            (ca_BL3, c_BL3, next_n_BL3, next_ca_BL3),
            strict=True,
        )
    ]
    return _known(path_4BL33, known_BL3)


def side_chain_torsions(type_BL: Tensor, atoms_BLA3: Tensor, present_BLA: Tensor) -> tuple[Tensor, Tensor]:
    """chi_1 to chi_5 of each residue in radians, 0 where unknown, and which are known; both of shape (B, L, 5).

    Types beyond the 20 amino acids have none.
    """
    table = CHI_SLOTS_OF_TYPE.to(type_BL.device)
    slot_BL54 = table[type_BL.clamp(max=len(table) - 1)]
    slot_BLP = slot_BL54.clamp(min=0).flatten(2)
    there_BL54 = present_BLA.gather(2, slot_BLP).unflatten(2, (MAX_CHI, 4)) & (slot_BL54 >= 0)
    path_BLP3 = atoms_BLA3.gather(2, slot_BLP[..., None].expand(*slot_BLP.shape, 3))
    path_BL543 = path_BLP3.unflatten(2, (MAX_CHI, 4))
    path_BL543 = torch.where(there_BL54[..., None], path_BL543, 0)
    return _known(list(path_BL543.unbind(dim=3)), there_BL54.all(dim=3))


def turn_side_chains(type_BL: Tensor, atoms_BLA3: Tensor, present_BLA: Tensor, turn_BL5: Tensor) -> Tensor:
    """Atoms after each torsion chi_1 to chi_5 has grown by so many radians; bonds and angles stay as they are.

    About a unit axis u through p, by an angle t (Rodrigues' formula; v = r - p, w = (v . u) u):
    r' = p + w + (v - w) cos t + (u x v) sin t.

    A torsion whose axis is not there stays, as do those of Pro, which is a ring.
    """
    row_BL = type_BL.clamp(max=len(CHI_SLOTS) - 1)
    slot_BL54 = CHI_SLOTS_OF_TYPE.to(type_BL.device)[row_BL].clamp(min=0)
    moved_BL5A = TURNED_SLOTS_OF_TYPE.to(type_BL.device)[row_BL] & present_BLA[:, :, None]
    for chi in range(MAX_CHI):
        from_BL, to_BL = slot_BL54[:, :, chi, 1], slot_BL54[:, :, chi, 2]
        start_BL13, end_BL13 = (_atom(atoms_BLA3, slot_BL) for slot_BL in (from_BL, to_BL))
        there_BL = _atom(present_BLA[..., None], from_BL)[..., 0, 0] & _atom(present_BLA[..., None], to_BL)[..., 0, 0]
        axis_BL13 = torch.nn.functional.normalize(end_BL13 - start_BL13, dim=-1)
        arm_BLA3, turn_BL11 = atoms_BLA3 - end_BL13, turn_BL5[:, :, chi, None, None]
        along_BLA3 = (arm_BLA3 * axis_BL13).sum(dim=-1, keepdim=True) * axis_BL13
        across_BLA3 = torch.linalg.cross(axis_BL13.expand_as(arm_BLA3), arm_BLA3)
        turned_BLA3 = along_BLA3 + (arm_BLA3 - along_BLA3) * turn_BL11.cos() + across_BLA3 * turn_BL11.sin()
        moves_BLA1 = (moved_BL5A[:, :, chi] & there_BL[..., None])[..., None]
        atoms_BLA3 = torch.where(moves_BLA1, end_BL13 + turned_BLA3, atoms_BLA3)
    return atoms_BLA3


def _atom(of_BLAX: Tensor, slot_BL: Tensor) -> Tensor:
    """What is known of one atom of each residue, shape (B, L, 1, X)."""
    return of_BLAX.gather(2, slot_BL[:, :, None, None].expand(*slot_BL.shape, 1, of_BLAX.shape[3]))


def _known(path_4: list[Tensor], known: Tensor) -> tuple[Tensor, Tensor]:
    """Torsions along paths of four atoms where these are known and not on a line."""
    a_3, b_3, c_3, d_3 = path_4
    bonds_3 = b_3 - a_3, c_3 - b_3, d_3 - c_3
    first, axis, last = (bond_3.norm(dim=-1) for bond_3 in bonds_3)
    one_3, two_3 = torch.linalg.cross(*bonds_3[:2]), torch.linalg.cross(*bonds_3[1:])
    for normal_3, sides in ((one_3, first * axis), (two_3, axis * last)):
        known = known & (normal_3.norm(dim=-1) > STRAIGHTEST * sides)
    return torch.where(known, _angle(one_3, two_3, *bonds_3[1:]), 0), known
