"""Maps of jobs/prob_maps.py as the input of another job, read in place."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data.location import Location
from protray.data.parquet import naming, read_batches
from protray.inference.secondary.many import StoredMap
from protray.seq.alphabet import N_AA

COLUMNS = ["sequence", "prob_map", "lm_hidden"]
AT_ONCE = 16  # maps in memory


class Place(NamedTuple):
    """Where a map is: a file, a row group in it, and a row in that."""

    file: str
    group: int
    row: int


def places(maps: Location) -> dict[str, Place]:
    """Where the map of each id is, by the column of ids alone; about 250 bytes of memory for each."""
    found: dict[str, Place] = {}
    for file in (maps / "maps").files("*.parquet"):
        with naming(file, "compute the maps again"), file.open() as opened:
            groups = pq.read_metadata(opened).num_row_groups
        for group in range(groups):
            ids = (id for batch in read_batches(file, ["id"], 1 << 16, [group]) for id in batch["id"].to_pylist())
            found |= {id: Place(str(file), group, row) for row, id in enumerate(ids)}
    return found


class MapReader:
    """Reads maps at their places; quick where these come in order."""

    def __init__(self) -> None:
        self.group: tuple[str, int] | None = None
        self.first, self.batch = 0, pa.RecordBatch.from_pylist([])
        self.batches: Iterator[pa.RecordBatch] = iter(())

    def __call__(self, place: Place) -> StoredMap:
        group, self.group = self.group, None  # after an error all is opened anew
        if group != place[:2] or place.row < self.first:
            self.first = 0
            self.batches = read_batches(place.file, COLUMNS, AT_ONCE, [place.group])
            self.batch = next(self.batches)
        while place.row >= self.first + self.batch.num_rows:
            self.first += self.batch.num_rows
            self.batch = next(self.batches)
        self.group = place[:2]
        sequence, prob_map, hidden = (self.batch[name][place.row - self.first] for name in COLUMNS)
        length = len(sequence.as_py())
        return StoredMap(
            sequence.as_py(),
            _numbers(prob_map).reshape(length, N_AA),
            _numbers(hidden).reshape(length, -1) if hidden.is_valid else None,
        )


def _numbers(cell: pa.LargeListScalar) -> np.ndarray:
    return cell.values.to_numpy(zero_copy_only=False).astype(np.float32)
