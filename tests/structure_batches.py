"""Proteins of random coordinates: nothing about them is special, so what holds for them holds for all."""

from dataclasses import fields, replace

import numpy as np
import torch

from protray.models.structure.structure_batch import StructureBatch
from protray.struct.residues.atom14 import HAS

STEP = 3.8  # Å


def protein(length: int, seed: int = 0, lm: int = 0) -> StructureBatch:
    """A chain of all types with all their atoms, as a batch of one; float64."""
    source = np.random.default_rng(seed)
    type_L = source.integers(0, 20, length)
    step_L3 = source.standard_normal((length, 3))
    ca_L3 = np.cumsum(STEP * step_L3 / np.linalg.norm(step_L3, axis=1, keepdims=True), axis=0)
    atoms_LA3 = ca_L3[:, None] + 1.5 * source.standard_normal((length, 14, 3))
    atoms_LA3[:, 1] = ca_L3
    present_LA = HAS[type_L]
    return StructureBatch(
        torch.from_numpy(type_L)[None],
        torch.from_numpy(np.where(present_LA[..., None], atoms_LA3, 0))[None],
        torch.from_numpy(present_LA)[None],
        torch.arange(length)[None],
        torch.zeros(1, length, dtype=torch.int64),
        torch.ones(1, length, dtype=torch.bool),
        torch.from_numpy(source.standard_normal((1, length, lm))) if lm else None,
    )


def joined(proteins: list[StructureBatch], width: int) -> StructureBatch:
    """Several proteins as one batch; at padding stands what would do harm if it were read."""

    def padded(name: str) -> torch.Tensor:
        rows = [getattr(one, name) for one in proteins]
        found = torch.full((len(rows), width, *rows[0].shape[2:]), name != "real_BL", dtype=rows[0].dtype)
        for place, row in zip(found, rows, strict=True):
            place[: row.shape[1]] = row[0]
        return found

    names = [field.name for field in fields(StructureBatch) if getattr(proteins[0], field.name) is not None]
    return StructureBatch(**{name: padded(name) for name in names})


def moved(batch: StructureBatch, shift: float = 0.0, mirror: bool = False) -> StructureBatch:
    """Turned and shifted; or a mirror image, turned too."""
    q_33, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))
    q_33 *= np.sign(np.linalg.det(q_33)) * (-1 if mirror else 1)
    return replace(batch, atoms_BLA3=batch.atoms_BLA3 @ torch.from_numpy(q_33).to(batch.atoms_BLA3) + shift)


def single(batch: StructureBatch) -> StructureBatch:
    """In float32."""
    lm = None if batch.lm_BLC is None else batch.lm_BLC.float()
    return replace(batch, atoms_BLA3=batch.atoms_BLA3.float(), lm_BLC=lm)


def without(
    batch: StructureBatch, slots: slice | list[int], residues: slice | list[int] = slice(None)
) -> StructureBatch:
    """With those atoms of those residues missing."""
    kept_LA = torch.ones_like(batch.present_BLA[0])
    kept_LA[torch.arange(kept_LA.shape[0])[residues][:, None], torch.arange(14)[slots][None]] = False
    present_BLA = batch.present_BLA & kept_LA
    return replace(batch, present_BLA=present_BLA, atoms_BLA3=batch.atoms_BLA3 * present_BLA[..., None])
