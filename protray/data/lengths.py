"""How many proteins there are in a dataset or in FASTA files, and how long they are, without reading all of it.

Small inputs are read whole.  Of a large plain file pieces from all over it are read, as many FASTA files are sorted by
length; a large packed one can only be read from its beginning.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from protray.data.location import Location
from protray.data.parquet import read_batches, rows_in
from protray.seq.errors import InputError
from protray.seq.fasta import fasta_records
from protray.seq.files.packed import opener_of

WHOLE_BYTES = 64 << 20  # of a file that is read to its end: a second or two
PIECES, PIECE_BYTES = 64, 1 << 18  # of a larger plain one
BEGINNING_S = 4.0  # spent on the beginning of a larger packed one
ROWS_READ = 1 << 16  # of a dataset; lengths that stand in for several files


@dataclass(frozen=True)
class Lengths:
    """Residues of some proteins out of `total`, as they stand in for all of them."""

    residues: np.ndarray  # int64
    total: float
    exact: bool  # `residues` are those of all proteins
    note: str = ""

    def sum(self, cost: np.ndarray) -> float:
        """Of all proteins, where `cost` is that of each protein in `residues`."""
        return float(cost.mean() * self.total) if len(cost) else 0.0


def read_lengths(files: Sequence[str | Path]) -> Lengths:
    """Lengths of the proteins in Parquet tables with a column `sequence`, or in FASTA files."""
    if Location(files[0]).suffix == ".parquet":
        return _of_tables(files)
    parts = [_of_fasta(Path(file)) for file in files]
    total, note = sum(part.total for part in parts), next((part.note for part in parts if part.note), "")
    if len(parts) == 1 or not total or all(part.exact for part in parts):
        exact = all(part.exact for part in parts)
        return Lengths(np.concatenate([part.residues for part in parts]), total, exact, note)
    # each file by its share of the proteins, so that a small file read whole does not outweigh a large one
    drawn = [
        part.residues[np.linspace(0, len(part.residues) - 1, max(1, round(ROWS_READ * part.total / total))).astype(int)]
        for part in parts
        if len(part.residues)
    ]
    return Lengths(np.concatenate(drawn), total, False, note)


def _of_tables(files: Sequence[str | Path]) -> Lengths:
    total = sum(rows_in(file) for file in files)
    found: list[int] = []
    step = max(1, total // ROWS_READ)
    for file in files[::step]:
        for batch in read_batches(file, ["sequence"], 4096):
            found += [len(sequence) for sequence in batch["sequence"].to_pylist()]
        if len(found) > ROWS_READ:
            break
    return Lengths(np.array(found, np.int64), total, len(found) == total)


def _of_fasta(path: Path) -> Lengths:
    """Of one file; damage in it is the job's to report."""
    size = path.stat().st_size
    if size > WHOLE_BYTES:
        opener = opener_of(path)
        return _of_beginning(path, size, opener) if opener else _of_pieces(path, size)
    found: list[int] = []
    try:
        for record in fasta_records(path):
            found.append(len(record.letters))
        return Lengths(np.array(found, np.int64), len(found), True)
    except InputError as error:
        return Lengths(np.array(found, np.int64), len(found), False, str(error))


def _of_pieces(path: Path, size: int) -> Lengths:
    """Whole records in pieces of a plain file."""
    found: list[int] = []
    used = 0
    with path.open("rb") as file:
        for start in np.linspace(0, size - PIECE_BYTES, PIECES).astype(int).tolist():
            file.seek(start)
            more, length = _whole_records(file.read(PIECE_BYTES))
            found += more
            used += length
    return Lengths(np.array(found, np.int64), len(found) * size / max(used, 1), False)


def _of_beginning(path: Path, size: int, opener: Callable[[BinaryIO], Any]) -> Lengths:
    """Whole records in the first seconds of a packed file."""
    found: list[int] = []
    used = text = 0
    deadline = time.monotonic() + BEGINNING_S
    with path.open("rb") as packed, opener(packed) as file:
        while time.monotonic() < deadline and (piece := file.read(PIECE_BYTES)):
            more, length = _whole_records(piece)
            found += more
            used, text = used + length, text + len(piece)
        share = packed.tell() / size
    note = f"of {path} the first {100 * share:.2g} % were read; if it is sorted by length, that misleads"
    return Lengths(np.array(found, np.int64), len(found) / share * text / max(used, 1), False, note)


def _whole_records(piece: bytes) -> tuple[list[int], int]:
    """Lengths of the FASTA records that lie in `piece` from their '>' to the next one's, and the bytes they take."""
    records = piece.split(b"\n>")[1:-1]
    parts = [record.partition(b"\n")[2] for record in records]
    return [len(part) - part.count(b"\n") - part.count(b"\r") for part in parts], sum(len(r) + 2 for r in records)
