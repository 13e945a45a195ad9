"""Atoms of proteins for training in memory: flat arrays, kept as they are stored; Å are made of one protein at a time.

Shape key:  L residues of a protein   R residues of all proteins   A 14 atoms (`protray.struct.residues.atom14`)
            4 of the backbone   10 of the side chain   3 x, y, z
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.data.location import Location
from protray.data.splits import SPLITS
from protray.data.structure.structures import (
    MISSING,
    SCALE,
    dataset_tables,
    list_values,
    none_of,
    of_split,
    with_index,
)
from protray.seq.alphabet import encode
from protray.struct.residues.atom14 import BACKBONE, SIDE_SLOTS

NEEDED = ["id", "sequence", "index", "backbone_cA", "cluster", "split"]
WHERE_STORED = ["sidechains_cA", "chain_index", "plddt"]  # null in some rows; older datasets have no such columns
NO_PLDDT = np.uint8(255)


@dataclass(frozen=True)
class Text:
    """The whole sequence that some residues are of, which a language model reads in their place."""

    codes_W: np.ndarray  # uint8
    chain_W: np.ndarray  # int8, number of the chain
    place_L: np.ndarray  # int64, of the residues at hand, from 0


@dataclass(frozen=True)
class AtomChain:
    """One protein, of one chain or more, in a frame of its own."""

    id: str
    codes_L: np.ndarray  # uint8, of protray.seq.alphabet
    index_L: np.ndarray  # int32, place in the chain, counted on over breaks; a complex's chains are far apart
    chain_L: np.ndarray  # int8, number of the chain
    atoms_LA3: np.ndarray  # float32, Å, the mean of the C-alpha atoms near 0; 0 where an atom is absent
    present_LA: np.ndarray  # bool; C-alpha always
    plddt_L: np.ndarray | None = None  # uint8, 0 to 100, of a predicted model
    text: Text | None = None  # where these are not all residues, and those that lack are to be read

    def __len__(self) -> int:
        return len(self.codes_L)

    def cut(self, places: np.ndarray | slice) -> "AtomChain":
        """Some of its residues, as a protein: numbers from 0, or a slice."""
        of_residues = ("codes_L", "index_L", "chain_L", "atoms_LA3", "present_LA", "plddt_L")
        found = {name: getattr(self, name) for name in of_residues}
        return replace(self, **{name: array[places] for name, array in found.items() if array is not None}, text=None)


@dataclass(frozen=True)
class AtomStructures:
    """Many proteins; residues of protein m are rows ``starts[m]`` to ``starts[m + 1]`` of the flat arrays."""

    ids: list[str]
    clusters: list[str]
    codes_R: np.ndarray  # uint8
    index_R: np.ndarray  # int32
    chain_R: np.ndarray  # int8
    backbone_R43: np.ndarray  # int16, 0.01 Å, MISSING where an atom is absent
    sidechains_R103: np.ndarray | None  # likewise; None where no protein has any
    plddt_R: np.ndarray  # uint8, NO_PLDDT for experiments
    starts: np.ndarray  # int64, one more than proteins

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Residues of each protein."""
        return np.diff(self.starts)

    @property
    def has_side_chains(self) -> bool:
        """Whether any protein has side chains."""
        return self.sidechains_R103 is not None and bool((self.sidechains_R103[:, :, 0] != MISSING).any())

    def chain(self, m: int) -> AtomChain:
        """Protein number `m`."""
        rows = slice(self.starts[m], self.starts[m + 1])
        stored_LA3 = self.backbone_R43[rows]
        lacking_L103 = np.full((len(stored_LA3), SIDE_SLOTS, 3), MISSING)
        side_L103 = lacking_L103 if self.sidechains_R103 is None else self.sidechains_R103[rows]
        stored_LA3 = np.concatenate([stored_LA3, side_L103], axis=1)
        present_LA = stored_LA3[:, :, 0] != MISSING
        atoms_LA3 = np.where(present_LA[:, :, None], stored_LA3, np.int16(0)).astype(np.float32) / SCALE
        plddt_L = self.plddt_R[rows]
        known = plddt_L if (plddt_L != NO_PLDDT).any() else None
        return AtomChain(
            self.ids[m], self.codes_R[rows], self.index_R[rows], self.chain_R[rows], atoms_LA3, present_LA, known
        )  # fmt: skip

    def select(self, rows: Iterable[int]) -> "AtomStructures":
        """Some of the proteins, in the order of `rows`."""
        order = np.fromiter(rows, np.int64)
        lengths = self.lengths[order]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows_R = np.repeat(self.starts[:-1][order] - starts[:-1], lengths) + np.arange(starts[-1])
        side_R103 = self.sidechains_R103
        return AtomStructures(
            [self.ids[m] for m in order], [self.clusters[m] for m in order], self.codes_R[rows_R], self.index_R[rows_R],
            self.chain_R[rows_R], self.backbone_R43[rows_R], None if side_R103 is None else side_R103[rows_R],
            self.plddt_R[rows_R], starts,
        )  # fmt: skip


