"""Synthetic proteins for encoders: random walks of C-alpha atoms, with the other atoms in random places around them."""

from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from protray.models.structure.structure_batch import StructureBatch
from protray.struct.residues.atom14 import CA, HAS, SLOTS

STEP = 3.8  # Å, between C-alpha atoms that are neighbours along the chain
BOND = 1.5  # Å, about that from C-alpha to N, C and CB


def proteins(lengths: list[int], seed: int = 0) -> StructureBatch:
    """Proteins of one chain each, all atoms present, in float64 so that tests can be exact."""
    random = np.random.default_rng(seed)
    size = max(lengths)
    atoms_BLA3 = np.zeros((len(lengths), size, SLOTS, 3))
    type_BL = np.zeros((len(lengths), size), np.int64)
    real_BL = np.arange(size) < np.array(lengths)[:, None]
    for row, length in enumerate(lengths):
        type_BL[row, :length] = random.integers(20, size=length)
        ca_L3 = np.cumsum(STEP * _directions(random, length), axis=0)
        atoms_BLA3[row, :length] = ca_L3[:, None] + BOND * _directions(random, length, SLOTS)
        atoms_BLA3[row, :length, CA] = ca_L3
    present_BLA = HAS[type_BL] & real_BL[:, :, None]
    index_BL = np.where(real_BL, np.arange(size), 0)
    atoms_BLA3 *= present_BLA[..., None]
    arrays = type_BL, atoms_BLA3, present_BLA, index_BL, np.zeros_like(index_BL), real_BL
    return StructureBatch(*(torch.from_numpy(array) for array in arrays))


def padded(batch: StructureBatch, size: int) -> StructureBatch:
    """The same with more padding, of nonsense where padding means nothing."""
    more = size - batch.real_BL.shape[1]
    found = {}
    for field in fields(batch):
        x_BL = getattr(batch, field.name)
        if x_BL is not None:
            fill = x_BL.new_full((x_BL.shape[0], more, *x_BL.shape[2:]), 0 if x_BL.dtype == torch.bool else 3)
            found[field.name] = torch.cat([x_BL, fill], dim=1)
    return replace(batch, **found)


def rows_of(batch: StructureBatch, numbers: list[int]) -> StructureBatch:
    """Some of the proteins."""
    found = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{name: x_BL[numbers] for name, x_BL in found.items() if x_BL is not None})


def moved(batch: StructureBatch, seed: int = 1, away: float = 100.0) -> StructureBatch:
    """Turned at random, and moved by `away` Å along each axis; absent atoms stay where they are."""
    turn_33 = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[0]
    turn_33 = turn_33 * torch.linalg.det(turn_33)
    return placed(batch, batch.atoms_BLA3 @ turn_33.to(batch.atoms_BLA3.dtype) + away)


def mirrored(batch: StructureBatch) -> StructureBatch:
    """The mirror image."""
    return placed(batch, batch.atoms_BLA3 * batch.atoms_BLA3.new_tensor([1, 1, -1]))


def placed(batch: StructureBatch, atoms_BLA3: Tensor) -> StructureBatch:
    """With other coordinates of the atoms that are there."""
    return replace(batch, atoms_BLA3=torch.where(batch.present_BLA[..., None], atoms_BLA3, 0))


def alpha_only(batch: StructureBatch) -> StructureBatch:
    """C-alpha atoms, and nothing else."""
    present_BLA = torch.zeros_like(batch.present_BLA)
    present_BLA[:, :, CA] = batch.real_BL
    return placed(replace(batch, present_BLA=present_BLA), batch.atoms_BLA3)


def _directions(random: np.random.Generator, *shape: int) -> np.ndarray:
    drawn = random.normal(size=(*shape, 3))
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)
