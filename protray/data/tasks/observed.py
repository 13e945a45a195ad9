"""Structures of proteins in a user's table: of columns as in ``schemas.STRUCTURES``, or of files that it names.

Shape key:  L residues that have coordinates
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from protray.data.location import Location
from protray.data.structure.structures import MAX_CHAINS, MISSING

if TYPE_CHECKING:
    from protray.struct.files.chain import Chain

STRUCTURE = ("backbone_cA", "index", "sidechains_cA", "chain_index")  # of ``schemas.STRUCTURES``
PER_RESIDUE = (12, 1, 30, 1)  # numbers


@dataclass(frozen=True)
class Observed:
    """The residues of a protein that have coordinates, as in ``schemas.STRUCTURES``."""

    sequence: str
    index_L: np.ndarray  # int32; their places in the protein, from 0
    backbone_cA: np.ndarray  # noqa: N815  (int16, flat)
    sidechains_cA: np.ndarray | None = None  # noqa: N815  (likewise; None where there are none)
    chain_L: np.ndarray | None = None  # int8; None for one chain

    @classmethod
    def of(cls, chains: "Sequence[Chain]", index_L: np.ndarray) -> "Observed":
        """Chains of a file, as one; ValueError if they are too large to be stored."""
        from protray.data.structure.rows import Packed

        packed, sequence = Packed.of(chains), "".join(chain.sequence for chain in chains)
        sides = _some(packed.sidechains_cA)
        return cls(sequence, index_L.astype(np.int32), packed.backbone_cA, sides, packed.chain_L)

    @property
    def stored(self) -> dict[str, np.ndarray | None]:
        """The columns of ``schemas.STRUCTURES`` that have its atoms, by their names in `STRUCTURE`."""
        values = (self.backbone_cA, self.index_L, self.sidechains_cA, self.chain_L)
        return dict(zip(STRUCTURE, values, strict=True))


def observed_by(raw: Mapping[str, Any], sequence: str, path: Location) -> Observed | None:
    """The structure of a row of the table `path`: that of its columns, or of the file that it names; None without one.

    ValueError if it is not one of `sequence`, or the file cannot be used.
    """
    if found := observed_of(sequence, raw):
        return found
    if not _given(raw.get("structure")):
        return None
    return _from_file(beside(path, str(raw["structure"])), raw.get("chain"), sequence)


def _some(side_chains: np.ndarray | None) -> np.ndarray | None:
    """None in place of side chains of which no atom is there."""
    return None if side_chains is None or (side_chains == MISSING).all() else side_chains


def side_chains_used(found: Iterable[Observed | None]) -> bool:
    """Whether at least half of the structures have side chains; else nobody is shown any, so that all are alike."""
    have = [one.sidechains_cA is not None for one in found if one]
    return bool(have) and 2 * sum(have) >= len(have)


def observed_of(sequence: str, arrays: Mapping[str, np.ndarray | None]) -> Observed | None:
    """A structure of the columns `STRUCTURE`, with places from 0 where there are none; None without a backbone.

    ValueError if a column is of another length.
    """
    backbone, index_L, side_chains, chain_L = (arrays.get(name) for name in STRUCTURE)
    if backbone is None:
        return None
    if chain_L is not None and len(chain_L) and not 0 <= chain_L.min() <= chain_L.max() < MAX_CHAINS:
        raise ValueError(f"chain_index has {chain_L.min()} to {chain_L.max()}, it must be from 0 to {MAX_CHAINS - 1}")
    for name, each in zip(STRUCTURE, PER_RESIDUE, strict=True):
        array = arrays.get(name)
        if array is not None and len(array) != each * len(sequence):
            raise ValueError(f"{len(sequence)} residues, but {len(array)} numbers in {name} ({each} for each residue)")
    return Observed(
        sequence,
        np.arange(len(sequence), dtype=np.int32) if index_L is None else index_L.astype(np.int32),
        backbone.astype(np.int16),
        None if side_chains is None else _some(side_chains.astype(np.int16)),
        None if chain_L is None else chain_L.astype(np.int8),
    )


def _from_file(file: Location, chain_id: Any, sequence: str) -> Observed:
    """The chain whose residues are those of `sequence`, some of which may have no coordinates."""
    from protray.data.structure.rows import impossible
    from protray.struct.residues.placement import place

    chains = [chain for chain in chains_of_file(file) if not _given(chain_id) or chain.id == str(chain_id)]
    for chain in chains:
        positions = place(chain.sequence, sequence)
        if positions is not None:
            if reason := impossible(chain):
                raise ValueError(f"{file}: {reason}")
            return Observed.of([chain], positions)
    named = f"chain {chain_id!r}" if _given(chain_id) else "any chain"
    raise ValueError(f"the sequence is not that of {named} of {file}, with some residues left out")


def beside(table: Location, name: str) -> Location:
    """A file that a table names, by its path from the table's folder or by its whole path."""
    return Location(name) if os.path.isabs(name) or "://" in name else table.parent / name


@lru_cache(maxsize=16)
def chains_of_file(file: Location) -> "list[Chain]":
    """The protein chains of a PDB or mmCIF file, which several rows may name; ValueError if there is none."""
    from protray.struct.files.io import read_chains

    if not file.is_file():
        raise ValueError(f"{file}: no such file")
    return read_chains(file.path, side_chains=True)


def _given(value: Any) -> bool:
    return value is not None and value != ""
