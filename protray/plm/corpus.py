"""Protein sequences for pre-training, as one flat array of codes.

Shape key:  M sequences   R residues of all of them
"""

import bz2
import gzip
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from protray.seq.alphabet import INVALID, UNKNOWN, encode

_OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
SUFFIXES = (".fasta", ".fa", ".faa")


@dataclass(frozen=True)
class Corpus:
    """Sequences end to end; sequence m is ``codes_R[starts_M[m] : starts_M[m + 1]]``."""

    codes_R: np.ndarray  # uint8, 0..20
    starts_M: np.ndarray  # int64, one more than there are sequences

    def __len__(self) -> int:
        return len(self.starts_M) - 1

    @property
    def lengths_M(self) -> np.ndarray:
        return np.diff(self.starts_M)


def open_text(path: Path) -> IO[str]:
    """Open a text file that may be packed with gzip, xz or bzip2."""
    return _OPENERS.get(path.suffix, open)(path, "rt", encoding="ascii", errors="replace")


def fasta_files(paths: Iterable[Path]) -> list[Path]:
    """Expand folders into the FASTA files inside them, sorted by name."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found.extend(sorted(file for file in path.rglob("*") if _is_fasta(file)))
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    if not found:
        raise ValueError(f"no FASTA file ({', '.join(SUFFIXES)}, plain or .gz .xz .bz2) in {[str(p) for p in paths]}")
    return found


def _is_fasta(path: Path) -> bool:
    unpacked = path.stem if path.suffix in _OPENERS else path.name
    return unpacked.endswith(SUFFIXES)


def read_sequences(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) of every record; the id is the first word of its header."""
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    for path in fasta_files(paths):
        with open_text(path) as handle:
            for header, sequence in SimpleFastaParser(handle):
                yield header.split(maxsplit=1)[0] if header.strip() else "", sequence


def read_corpus(paths: Iterable[Path], exclude: frozenset[str] = frozenset(), min_length: int = 30) -> Corpus:
    """Read FASTA files into memory, one byte a residue.

    Sequences whose id is in `exclude`, that are shorter than `min_length`, or that hold a character that is no
    residue are left out.
    """
    kept: list[np.ndarray] = []
    for name, sequence in read_sequences(paths):
        codes_L = encode(sequence.upper().rstrip("*"))
        if name in exclude or codes_L.size < min_length or (codes_L > UNKNOWN).any():
            continue
        kept.append(codes_L)
    if not kept:
        raise ValueError(f"no usable sequence of at least {min_length} residues in {[str(p) for p in paths]}")
    starts_M = np.zeros(len(kept) + 1, dtype=np.int64)
    np.cumsum([len(codes_L) for codes_L in kept], out=starts_M[1:])
    return Corpus(np.concatenate(kept), starts_M)


assert INVALID > UNKNOWN  # `codes_L > UNKNOWN` above rejects gaps and foreign characters alike
