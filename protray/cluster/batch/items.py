"""Work items: rows of the input, cut into lists of about equal cost, in files that any number of actors work off.

In ``OUT/work``:

``items/*.parquet``   one row per item: its spans, what they cost, and its name
``input.json``        how many rows there are, and what they cost; written last
``unusable.parquet``  what could be seen to be unusable while the input was read
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.job import BatchJob, Row, Span
from protray.cluster.storage.rejects import rejected_row
from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import AGAIN, WRITING, read_parquet
from protray.seq.errors import InputError

ROWS_IN_FILE = 100_000  # rows of the input in one file of items
ITEMS_IN_GROUP = 64  # that are in the driver's memory
REJECTS_AT_ONCE = 10_000
MOST_ROWS = 4096  # of an item, however little they cost


@dataclass(frozen=True)
class Item:
    """Spans that one actor gets together."""

    spans: tuple[Span, ...]
    cost: float

    @property
    def name(self) -> str:
        """That of its first span."""
        return self.spans[0].name

    @property
    def record(self) -> dict:
        """As it is stored."""
        return {"name": self.name, "cost": self.cost, "spans": [vars(span) for span in self.spans]}


def item_schema(source: pa.StructType) -> pa.Schema:
    span = pa.struct([("number", pa.int64()), ("start", pa.int32()), ("stop", pa.int32()), ("row", source)])
    return pa.schema([("name", pa.string()), ("cost", pa.float64()), ("spans", pa.list_(span))])


def table_of(items: Iterable[Item], source: pa.StructType) -> pa.Table:
    return pa.Table.from_pylist([item.record for item in items], schema=item_schema(source))


def spans_in(table: pa.Table, at: int = 0) -> list[Span]:
    """The spans of one item."""
    return [Span(**span) for span in table["spans"][at].as_py()]


def cut(job: BatchJob, run: Any, rows: Iterable[tuple[int, Row]], seconds: float) -> Iterator[Item]:
    """Pack numbered rows into items of about `seconds` of one core, and cut those that cost more."""
    held: list[Span] = []
    total = 0.0
    for number, row in rows:
        cost = job.cost(run, row)
        bounds = job.cut(run, row, seconds) if job.cut and cost > seconds else [(0, 0)]
        each = cost / len(bounds)
        for start, stop in bounds:
            if held and (total + each > seconds or len(held) == MOST_ROWS):
                yield Item(tuple(held), total)
                held, total = [], 0.0
            held.append(Span(number, row, start, stop))
            total += each
    if held:
        yield Item(tuple(held), total)


def stage(job: BatchJob, run: Any, seconds: float) -> dict:
    """Read the input once, and write its items; returns the content of ``input.json``.  Memory holds a few items."""
    folder = run.work / "items"
    folder.remove()
    counts = {"rows": 0, "items": 0, "cost": 0.0, "unusable": 0, "seconds": seconds}
    with _adding(run.work / "unusable.parquet", schemas.REJECTED, REJECTS_AT_ONCE) as reject:

        def usable() -> Iterator[tuple[int, Row]]:
            for found in job.rows(run):
                if isinstance(found, InputError):
                    counts["unusable"] += 1
                    reject(rejected_row(found))
                else:
                    counts["rows"] += 1
                    yield counts["rows"] - 1, found

        items = cut(job, run, usable(), seconds)
        for first in items:
            path, in_file = folder / f"items-{counts['items']:08d}.parquet", 0
            with _adding(path, item_schema(job.source), ITEMS_IN_GROUP) as add:
                for item in itertools.chain([first], items):
                    add(item.record)
                    counts["items"] += 1
                    counts["cost"] += item.cost
                    in_file += len(item.spans)
                    if in_file >= ROWS_IN_FILE:
                        break
    (run.work / "input.json").write_json(counts)
    return counts


@contextmanager
def _adding(path: Location, schema: pa.Schema, at_once: int) -> Iterator[Callable[[dict], None]]:
    """A Parquet file that records are added to, `at_once` of them in memory; it appears when it is whole."""
    held: list[dict] = []
    with path.writing() as partial, pq.ParquetWriter(partial, schema, **WRITING) as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(held, schema=schema))
            held.clear()

        def add(record: dict) -> None:
            held.append(record)
            if len(held) == at_once:
                flush()

        yield add
        if held:
            flush()


def costs_of_items(work: Location) -> dict[str, float]:
    """What each item costs, by its name."""
    tables = [read_parquet(file, ["name", "cost"], AGAIN) for file in (work / "items").files("*.parquet")]
    return {name: cost for table in tables for name, cost in zip(*table.to_pydict().values(), strict=True)}
