"""Chains for training in memory: flat arrays, so that one file maps into memory and a batch needs no Python objects.

Shape key:  L residues of a chain   R residues of all chains   3 x, y, z in Å
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import naming, read_parquet
from protray.data.splits import SPLITS
from protray.seq.alphabet import encode
from protray.struct.residues.atom14 import SIDE_SLOTS

COLUMNS = ["id", "sequence", "index", "backbone_cA", "split"]  # what is read of them
FOLDER = "structures"  # of the parts in a dataset of jobs/prepare_structures.py
SCALE = 100  # stored integers per Å
MISSING = np.int16(-32768)  # stored in place of each coordinate of an atom that the file lacks
MAX_CHAINS = 128  # of a complex: their numbers have 8 bits
N_BACKBONE, CA = 4, 1  # atoms stored per residue, and which of them is C-alpha


@dataclass(frozen=True)
class StructureChain:
    """One chain: residue codes, position in the chain (counted on over breaks), C-alpha atoms in its own frame."""

    id: str
    codes_L: np.ndarray  # uint8
    index_L: np.ndarray  # int32
    ca_L3: np.ndarray  # float32, Å, the mean of the chain near 0


@dataclass(frozen=True)
class Structures:
    """Many chains; residues of chain m are rows ``starts[m]`` to ``starts[m + 1]`` of the flat arrays."""

    ids: list[str]
    codes_R: np.ndarray  # uint8, codes of protray.seq.alphabet
    index_R: np.ndarray  # int32
    ca_R3: np.ndarray  # float32, Å
    starts: np.ndarray  # int64, one more than chains

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Residues of each chain."""
        return np.diff(self.starts)

    def chain(self, m: int) -> StructureChain:
        """Chain number `m`, as views."""
        rows = slice(self.starts[m], self.starts[m + 1])
        return StructureChain(self.ids[m], self.codes_R[rows], self.index_R[rows], self.ca_R3[rows])

    def select(self, rows: Iterable[int]) -> "Structures":
        """Some of the chains, in the order of `rows`; at least one."""
        chains = [self.chain(row) for row in rows]
        return Structures(
            [chain.id for chain in chains],
            np.concatenate([chain.codes_L for chain in chains]),
            np.concatenate([chain.index_L for chain in chains]),
            np.concatenate([chain.ca_L3 for chain in chains]),
            np.cumsum([0, *(len(chain.codes_L) for chain in chains)]),
        )


def read_structures(path: str | Path | None = None, split: str | None = None) -> Structures:
    """Read the chains of a dataset, sorted by id.

    Parameters
    ----------
    path : str or Path, optional
        Folder of jobs/prepare_structures.py.  Default: the 1,000 chains of the bundled sample.
    split : {"train", "validation", "test"}, optional
        Default: all.

    Raises
    ------
    ValueError
        If the folder holds no such dataset, it is of other columns, or no chain is in the split.
    """
    if split not in (None, *SPLITS):
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    source = "the bundled sample" if path is None else str(path)
    structures = gather(
        of_split(table, split) for table in (_sample() if path is None else dataset_tables(Location(path), COLUMNS))
    )
    if not len(structures):
        raise ValueError(f"{source} holds no chain{none_of(split)}")
    return structures


def none_of(split: str | None) -> str:
    """The end of a message that a dataset has nothing, of a split or at all, and what to do about it."""
    if split is None:
        return ""
    return f" of the split {split!r}: make it with more clusters, another --seed, or splits of your own (--split-by)"


def read_chain_clusters(path: str | Path | None = None) -> dict[str, str]:
    """Read the cluster of each chain of a dataset; `path` and errors as in `read_structures`."""
    columns = ["id", "cluster"]
    tables = [_read_sample(columns)] if path is None else dataset_tables(Location(path), columns)
    return {row["id"]: row["cluster"] for table in tables for row in table.to_pylist()}


def gather(tables: Iterable[pa.Table]) -> Structures:
    """Put the chains of tables with the columns id, sequence, index and backbone_cA together, sorted by id.

    Tables are let go one by one where `tables` is an iterator; there may be none.
    """
    ids: list[str] = []
    sizes: list[int] = []
    flat = [(np.empty(0, np.uint8), np.empty(0, np.int32), np.empty((0, 3), np.float32))]
    for table in tables:
        ids += table["id"].to_pylist()
        sizes += [len(sequence) for sequence in table["sequence"].to_pylist()]
        flat.append(_flat(table))
    lengths, order = np.array(sizes, np.int64), np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    rows_R = _reordered(lengths, order)
    codes_R, index_R, ca_R3 = (np.concatenate(arrays)[rows_R] for arrays in zip(*flat, strict=True))
    starts = np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64)
    return Structures([ids[m] for m in order], codes_R, index_R, ca_R3, starts)


