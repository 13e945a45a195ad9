"""Rows of a dataset of structures with random side chains, for tests."""

from typing import Any

import numpy as np
import pyarrow as pa

from protray.data import schemas
from protray.data.structure.rows import pack_backbone
from protray.seq.alphabet import encode
from protray.struct.residues.atom14 import HAS


def atoms_of(sequence: str, seed: int = 0) -> np.ndarray:
    """Random places for the atoms that each residue has, shape (L, 14, 3)."""
    atoms_LA3 = np.random.default_rng(seed).uniform(-50, 50, (len(sequence), 14, 3))
    return np.where(HAS[encode(sequence)][:, :, None], atoms_LA3, np.nan)


def row(id: str, sequence: str, **more: Any) -> dict:
    atoms_LA3 = atoms_of(sequence)
    return {
        "id": id, "sequence": sequence, "index": range(0, 2 * len(sequence), 2), "origin": [1.0, 2.0, 3.0],
        "backbone_cA": pack_backbone(atoms_LA3[:, :4]), "breaks": [], "source": "f", "entry": "e", "cluster": f"c{id}",
        "split": "train",
    } | more  # fmt: skip


def full(sequence: str) -> dict[str, Any]:
    return {"sidechains_cA": pack_backbone(atoms_of(sequence)[:, 4:])}


def table(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schemas.STRUCTURES)
