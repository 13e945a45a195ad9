"""The side chains of a file in the slots of `protray.struct.residues.atom14`.

Shape key:  L residues   4 backbone atoms   10 of the side chain   3 x, y, z in Å
"""

from collections import Counter
from typing import Any, Literal

import numpy as np

from protray.seq.alphabet import encode
from protray.struct.files.locations import side_chain
from protray.struct.residues.atom14 import ATOMS, BACKBONE, CA, SIDE_SLOTS
from protray.struct.residues.equivalent_atoms import name_equivalents

AtomNames = Literal["iupac", "as-is"]

MAX_REACH = 12.0  # Å from C-alpha: no side chain reaches beyond 8, so such an atom is another's, or a placeholder
_ALIASES = {"M": {"SE": "SD"}, "I": {"CD": "CD1"}}  # selenomethionine; CHARMM and GROMACS
_SLOTS = {aa: {name: slot for slot, name in enumerate(names[len(BACKBONE) :])} for aa, names in ATOMS.items()}
for _aa, _names in _ALIASES.items():
    _SLOTS[_aa] |= {alias: _SLOTS[_aa][name] for alias, name in _names.items()}
_MISSING = [float("nan")] * 3


def read_side_chain(residue: Any, letter: str, location: str | None) -> tuple[list[list[float]], bool]:
    """The 10 atoms of a residue of gemmi, NaN for missing ones; the location and the second as `side_chain`."""
    atoms, choice = side_chain(residue, _SLOTS.get(letter, {}), location)
    return [atoms[slot].pos.tolist() if slot in atoms else _MISSING for slot in range(SIDE_SLOTS)], choice


def settle_side_chains(
    sequence: str, backbone_L43: np.ndarray, atoms: list[list[float]], names: AtomNames, counts: Counter[str]
) -> np.ndarray:
    """Leave out what cannot be an atom, and name equivalent ones; counts both.  Float32, shape (L, 10, 3)."""
    side_L103 = np.array(atoms, dtype=np.float32).reshape(-1, SIDE_SLOTS, 3)
    side_L103[~np.isfinite(side_L103).all(axis=2)] = np.nan
    far_L10 = np.linalg.norm(side_L103 - backbone_L43[:, CA, None], axis=2) > MAX_REACH
    side_L103[far_L10] = np.nan
    counts["far_side_chain_atoms"] += int(far_L10.sum())
    if names == "as-is":
        return side_L103
    named_LA3, exchanged = name_equivalents(encode(sequence), np.concatenate([backbone_L43, side_L103], axis=1))
    counts["equivalent_atoms_renamed"] += exchanged
    return named_LA3[:, len(BACKBONE) :]