def read_group(file: Location, group: int, more: Sequence[str] = ()) -> pa.Table:
    """The columns of chains in a row group of a dataset, or of the sample, whose chains have no breaks.

    `more` are columns that are read, too, where the file has them.
    """
    with naming(file, "make its folder anew"), file.open() as opened:
        parquet = pq.ParquetFile(opened, page_checksum_verification=True)
        found = [name for name in ("index", *more) if name in parquet.schema_arrow.names]
        table = parquet.read_row_group(group, columns=["id", "sequence", "backbone_cA", *found])
    return table if "index" in found else with_index(table)


def chains_in(table: pa.Table) -> list[StructureChain]:
    """The chains of a table with the columns id, sequence, index and backbone_cA, in its order."""
    codes_R, index_R, ca_R3 = _flat(table)
    ends = np.cumsum([len(sequence) for sequence in table["sequence"].to_pylist()]).tolist()
    spans = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    parts = zip(table["id"].to_pylist(), spans, strict=True)
    return [StructureChain(id, codes_R[rows], index_R[rows], ca_R3[rows]) for id, rows in parts]


def stored_backbone(values: np.ndarray) -> np.ndarray:
    """Turn the flat integers of ``backbone_cA`` into Å; float32, shape (R, 4, 3), NaN for missing atoms."""
    return _in_angstrom(values.reshape(-1, N_BACKBONE, 3))


def stored_atoms(backbone: np.ndarray, side_chains: np.ndarray | None = None) -> np.ndarray:
    """Atoms in the slots of `protray.struct.residues.atom14`, Å; float32, shape (L, 4, 3), with side chains (L, 14, 3).

    `side_chains` are the flat integers of ``sidechains_cA``.  NaN for missing atoms.

    >>> stored_atoms(np.zeros(12, np.int16), np.full(30, MISSING))[0, 3:5].tolist()
    [[0.0, 0.0, 0.0], [nan, nan, nan]]
    """
    backbone_L43 = stored_backbone(backbone)
    if side_chains is None:
        return backbone_L43
    return np.concatenate([backbone_L43, _in_angstrom(side_chains.reshape(-1, SIDE_SLOTS, 3))], axis=1)


def _in_angstrom(stored: np.ndarray) -> np.ndarray:
    return np.where(stored == MISSING, np.float32(np.nan), stored.astype(np.float32) / SCALE)


def _sample() -> Iterator[pa.Table]:
    """The sample as tables of the columns used here; its chains have no breaks, so that `index` counts from 0."""
    yield with_index(_read_sample(["id", "sequence", "split", "backbone_cA"]))


def with_index(table: pa.Table) -> pa.Table:
    """A table of chains without breaks, with the column `index`."""
    index = pa.array([range(len(sequence)) for sequence in table["sequence"].to_pylist()], pa.list_(pa.int32()))
    return table.append_column("index", index)


def _read_sample(columns: list[str]) -> pa.Table:
    from protray.data.sample import SAMPLE

    return pq.read_table(SAMPLE, columns=columns)


def dataset_tables(folder: Location, columns: list[str], optional: Sequence[str] = ()) -> Iterator[pa.Table]:
    """Columns of the files of a dataset, and those of `optional` that it has; ValueError if it is none."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder; give a dataset of jobs/prepare_structures.py")
    if not (folder / "dataset.json").is_file():
        raise ValueError(f"{folder} is no complete dataset of jobs/prepare_structures.py: it holds no dataset.json")
    parts = folder / FOLDER
    if not parts.is_dir():
        raise ValueError(f"{folder} holds no {FOLDER}/: it is a dataset of another job; use jobs/prepare_structures.py")
    for file in parts.files("*.parquet"):
        table = read_parquet(file, [*columns, *optional])  # those that it has
        names = [*columns, *(name for name in optional if name in table.column_names)]
        schemas.check(table, pa.schema([schemas.STRUCTURES.field(name) for name in names]), str(file))
        yield table


def of_split(table: pa.Table, split: str | None) -> pa.Table:
    """The rows of a split; all for None."""
    return table if split is None else table.filter(pa.array([found == split for found in table["split"].to_pylist()]))


def _flat(table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, index and C-alpha atoms of all residues of a table; the larger backbone is let go."""
    codes_R = encode("".join(table["sequence"].to_pylist()))
    index_R = list_values(table["index"]).astype(np.int32)
    ca_R3 = stored_backbone(list_values(table["backbone_cA"]))[:, CA].copy()
    return codes_R, index_R, ca_R3


def list_values(column: pa.ChunkedArray) -> np.ndarray:
    """All numbers of a column of lists, one after the other; of null none."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False)


def _reordered(lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Row numbers that put the residues of chains into another order of chains."""
    starts = np.cumsum(lengths) - lengths
    shift = np.cumsum(lengths[order]) - lengths[order]
    return np.repeat(starts[order] - shift, lengths[order]) + np.arange(lengths.sum())