def read_atoms(path: str | Path | Location | None = None, split: str | None = None) -> AtomStructures:
    """Read the proteins of a dataset, sorted by id.

    Parameters
    ----------
    path : str or Path, optional
        Folder of jobs/prepare_structures.py, with side chains, complexes and pLDDT or without.  Default: the 1,000
        chains of the bundled sample, which have a backbone, and its chains with side chains.
    split : {"train", "validation", "test"}, optional
        Default: all.

    Raises
    ------
    ValueError
        If the folder holds no such dataset, it is of other columns, or no protein is in the split.
    """
    if split not in (None, *SPLITS):
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    found = gather(of_split(table, split) for table in _tables(path))
    if not len(found):
        source = "the bundled sample" if path is None else str(path)
        raise ValueError(f"{source} holds no protein{none_of(split)}")
    return found


def gather(tables: Iterable[pa.Table]) -> AtomStructures:
    """Put the proteins of tables together, sorted by id; there may be none.

    Tables have the columns `NEEDED` but for `split`, and of `WHERE_STORED` those that they have.  They are let go one
    by one where `tables` is an iterator.
    """
    ids: list[str] = []
    clusters: list[str] = []
    parts, some = [_flat(schemas.STRUCTURES.empty_table())], False
    for table in tables:
        some |= _has(table, "sidechains_cA")
        ids += table["id"].to_pylist()
        clusters += table["cluster"].to_pylist()
        parts.append(_flat(table))
    lengths, codes_R, index_R, chain_R, backbone_R43, side_chains, plddt_R = zip(*parts, strict=True)
    found = AtomStructures(
        ids, clusters, np.concatenate(codes_R), np.concatenate(index_R), np.concatenate(chain_R),
        np.concatenate(backbone_R43), np.concatenate(side_chains) if some else None,
        np.concatenate(plddt_R), np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
    )  # fmt: skip
    del parts, codes_R, index_R, chain_R, backbone_R43, side_chains, plddt_R
    return found.select(sorted(range(len(ids)), key=ids.__getitem__))


def atom_chains_in(table: pa.Table) -> list[AtomChain]:
    """The proteins of a table in its order; columns as of `gather`, but for the cluster."""
    lengths, codes_R, index_R, chain_R, backbone_R43, side_R103, plddt_R = _flat(table)
    ids, starts = table["id"].to_pylist(), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    found = AtomStructures(
        ids, [""] * len(ids), codes_R, index_R, chain_R, backbone_R43, side_R103, plddt_R, starts
    )  # fmt: skip
    return [found.chain(m) for m in range(len(ids))]


def _tables(path: str | Path | Location | None) -> Iterator[pa.Table]:
    if path is not None:
        yield from dataset_tables(Location(path), NEEDED, WHERE_STORED)
        return
    from protray.data.sample import FULL_ATOM, SAMPLE

    yield with_index(pq.read_table(SAMPLE, columns=[name for name in NEEDED if name != "index"]))
    yield pq.read_table(FULL_ATOM, columns=[*NEEDED, "sidechains_cA"])


def _flat(table: pa.Table) -> tuple[np.ndarray, ...]:
    """Lengths of the proteins, and the flat arrays of `AtomStructures`."""
    lengths = table["index"].combine_chunks().value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    codes_R = encode("".join(table["sequence"].to_pylist()))
    index_R = list_values(table["index"]).astype(np.int32)
    backbone_R43 = list_values(table["backbone_cA"]).astype(np.int16).reshape(-1, len(BACKBONE), 3)
    side_R103 = _where_stored(table, "sidechains_cA", lengths, np.full((SIDE_SLOTS, 3), MISSING))
    chain_R = _where_stored(table, "chain_index", lengths, np.int8(0))
    plddt_R = _where_stored(table, "plddt", lengths, NO_PLDDT)
    return lengths, codes_R, index_R, chain_R, backbone_R43, side_R103, plddt_R


def _has(table: pa.Table, name: str) -> bool:
    """Whether a column is there and not null throughout."""
    return name in table.column_names and table[name].null_count < len(table)


def _where_stored(table: pa.Table, name: str, lengths: np.ndarray, otherwise: np.ndarray | np.generic) -> np.ndarray:
    """A column of lists in which null stands for `otherwise` of each residue."""
    flat_R = np.broadcast_to(otherwise, (lengths.sum(), *otherwise.shape))
    if not _has(table, name):
        return flat_R  # takes no memory
    stored_R = np.repeat(table[name].is_valid().to_numpy(zero_copy_only=False), lengths)
    flat_R = flat_R.copy()
    flat_R[stored_R] = list_values(table[name]).reshape(-1, *otherwise.shape)
    return flat_R
