"""FASTA files -> parts of an encoded corpus, streamed: of any input no more than one part is in memory.

``train-NAME-P.*.npy`` and ``held-out-NAME-P.*.npy`` are parts P (`corpus.Part`) of files that were encoded together.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from protray.plm.pretraining.corpus import MIN_LENGTH, Part, pack, read_codes, why_unusable
from protray.seq.alphabet import UNKNOWN
from protray.seq.fasta import FOREIGN, open_text
from protray.seq.files.packed import read_lines
from protray.seq.keyed import key

PART_RESIDUES = 64_000_000  # bytes of a part in memory while it is filled
EXCLUDED = "excluded by its id"
SPLITS: tuple[str, str] = ("train", "held-out")


@dataclass(frozen=True)
class IdTable:
    """A set of ids with one bit each, as sorted 64-bit numbers: 8 bytes an id, so that 10^8 can be looked up.

    Two of 10^8 ids share a hash with probability 0.0005.
    """

    entries_M: np.ndarray  # uint64: twice the 63-bit hash of the id, plus its bit

    @classmethod
    def make(cls, entries: Iterable[tuple[str, bool]]) -> "IdTable":
        hashes = ((key(spelled) << 1) | bit for name, bit in entries for spelled in spellings(name))
        return cls(np.unique(np.fromiter(hashes, dtype=np.uint64)))

    def get(self, name: str) -> bool | None:
        """The bit of an id, None if it is not there in any of its `spellings`."""
        for spelled in spellings(name):
            wanted = np.uint64(key(spelled) << 1)
            place = int(np.searchsorted(self.entries_M, wanted))
            if place < len(self.entries_M) and self.entries_M[place] >> np.uint64(1) == wanted >> np.uint64(1):
                return bool(self.entries_M[place] & np.uint64(1))
        return None


def spellings(name: str) -> tuple[str, ...]:
    """An id; UniProt's ``sp|P12345|NAME`` is also ``P12345``, which is what MMseqs2 makes of it."""
    fields = name.split("|")
    return (name, fields[1]) if fields[0] in ("sp", "tr") and len(fields) == 3 else (name,)


def read_ids(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the words of a text file of ids."""
    for line in read_lines(path):
        yield from ((name, False) for name in line.split())


def draw_clusters(path: Path, share: float, seed: int) -> Iterator[tuple[str, bool]]:
    """Yield (member, held out?) of MMseqs2's ``representative<TAB>member`` table; whole clusters are held out.

    Each is drawn with probability `share` by a hash of (seed, representative): the table may grow.
    """
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            fields = line.lstrip(FOREIGN).rstrip("\n").split("\t")  # without a byte-order mark
            if len(fields) != 2 or not all(fields):
                found = line.rstrip()[:60]
                raise ValueError(f"{path}, line {number}: expected representative<TAB>member, found {found!r}")
            representative, member = fields
            yield member, key("held out", seed, representative) < share * 2**63


@dataclass(frozen=True, kw_only=True)
class Sieve:
    """What goes where."""

    min_length: int = MIN_LENGTH
    excluded: IdTable | None = None
    clusters: IdTable | None = None  # bit: held out

    def place(self, name: str, codes_L: np.ndarray) -> str:
        """``train``, ``held-out``, or the reason to leave a sequence out."""
        reason = why_unusable(codes_L, self.min_length)
        if reason:
            return reason
        if self.excluded and self.excluded.get(name) is not None:
            return EXCLUDED
        if not self.clusters:
            return "train"
        held_out = self.clusters.get(name)
        return "its id is not in the table of clusters" if held_out is None else SPLITS[held_out]


@dataclass
class _Shelf:
    """Sequences of one split on their way to disk."""

    save: Callable[[Part, str], None]
    prefix: str
    names: list[str] = field(default_factory=list)
    codes: list[np.ndarray] = field(default_factory=list)
    residues: int = 0
    parts: list[str] = field(default_factory=list)

    def add(self, name: str, codes_L: np.ndarray) -> None:
        self.names.append(name)
        self.codes.append(codes_L)
        self.residues += codes_L.size
        if self.residues >= PART_RESIDUES:
            self.flush()

    def flush(self) -> None:
        if self.names:
            self.parts.append(f"{self.prefix}-{len(self.parts):05d}")
            self.save(pack(self.names, self.codes), self.parts[-1])
            self.names, self.codes, self.residues = [], [], 0


def encode_files(paths: Iterable[Path], save: Callable[[Part, str], None], name: str, sieve: Sieve) -> dict:
    """Stream FASTA files into parts that `save(part, its name)` keeps; returns what went where, as plain JSON.

    Raises InputError for a file that cannot be read to its end.
    """
    shelves = {split: _Shelf(save, f"{split}-{name}") for split in SPLITS}
    sequences, residues = dict.fromkeys(SPLITS, 0), dict.fromkeys(SPLITS, 0)
    left_out: Counter[str] = Counter()
    first: dict[str, str] = {}
    counts_A = np.zeros(UNKNOWN + 1, dtype=np.int64)
    for path in paths:
        for id, codes_L in read_codes([path]):
            where = sieve.place(id, codes_L)
            if where not in shelves:
                left_out[where] += 1
                first.setdefault(where, f"{id} in {path}")
                continue
            shelves[where].add(id, codes_L)
            sequences[where] += 1
            residues[where] += codes_L.size
            if where == "train":
                counts_A += np.bincount(codes_L, minlength=UNKNOWN + 1)
    for shelf in shelves.values():
        shelf.flush()
    return {
        "parts": {split: shelf.parts for split, shelf in shelves.items()},
        "sequences": sequences,
        "residues": residues,
        "left_out": dict(left_out),
        "first_left_out": first,
        "amino_acids": counts_A.tolist(),  # of the training sequences, in the order of `AMINO_ACIDS`, then X
    }


def add_up(found: Iterable[dict]) -> dict:
    """One summary of several of `encode_files`, in their order."""
    total: dict = {"parts": {split: [] for split in SPLITS}, "first_left_out": {}}
    counted = {name: Counter() for name in ("sequences", "residues", "left_out")}
    counts_A = np.zeros(UNKNOWN + 1, dtype=np.int64)
    for one in found:
        for split in SPLITS:
            total["parts"][split] += one["parts"][split]
        for name, counter in counted.items():
            counter.update(one[name])
        total["first_left_out"] = one["first_left_out"] | total["first_left_out"]
        counts_A += np.array(one["amino_acids"])
    return total | {name: dict(counter) for name, counter in counted.items()} | {"amino_acids": counts_A.tolist()}
