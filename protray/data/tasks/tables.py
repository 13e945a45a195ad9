"""A user's table of proteins (CSV or Parquet), with what is known of each: labels, a number, a mutation.

Columns that every table has: ``id``, ``sequence``.  A structure is optional: ``backbone_cA`` and ``index``, and maybe
``sidechains_cA`` and ``chain_index``, as in ``schemas.STRUCTURES``; or ``structure``, a PDB or mmCIF file (its path
from the table's folder), and maybe ``chain``.
Also optional: ``split`` (train, validation, test) and ``cluster``.  Which further columns count is the task's business.
"""

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from protray.data.location import Location
from protray.data.parquet import read_parquet
from protray.data.splits import SPLITS, cluster_by_identity, complete, share_clusters, warn_of_related
from protray.data.structure.structures import MAX_CHAINS, MISSING
from protray.seq.errors import SHOWN, InputError
from protray.seq.fasta import codes_of, plain_letters

if TYPE_CHECKING:
    from protray.struct.files.io import Chain

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


@dataclass(frozen=True)
class TaskRow:
    """One row: a protein, and what else the table says of it."""

    id: str
    sequence: str
    file: str
    line: int
    observed: Observed | None = None
    more: Mapping[str, Any] = field(default_factory=dict)  # the other columns

    def error(self, reason: str) -> InputError:
        return InputError(self.file, self.line, reason, self.id)


def read_task_table(path: Location, *more: str) -> tuple[list[TaskRow], list[InputError]]:
    """Read the rows, and an error for each that cannot be used; `more` columns that there must be.

    Raises
    ------
    ValueError
        If there is no such file, it is neither CSV nor Parquet, or lacks a column.
    """
    rows, errors, seen = [], [], {}
    for line, raw in table_lines(path, ("id", "sequence", *more)):
        found = raw if isinstance(raw, InputError) else _row(raw, path, line)
        if not isinstance(found, InputError) and (before := seen.setdefault(found.id, line)) != line:
            found = found.error(f"id {found.id!r} is also that of line {before}, which is kept")
        if isinstance(found, InputError):
            errors.append(found)
        else:
            rows.append(found)
    return rows, errors


def table_lines(path: Location, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any] | InputError]]:
    """Lines of a CSV file, or rows of a Parquet file, from 1 on; a CSV's header is its first line.

    Cells of a CSV are text, or None where they are empty; a line with too many or too few is an error.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a table in CSV or Parquet with the columns {', '.join(needed)}")
    read = _parquet_lines if path.suffix == ".parquet" else _csv_lines
    names, lines = read(path)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path} has several columns {twice[0]!r}")
    if missing := [name for name in needed if name not in names]:
        parted = "; columns are parted by commas" if any(set(";\t") & set(name) for name in names) else ""
        has = ", ".join(names) or "none, for it is empty"
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {has}{parted}")
    yield from lines


def rows_digest(rows: Iterable[TaskRow]) -> str:
    """What identifies the content of rows, structures read from files included."""
    state = hashlib.sha256()
    for row in rows:
        state.update(repr((row.id, row.sequence, sorted(row.more.items(), key=lambda item: item[0]))).encode())
        if row.observed:
            state.update(row.observed.sequence.encode())
            for array in row.observed.stored.values():
                state.update(b"" if array is None else array.tobytes())
    return state.hexdigest()[:16]


def with_splits(rows: list[TaskRow], seed: int) -> dict[str, tuple[str, str]]:
    """Split and cluster of each row, by id.

    Splits are those of the table if all rows have one.  Otherwise whole clusters are drawn: those of the column
    ``cluster``, or of `protray.data.splits.cluster_by_identity` at 25 %.

    Raises
    ------
    ValueError
        If only some rows have a split or a cluster, a split is unknown or has no row, or there are fewer than three
        clusters.
    """
    clusters = complete({row.id: row.more.get("cluster") for row in rows}, "cluster")
    clusters = clusters or _by_identity({row.id: row.sequence for row in rows})
    splits = complete({row.id: row.more.get("split") for row in rows}, "split")
    for row in rows:
        if splits and splits[row.id] not in SPLITS:
            raise ValueError(f"{row.file}:{row.line}: split {splits[row.id]!r} is none of {', '.join(SPLITS)}")
    splits = splits or share_clusters(clusters, seed)
    warn_of_related(clusters, splits)
    for split in SPLITS:
        if split not in splits.values():
            raise ValueError(f"{rows[0].file if rows else 'the table'}: no row of the split {split!r} can be used")
    return {row.id: (splits[row.id], clusters[row.id]) for row in rows}


def _by_identity(sequences: Mapping[str, str]) -> dict[str, str]:
    """Rows of equal sequences, such as mutations of one protein, are looked at once."""
    first: dict[str, str] = {}
    for id in sorted(sequences):
        first.setdefault(sequences[id], id)
    clusters = cluster_by_identity({id: sequence for sequence, id in first.items()})
    return {id: clusters[first[sequence]] for id, sequence in sequences.items()}


def _row(raw: Mapping[str, Any], path: Location, line: int) -> TaskRow | InputError:
    id, sequence = raw["id"], plain_letters(str(raw["sequence"] or "").strip())
    if not _given(id):
        return InputError(path, line, "no id")
    try:
        codes_of(sequence)
        observed = _observed(raw, sequence, path)
    except ValueError as error:
        return InputError(path, line, str(error), str(id)[:SHOWN])
    more = {name: value for name, value in raw.items() if name not in ("id", "sequence", *STRUCTURE)}
    return TaskRow(str(id), sequence, str(path), line, observed, more)


def _observed(raw: Mapping[str, Any], sequence: str, path: Location) -> Observed | None:
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


def _parquet_lines(path: Location) -> tuple[list[str], Iterator[tuple[int, dict[str, Any]]]]:
    """Names of the columns, and the rows with their numbers; arrays of structures as arrays."""
    table = read_parquet(path)
    arrays = [name for name in STRUCTURE if name in table.column_names]

    def lines() -> Iterator[tuple[int, dict[str, Any]]]:
        for number, raw in enumerate(table.drop_columns(arrays).to_pylist()):
            found = {name: table[name][number] for name in arrays}
            yield number + 1, raw | {
                name: value.values.to_numpy(zero_copy_only=False) if value.is_valid else None
                for name, value in found.items()
            }  # fmt: skip

    return table.column_names, lines()


def _csv_lines(path: Location) -> tuple[list[str], Iterator[tuple[int, dict[str, Any] | InputError]]]:
    """Names of the columns, and the lines with their numbers; empty ones do not count, but are counted."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be read as CSV: it is no text in UTF-8 ({error.reason})") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = next(reader, [])

    def lines() -> Iterator[tuple[int, dict[str, Any] | InputError]]:
        try:
            for cells in reader:
                if len(cells) == len(names):
                    yield reader.line_num, {name: cell or None for name, cell in zip(names, cells, strict=True)}
                elif cells:
                    told = f"{len(cells)} cells, but the first line names {len(names)} columns; quote commas"
                    yield reader.line_num, InputError(path, reader.line_num, told, cells[0][:SHOWN])
        except csv.Error as error:
            raise ValueError(f"{path} cannot be read as CSV: line {reader.line_num}: {error}") from None

    return names, lines()
