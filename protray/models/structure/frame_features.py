"""What the encoder is told of residues and of pairs of residues: numbers that no rotation or shift changes.

Every quantity that is absent is 0, and a number beside it says that it is absent.

Shape key:  B proteins   L residues, padded   K neighbours   A 14 atoms (`struct.residues.atom14`)   3 x, y, z in Å
            F numbers   N real residues of the batch   T torsions
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from protray.models.structure.frame_config import PairInput
from protray.models.structure.structure_batch import MASKED, StructureBatch
from protray.struct.residues.atom14 import CB, O
from protray.struct.residues.frames import BACKBONE, NONE, TRACE, Frames, euler_angles
from protray.struct.residues.torsions import backbone_torsions, side_chain_torsions

NODE_NUMBERS = 71  # 11 atoms of 3, 11 bits, 5 + 3 torsions of 3, 3 kinds of frames
PAIR_NUMBERS: dict[PairInput, int] = {"rotation": 37, "euler": 34, "distance": 21}
REACH = 5.0  # Å, unit of the positions of atoms: 95 % of them are within 5.6 Å of CA

N_GAUSSIANS, NEAREST, FARTHEST = 16, 2.0, 22.0  # Å, of distances; as wide as they are apart
NOTHING = 40.0  # exp(-40) is nothing beside 1; exp(-90) is a denormal number, which is slow
CLOSEST = 1e-3  # Å: residues that are closer have no direction
SEPARATIONS = 32  # places along the chain, in either direction, that are told apart
N_SEPARATIONS = 2 * SEPARATIONS + 2  # and "another chain"

# Where CB is, in the frame: means of 52,000 residues in 300 chains of the PDB; standard deviations are 0.05 to 0.06 Å
# with a frame of the backbone, 0.15 to 0.33 Å with one of C-alpha atoms
VIRTUAL_CB = {NONE: (0.0, 0.0, 0.0), BACKBONE: (-0.76, -0.53, -1.22), TRACE: (-0.84, -0.78, -0.91)}


def node_features(batch: StructureBatch, framed: Frames, handed: bool = True) -> Tensor:
    """The 71 numbers of each residue, shape (B, L, 71).

    Positions of O and the 10 side-chain slots in the residue's frame, in 5 Å (33); which atoms are there (11); sine,
    cosine and presence of chi_1 to chi_5 (15), of phi, psi and omega (9); the kind of frame (3).  A residue of type
    MASKED has no side chain, since the number of its atoms would tell the type.

    Without `handed`, lengths take the place of positions, and sines are 0: a structure and its mirror image agree.
    """
    present_BLA = batch.present_BLA & batch.real_BL[:, :, None]
    open_BL1 = (batch.type_BL != MASKED)[:, :, None]
    present_BLA = torch.cat([present_BLA[:, :, :CB], present_BLA[:, :, CB:] & open_BL1], dim=2)
    there_BLA = present_BLA[:, :, O:]
    away_BLA3 = torch.where(there_BLA[..., None], batch.atoms_BLA3[:, :, O:] - framed.origin_BL3[:, :, None], 0)
    chain = batch.index_BL, batch.chain_BL, batch.real_BL
    angle_BLT, known_BLT = (
        torch.cat(both, dim=2)
        for both in zip(
            side_chain_torsions(batch.type_BL, batch.atoms_BLA3, present_BLA),
            backbone_torsions(batch.atoms_BLA3, present_BLA, *chain),
            strict=True,
        )
    )
    if handed:
        place_BLA3 = away_BLA3 @ framed.rotation_BL33
        sine_BLT = angle_BLT.sin()
    else:
        place_BLA3 = F.pad(away_BLA3.norm(dim=3, keepdim=True), (0, 2))
        sine_BLT = torch.zeros_like(angle_BLT)
    dtype = away_BLA3.dtype
    turn_BLT3 = torch.stack([sine_BLT, angle_BLT.cos() * known_BLT, known_BLT.to(dtype)], dim=3)
    kind_BL3 = F.one_hot(framed.kind_BL, 3).to(dtype)
    return torch.cat([place_BLA3.flatten(2) / REACH, there_BLA.to(dtype), turn_BLT3.flatten(2), kind_BL3], dim=2)


@dataclass(frozen=True)
class FramedResidues:
    """The real residues of a batch in a row, as `pair_features` reads them."""

    rotation_N33: Tensor
    origin_N3: Tensor
    kind_N: Tensor
    index_N: Tensor
    chain_N: Tensor


def pair_features(
    residues: FramedResidues, idx_NK: Tensor, pair_input: PairInput = "rotation"
) -> tuple[Tensor, Tensor]:
    """The numbers of each residue i and its neighbour j, (N, K, F), and their bin of separation, int64, (N, K).

    16 Gaussians of the distance d of C-alpha atoms, ln(1 + d); whether i and j have frames (2), are bonded, are of one
    chain; and then, but for `distance`, the direction to j in the frame of i, to i in the frame of j (6), how far
    virtual CB atoms are beyond d, and the nine numbers of M = R_i^T R_j by columns, or for `euler` sine and cosine of
    each of its angles.
    """
    n, k = idx_NK.shape
    flat = idx_NK.flatten()
    origin_N3, index_N = residues.origin_N3, residues.index_N
    axes_N33 = residues.rotation_N33.mT  # rows are axes
    table_NV3 = torch.cat([axes_N33, origin_N3[:, None], _virtual_cb(residues)[:, None]], dim=1)
    seen_NKV3 = table_NV3.flatten(1).index_select(0, flat).view(n, k, 5, 3)
    axes_NK33, step_NK3 = seen_NKV3[:, :, :3], seen_NKV3[:, :, 3]
    step_NK3 -= origin_N3[:, None]  # in place: one product then turns axes and steps into the frames of i
    d_NK1 = step_NK3.norm(dim=2, keepdim=True)
    framed_N = (residues.kind_N != NONE).to(d_NK1.dtype)
    framed_NK1 = framed_N.index_select(0, flat).view(n, k, 1)
    along_NK = index_N.index_select(0, flat).view(n, k) - index_N[:, None]
    same_NK = residues.chain_N.index_select(0, flat).view(n, k) == residues.chain_N[:, None]
    separation_NK = torch.where(same_NK, along_NK.clamp(-SEPARATIONS, SEPARATIONS) + SEPARATIONS, N_SEPARATIONS - 1)
    centres_G = torch.linspace(NEAREST, FARTHEST, N_GAUSSIANS, dtype=d_NK1.dtype, device=flat.device)
    off_NKG = ((d_NK1 - centres_G) * ((N_GAUSSIANS - 1) / (FARTHEST - NEAREST))).square_()
    parts = [
        off_NKG.clamp_(max=NOTHING).neg_().exp_(), d_NK1.log1p(), framed_N[:, None, None].expand(n, k, 1), framed_NK1,
        (same_NK & (along_NK.abs() == 1)).to(d_NK1.dtype)[..., None], same_NK.to(d_NK1.dtype)[..., None],
    ]  # fmt: skip
    if pair_input != "distance":
        inverse_NK1 = d_NK1.clamp(min=CLOSEST).reciprocal()
        turned_NKV3 = (seen_NKV3.view(n, 5 * k, 3) @ residues.rotation_N33).view(n, k, 5, 3)
        there_NK3, turned_NK9 = turned_NKV3[:, :, 3] * inverse_NK1, turned_NKV3[:, :, :3].flatten(2)
        back_NK3 = axes_NK33[..., 0] * step_NK3[..., :1]
        for axis in (1, 2):
            back_NK3.addcmul_(axes_NK33[..., axis], step_NK3[..., axis : axis + 1])
        back_NK3 *= -inverse_NK1
        beyond_NK1 = (seen_NKV3[:, :, 4] - table_NV3[:, None, 4]).norm(dim=2, keepdim=True) - d_NK1
        both_NK1 = framed_N[:, None, None] * framed_NK1
        parts += [there_NK3, back_NK3, beyond_NK1 * both_NK1]
        parts += [turned_NK9] if pair_input == "rotation" else [_euler(turned_NK9) * both_NK1]
    return torch.cat(parts, dim=2), separation_NK


def _euler(turned_NK9: Tensor) -> Tensor:
    """Sines and cosines of the angles of M, given by columns; (N, K, 6)."""
    angles_NK3 = torch.stack(euler_angles(turned_NK9.unflatten(2, (3, 3)).mT), dim=2)
    return torch.cat([angles_NK3.sin(), angles_NK3.cos()], dim=2)


def _virtual_cb(residues: FramedResidues) -> Tensor:
    """Where CB is, or would be in glycine, from the frame; CA without one; (N, 3)."""
    place_N3 = residues.origin_N3.new_tensor([VIRTUAL_CB[kind] for kind in range(3)]).index_select(0, residues.kind_N)
    return residues.origin_N3 + (residues.rotation_N33 @ place_N3[:, :, None])[:, :, 0]
