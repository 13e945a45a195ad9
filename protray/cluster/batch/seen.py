"""Which ids came up before, of more proteins than a set of strings could hold."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from protray.cluster.batch.job import Row
from protray.seq.errors import InputError

AT_ONCE = 4096


class SeenIds:
    """Remembers ids as 64 bits each, in sorted arrays of which each is more than twice as long as the next.

    A Python set takes ten times as much.  Of 10^8 ids one is taken for another with a probability of 1 in 3,700.
    """

    def __init__(self) -> None:
        self.runs: list[np.ndarray] = []

    def add(self, ids: Iterable[str]) -> np.ndarray:
        """Say of each id whether it is new, also among those in front of it; bool."""
        digests = b"".join(hashlib.blake2b(id.encode(), digest_size=8).digest() for id in ids)
        keys = np.frombuffer(digests, np.uint64)
        fresh, first = np.unique(keys, return_index=True)
        for run in self.runs:
            place = np.searchsorted(run, fresh).clip(max=len(run) - 1)
            unknown = run[place] != fresh
            fresh, first = fresh[unknown], first[unknown]
        if len(fresh):
            self.runs.append(fresh)
        while len(self.runs) > 1 and len(self.runs[-2]) <= 2 * len(self.runs[-1]):
            merged = np.concatenate([self.runs.pop(), self.runs.pop()])
            merged.sort(kind="stable")
            self.runs.append(merged)
        new = np.zeros(len(keys), dtype=bool)
        new[first] = True
        return new


def first_of_each_id(rows: Iterable[Row | InputError]) -> Iterator[Row | InputError]:
    """Rows with an `id` of their own; in place of a later one with the same id an error."""
    seen, left = SeenIds(), iter(rows)
    while some := list(islice(left, AT_ONCE)):
        new = iter(seen.add(row["id"] for row in some if not isinstance(row, InputError)))
        for row in some:
            if isinstance(row, InputError) or next(new):
                yield row
            else:
                reason = f"id {row['id']!r} is also that of a protein before it, which is kept"
                yield InputError(row["file"], row["line"], reason, row["id"])
