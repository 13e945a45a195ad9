"""Protein sequences for pre-training: codes of any number of them, on disk or in memory.

Shape key:  M sequences of a part   R residues of all of them   L residues of one   P parts
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protray.seq.alphabet import INVALID, UNKNOWN, decode, encode
from protray.seq.fasta import plain_letters, read_sequences
from protray.seq.files.kinds import AMBIGUOUS, NUCLEOTIDES, are_bases
from protray.seq.keyed import key

MIN_LENGTH = 30  # residues; shorter ones are fragments and peptides
_MAY_BE_BASES = encode(NUCLEOTIDES + AMBIGUOUS).tobytes()


@dataclass(frozen=True)
class Part:
    """Sequences end to end; sequence m is ``codes_R[starts_M[m] : starts_M[m + 1]]``."""

    codes_R: np.ndarray  # uint8, 0..20
    starts_M: np.ndarray  # int64, one more than there are sequences
    ids_M: np.ndarray  # uint64, hash of each id

    def files(self, name: str) -> dict[str, np.ndarray]:
        """The files that a part called `name` consists of: ``NAME.codes_R.npy`` and so on."""
        return {f"{name}.{field}.npy": array for field, array in vars(self).items()}

    @classmethod
    def open(cls, folder: Path, name: str) -> "Part":
        """Map a part into memory: only what is looked at is read."""
        return cls(*(np.load(folder / f"{name}.{field}.npy", mmap_mode="r") for field in cls.__annotations__))


class Corpus:
    """The sequences of several parts, counted through: m = 0, 1, .. len(corpus) - 1."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = [part for part in parts if len(part.ids_M)]
        self.first_P = np.cumsum([0, *(len(part.ids_M) for part in self.parts)]).tolist()

    def __len__(self) -> int:
        return self.first_P[-1]

    def codes(self, m: int) -> np.ndarray:
        """Residues of sequence m, uint8, shape (L,)."""
        part, row = self._find(m)
        return part.codes_R[part.starts_M[row] : part.starts_M[row + 1]]

    def id(self, m: int) -> int:
        """Hash of the id of sequence m."""
        part, row = self._find(m)
        return int(part.ids_M[row])

    def lengths(self, first: int, stop: int) -> np.ndarray:
        """Numbers of residues of the sequences ``first .. stop - 1``, read in one go, int64."""
        pieces = [
            np.diff(part.starts_M[max(first - start, 0) : max(stop - start, 0) + 1])
            for part, start in zip(self.parts, self.first_P, strict=False)
            if start < stop and first < start + len(part.ids_M)
        ]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)

    def ids(self) -> np.ndarray:
        """Hashes of all ids, uint64: 8 bytes a sequence."""
        return np.concatenate([part.ids_M for part in self.parts]) if self.parts else np.empty(0, dtype=np.uint64)

    def _find(self, m: int) -> tuple[Part, int]:
        p = bisect_right(self.first_P, m) - 1
        return self.parts[p], int(m) - self.first_P[p]


def pack(names: Sequence[str], codes: Sequence[np.ndarray]) -> Part:
    """Lay sequences end to end."""
    starts_M = np.zeros(len(codes) + 1, dtype=np.int64)
    np.cumsum([len(codes_L) for codes_L in codes], out=starts_M[1:])
    codes_R = np.concatenate(codes) if codes else np.empty(0, dtype=np.uint8)
    return Part(codes_R, starts_M, np.array([key(name) for name in names], dtype=np.uint64))


def open_corpus(folder: Path, split: str) -> Corpus:
    """Map the ``train`` or ``held-out`` sequences of an encoded corpus (`encode`) into memory."""
    parts = json.loads((folder / "corpus.json").read_text())["parts"][split]
    return Corpus(Part.open(folder, name) for name in parts)


def read_codes(paths: Iterable[Path]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (id, codes) of every record; lower case and a closing star are fine."""
    for name, sequence in read_sequences(paths):
        yield name, encode(plain_letters(sequence))


def why_unusable(codes_L: np.ndarray, min_length: int) -> str | None:
    """Reason to leave a sequence out, or None."""
    if codes_L.size < min_length:
        return f"shorter than {min_length} residues"
    if (codes_L > UNKNOWN).any():
        return "a character that is no residue"
    if codes_L.tobytes().translate(None, _MAY_BE_BASES):
        return None
    return "letters of nucleic acids" if are_bases(decode(codes_L).replace("X", "U").encode()) else None


def read_corpus(paths: Iterable[Path], min_length: int = MIN_LENGTH) -> Corpus:
    """Read a few FASTA files into memory, one byte a residue; unusable sequences are left out."""
    kept = [(name, codes_L) for name, codes_L in read_codes(paths) if why_unusable(codes_L, min_length) is None]
    if not kept:
        raise ValueError(f"no usable sequence of at least {min_length} residues in {[str(p) for p in paths]}")
    return Corpus([pack(*zip(*kept, strict=True))])


assert INVALID > UNKNOWN  # `codes_L > UNKNOWN` above rejects gaps and foreign characters alike
