"""Random chains of full atoms, real ones of the sample, and a small encoder, for tests of SSDM."""

import functools

import numpy as np
import torch
from torch import Tensor, nn

from protray.data.structure.atoms import AtomChain, AtomStructures, read_atoms
from protray.models.structure.neighbours import Neighbours
from protray.models.structure.structure_batch import TYPES, StructureBatch
from protray.struct.residues.atom14 import CA, HAS, SLOTS


def atom_chain(
    length: int, seed: int = 0, unknown: int = 0, plddt: np.ndarray | None = None, id: str = "one"
) -> AtomChain:
    """A walk in steps of 3.8 Å with atoms about it; the first `unknown` residues are X."""
    rng = np.random.default_rng(seed)
    codes_L = rng.integers(20, size=length).astype(np.uint8)
    codes_L[:unknown] = 20
    step_L3 = rng.standard_normal((length, 3))
    ca_L3 = np.cumsum(3.8 * step_L3 / np.linalg.norm(step_L3, axis=1, keepdims=True), axis=0)
    atoms_LA3 = ca_L3[:, None] + 1.4 * rng.standard_normal((length, SLOTS, 3))
    atoms_LA3[:, CA] = ca_L3
    present_LA = HAS[codes_L]
    return AtomChain(
        id=id,
        codes_L=codes_L,
        index_L=np.arange(length, dtype=np.int32),
        chain_L=np.zeros(length, np.int8),
        atoms_LA3=np.where(present_LA[:, :, None], atoms_LA3, 0).astype(np.float32),
        present_LA=present_LA,
        plddt_L=plddt,
    )


class SmallEncoder(nn.Module):
    """Types, numbers of atoms, and distances to neighbours, mixed by one layer: blind to all that it is not given."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.of_type = nn.Embedding(TYPES, channels)
        self.mix = nn.Sequential(nn.Linear(2 * channels + 9, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, batch: StructureBatch, neighbours: Neighbours | None) -> Tensor:
        assert neighbours is not None
        rows_B11 = torch.arange(len(batch.type_BL))[:, None, None]
        own_BLC = self.of_type(batch.type_BL)
        other_BLKC = own_BLC[rows_B11, neighbours.idx_BLK]
        between_BLK3 = batch.ca_BL3[:, :, None] - batch.ca_BL3[rows_B11, neighbours.idx_BLK]
        distance_BLK = between_BLK3.norm(dim=-1)
        near_BLKG = torch.exp(-((distance_BLK[..., None] - 3 * torch.arange(8)) / 3).square())
        seen_BLKX = torch.cat([other_BLKC, near_BLKG], dim=-1)
        weight_BLK1 = neighbours.ok_BLK[..., None] / neighbours.ok_BLK.sum(dim=-1).clamp(min=1)[:, :, None, None]
        atoms_BL1 = batch.present_BLA.sum(dim=2, keepdim=True) / SLOTS
        mixed_BLC = self.mix(torch.cat([own_BLC, (seen_BLKX * weight_BLK1).sum(dim=2), atoms_BL1], dim=-1))
        return mixed_BLC * batch.real_BL[..., None]


@functools.cache
def sample_chains(split: str, count: int, shortest: int = 0, longest: int = 10_000) -> AtomStructures:
    """The first chains of a split of the bundled sample, by id, with and without side chains."""
    whole = read_atoms(split=split)
    fits = np.flatnonzero((whole.lengths >= shortest) & (whole.lengths <= longest))
    return whole.select(fits[:count])
