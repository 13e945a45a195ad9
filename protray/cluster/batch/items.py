"""Work items: rows of the input, cut into lists of about equal cost, in files that any number of actors work off.

``OUT/work/items/*.parquet``   one row per item: its spans, what they cost, and its name
``OUT/work/input.json``        how many rows there are, and what they cost; written last
``OUT/work/unusable.parquet``  what could be seen to be unusable while the input was read
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.job import BatchJob, Row, Span
from protray.cluster.storage.rejects import rejected_table
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


def item_schema(source: pa.StructType) -> pa.Schema:
    span = pa.struct([("number", pa.int64()), ("start", pa.int32()), ("stop", pa.int32()), ("row", source)])
    return pa.schema([("name", pa.string()), ("cost", pa.float64()), ("spans", pa.list_(span))])


def table_of(items: Iterable[Item], source: pa.StructType) -> pa.Table:
    return pa.Table.from_pylist(
        [{"name": item.name, "cost": item.cost, "spans": [vars(span) for span in item.spans]} for item in items],
        schema=item_schema(source),
    )


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
    with ExitStack() as stack:
        rejects = _Writer(stack, run.work / "unusable.parquet", schemas.REJECTED)
        unusable: list[InputError] = []

        def usable() -> Iterator[tuple[int, Row]]:
            for found in job.rows(run):
                if isinstance(found, InputError):
                    unusable.append(found)
                    counts["unusable"] += 1
                    if len(unusable) == REJECTS_AT_ONCE:
                        rejects.write(rejected_table(unusable))
                        unusable.clear()
                else:
                    counts["rows"] += 1
                    yield counts["rows"] - 1, found

        held: list[Item] = []
        file_stack, writer, in_file = ExitStack(), None, 0

        def flush() -> None:
            nonlocal writer, in_file, held
            if held:
                path = folder / f"items-{counts['items']:08d}.parquet"
                writer = writer or _Writer(file_stack, path, item_schema(job.source))
                writer.write(table_of(held, job.source))
                in_file += sum(len(item.spans) for item in held)
                counts["items"] += len(held)
                counts["cost"] += sum(item.cost for item in held)
            held = []
            if in_file >= ROWS_IN_FILE:
                file_stack.close()
                writer, in_file = None, 0

        with file_stack:
            for item in cut(job, run, usable(), seconds):
                held.append(item)
                if len(held) == ITEMS_IN_GROUP:
                    flush()
            flush()
        rejects.write(rejected_table(unusable))
    (run.work / "input.json").write_json(counts)
    return counts


def costs_of_items(work: Location) -> dict[str, float]:
    """What each item costs, by its name."""
    tables = [read_parquet(file, ["name", "cost"], AGAIN) for file in (work / "items").files("*.parquet")]
    return {name: cost for table in tables for name, cost in zip(*table.to_pydict().values(), strict=True)}


class _Writer:
    """A Parquet file that tables are added to, which appears when its stack is closed without an error."""

    def __init__(self, stack: ExitStack, path: Location, schema: pa.Schema) -> None:
        partial: Path = stack.enter_context(path.writing())
        self.writer = stack.enter_context(pq.ParquetWriter(partial, schema, **WRITING))

    def write(self, table: pa.Table) -> None:
        self.writer.write_table(table)
