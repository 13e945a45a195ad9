"""The C-alpha atoms of a PDB file, by which chains are told apart: one line of eight is looked at."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from protray.struct.files.pdb_columns import atom_lines, cells

_END = re.compile(rb"\n(?:TER|(END) *(?=\n))")
_CA, _CA_LEFT = (np.frombuffer(name, np.uint32)[0] for name in (b" CA ", b"CA  "))
_ION = np.frombuffer(b" CA", np.uint8)  # calcium: residue and atom have its name
_SEGMENT = slice(72, 76)
_BLANK = b"  "  # of the columns of the chain
_NO_NAME = int.from_bytes(_BLANK)


@dataclass
class Run:
    """C-alpha atoms of one chain without a TER between them: where their lines begin."""

    name: bytes  # columns 21 and 22, and the segment if it tells chains apart
    starts: list[int]
    ended: bool = False  # by TER or END
    file: int = 0  # how many lines of END are before it


@dataclass(frozen=True)
class Alphas:
    """Where the lines of C-alpha atoms begin, and of TER and END; A is their number."""

    starts_A: np.ndarray
    keys_A: np.ndarray
    names_A: np.ndarray  # of chains, as numbers
    segments: list[bytes]  # of atoms without a chain; empty where they tell nothing
    ends: list[tuple[int, bool]]  # and whether it is END
    has_locations: bool  # whether any atom, of C-alpha or not, has an alternate location

    def names_suffice(self) -> bool:
        """Whether every chain's atoms stand together, and no two are of one residue and location."""
        if not len(self.starts_A):
            return True
        if self.segments or len(np.unique(self.keys_A)) < len(self.keys_A):
            return False
        if any(is_end and end < self.starts_A[-1] for end, is_end in self.ends):
            return False
        stretch_A = np.searchsorted([end for end, _ in self.ends], self.starts_A)
        begins = (np.diff(stretch_A) != 0) | (np.diff(self.names_A) != 0)
        return int(begins.sum()) + 1 <= len(np.unique(self.names_A))

    def runs(self, text: bytes) -> Iterator[Run]:
        """Atoms chain after chain, as they stand in the file."""
        ends = iter([*self.ends, (len(text), False)])
        run, file = None, 0
        end, is_end = next(ends)
        for at, start in enumerate(self.starts_A.tolist()):
            name = text[start + 20 : start + 22] + (self.segments[at] if self.segments else b"")
            while end < start:
                if run:
                    run.ended = True
                    yield run
                file += is_end
                run, (end, is_end) = None, next(ends)
            if run and run.name != name:
                yield run
                run = None
            run = run or Run(name, [], file=file)
            run.starts.append(start)
        if run:
            yield run


def find_alphas(text: bytes) -> Alphas:
    """Find them in a PDB file that begins and ends with a line end."""
    starts, lengths = atom_lines(text)
    letters = np.frombuffer(text, np.uint8)
    atoms = cells(letters, starts, 12, 16).view(np.uint32)[:, 0]
    is_alpha = atoms == _CA
    if not is_alpha.any():  # a program that sets names to the left
        is_alpha = (atoms == _CA_LEFT) & (cells(letters, starts, 17, 20) != _ION).any(axis=1)
    starts_A, lengths_A = starts[is_alpha], lengths[is_alpha]
    names_A = letters[starts_A + 20] * np.uint16(256) + letters[starts_A + 21]
    keys = cells(letters, starts_A, 19, 27)  # chain, number and insertion code, and before them
    keys[:, 0] = letters[starts_A + 16]  # the location
    return Alphas(
        starts_A,
        keys.view(np.uint64)[:, 0],
        names_A,
        _segments(text, starts_A, lengths_A) if (names_A == _NO_NAME).any() else [],
        [(match.start(), match[1] is not None) for match in _END.finditer(text)],
        bool((letters[starts + 16] != ord(" ")).any()),
    )


def _segments(text: bytes, starts_A: np.ndarray, lengths_A: np.ndarray) -> list[bytes]:
    """The segment of each atom whose chain's column is blank; nothing if there are not several."""
    segments = []
    for start, length in zip(starts_A.tolist(), lengths_A.tolist(), strict=True):
        line = text[start : start + min(length, _SEGMENT.stop)]
        segments.append(line[_SEGMENT].strip() if line[20:22] == _BLANK else b"")
    found = set(segments) - {b""}
    return segments if len(found) > 1 and not any(b"." in segment for segment in found) else []
