"""What is asked of an encoder's vectors in pre-training; thrown away afterwards.

Shape key:  B proteins   L residues, padded   K neighbours   C channels   N targets   3 x, y, z
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from protray.seq.alphabet import N_AA

READS = {"residue": 1, "distance": 2, "angle": 3, "dihedral": 4, "contrast": 1, "siamdiff_sequence": 1}  # vectors
WIDEST_PAIR = 256  # channels


def two_layers(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))


class PairNoiseHead(nn.Module):
    r"""How far each pair is to move apart, :math:`a_{ij} = MLP([z_i \cdot z_j \| MLP(\tilde d_{ij})])` (SiamDiff).

    Of more than `WIDEST_PAIR` channels (cross fusion has 1,024) z is a linear map to so many: there are 20 times as
    many pairs as residues, and a step of 16 crops took 20 s.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(channels, WIDEST_PAIR) if channels > WIDEST_PAIR else nn.Identity()
        channels = min(channels, WIDEST_PAIR)
        self.of_distance = two_layers(1, channels, channels)
        self.of_pair = two_layers(2 * channels, channels, 1)

    def forward(self, z_BLC: Tensor, idx_BLK: Tensor, distance_BLK: Tensor) -> Tensor:
        """Of residues and their neighbours at noisy distances in Å; shape (B, L, K), in units of the noise."""
        z_BLC = self.narrow(z_BLC)
        batch, length, channels = z_BLC.shape
        flat_N = (idx_BLK + length * torch.arange(batch, device=idx_BLK.device)[:, None, None]).flatten()
        other_BLKC = z_BLC.reshape(-1, channels).index_select(0, flat_N).view(*idx_BLK.shape, channels)
        told_BLKC = self.of_distance(distance_BLK[..., None] / 10)
        return self.of_pair(torch.cat([z_BLC[:, :, None] * other_BLKC, told_BLKC], dim=-1)).squeeze(-1)


class FrameNoiseHead(nn.Module):
    """The noise of each residue's C-alpha atom, R_i MLP(z_i): it turns with the noisy frames R_i (columns are axes)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.in_frame = two_layers(channels, channels, 3)

    def forward(self, z_BLC: Tensor, rotation_BL33: Tensor) -> Tensor:
        """Shape (B, L, 3), in units of the noise; 0 for residues without a frame, whose R is 0."""
        return (rotation_BL33 * self.in_frame(z_BLC)[:, :, None]).sum(dim=-1)


class ObjectiveHeads(nn.Module):
    """Those of the terms of a loss that is in use: a head without gradient would stall a training on several workers.

    Call it with the name of a term, then what its head reads: vectors of residues one behind the other (a path), the
    vector of a protein for ``contrast``, and for the noise heads what they say themselves.
    """

    def __init__(self, channels: int, terms: Collection[str], angle_bins: int = 8, dihedral_bins: int = 16) -> None:
        super().__init__()
        outputs = {
            "residue": N_AA, "distance": 1, "angle": angle_bins, "dihedral": dihedral_bins,
            "contrast": channels, "siamdiff_sequence": N_AA,
        }  # fmt: skip
        self.of = nn.ModuleDict()
        for term in terms:
            if term == "siamdiff_structure":
                self.of[term] = PairNoiseHead(channels)
            elif term == "denoise":
                self.of[term] = FrameNoiseHead(channels)
            else:
                self.of[term] = two_layers(READS[term] * channels, channels, outputs[term])

    def forward(self, term: str, *inputs: Tensor) -> Tensor:
        """What the head of a term says; shape (N, outputs), or as the noise heads say."""
        if term in READS:
            return self.of[term](torch.cat(inputs, dim=-1))
        return self.of[term](*inputs)
