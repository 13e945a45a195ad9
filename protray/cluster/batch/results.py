"""From parts to the finished table: what is there, what is missing, and the files that users read.

``OUT/TABLE/part-*.parquet``      the finished rows, in the order of the input

In ``OUT/work``:

``parts/KIND-ROW-START.parquet``  what an actor wrote (`Part.kind`), with what became of the other rows
``settled.parquet``               what was found out of all rows together, such as clusters and splits
"""

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.job import BatchJob, Span
from protray.cluster.batch.worker import FACTS
from protray.data.location import Location
from protray.data.parquet import AGAIN, naming, read_parquet, writing

FILE_BYTES = 1 << 30  # of parts, packed, that make one finished file


@dataclass(frozen=True)
class Part:
    """One file of parts.

    item: a work item, all of whose spans are dealt with; partly: one of which some are to be tried alone; alone: a
    span that was; lost: a span that is given up, such as one whose process died each time.
    """

    file: Location
    kind: str
    name: str  # of the item, or the span: number and start of its first span
    bytes: int

    @property
    def of_item(self) -> bool:
        return self.kind in ("item", "partly")

    @property
    def first(self) -> int:
        return int(self.name.partition("-")[0])

    @property
    def start(self) -> int:
        return int(self.name.partition("-")[2])


def parts_in(work: Location) -> list[Part]:
    """All parts, in the order of the input."""
    sizes = (work / "parts").sizes("*-*-*.parquet")
    words = {file: file.name.removesuffix(".parquet").partition("-") for file in sizes}
    found = [Part(file, words[file][0], words[file][2], size) for file, size in sizes.items()]
    whole = {part.name for part in found if part.kind == "item"}  # may be there partly, too, if it was computed twice
    return sorted(
        (part for part in found if part.kind != "partly" or part.name not in whole),
        key=lambda part: (part.name, not part.of_item),
    )


def without_part(names: Iterable[str], parts: Iterable[Part]) -> set[str]:
    """Items to be computed: those that have no part, and of which no span was tried alone."""
    order = sorted(names)
    left = set(order)
    for part in parts:
        if part.of_item:
            left.discard(part.name)
        elif at := bisect_right(order, part.name):
            left.discard(order[at - 1])
    return left


def to_try_alone(parts: list[Part]) -> Iterator[Span]:
    """Spans that their items could not do."""
    for part in parts:
        if part.kind == "partly":
            yield from (Span(**span) for span, _ in _facts(part)["again"])


def names_in(parts: list[Part], columns: tuple[str, ...]) -> pa.Table:
    """Some columns of all rows, with `number` and `start`."""
    wanted = ["number", "start", *columns]
    tables = (read_parquet(part.file, remedy=AGAIN, columns=wanted) for part in parts if part.kind != "lost")
    found = [table.replace_schema_metadata(None) for table in tables if table.num_rows]
    return pa.concat_tables(found) if found else pa.table({name: pa.array([]) for name in wanted})


def groups_of(parts: Sequence[Part], most: int = FILE_BYTES) -> list[list[Part]]:
    """Consecutive parts that make one file; the spans of a row stay together."""
    groups: list[list[Part]] = []
    size = 0
    for part in parts:
        if not groups or (size + part.bytes > most and _begins_a_row(part)):
            groups.append([])
            size = 0
        groups[-1].append(part)
        size += part.bytes
    return groups


def write_group(job: BatchJob, run: Any, parts: list[Part], settled: Location | None, out: Location) -> dict:
    """Write one finished file, a few parts in memory at a time; returns what became of its rows."""
    schema, content = job.schema(run), 0
    rows, rejected, left_out, counts = 0, [], [], Counter[str]()
    with out.writing() as partial, pq.ParquetWriter(partial, schema, **writing(schema)) as writer:
        for some in _sorted_together(parts, job.merge is not None):
            for part in some:
                facts = _facts(part)
                rejected += facts["rejected"]
                left_out += facts["left_out"]
                rejected += [_given_up(span, why) for span, why in facts["again"] if part.kind == "lost"]
                counts.update(facts["counts"])
            for found in _in_order(job, some):
                table = _finished(job, found, settled).select(schema.names).cast(schema)
                writer.write_table(table)
                rows += table.num_rows
                content += _digest_of(table) if settled else 0
    return {"rows": rows, "digest": content, "rejected": rejected, "left_out": left_out, "counts": dict(counts)}


def _in_order(job: BatchJob, parts: list[Part]) -> Iterator[pa.Table]:
    """The rows of some parts in order: of one part as they were written, of several, and of spans, all at once."""
    if job.merge is None and len(parts) == 1:
        with naming(parts[0].file, AGAIN), parts[0].file.open() as file:
            opened = pq.ParquetFile(file, page_checksum_verification=True)
            for group in range(opened.num_row_groups):
                yield opened.read_row_group(group).replace_schema_metadata(None)
        return
    tables = [read_parquet(part.file, remedy=AGAIN).replace_schema_metadata(None) for part in parts]
    if tables := [table for table in tables if table.num_rows]:
        table = pa.concat_tables(tables).sort_by([("number", "ascending"), ("start", "ascending")])
        yield job.merge(table) if job.merge else table


def _finished(job: BatchJob, table: pa.Table, settled: Location | None) -> pa.Table:
    """The rows that stay, with the columns that were settled."""
    table = _settled(table, settled) if settled else table
    return job.finish(table) if job.finish else table


def _digest_of(table: pa.Table) -> int:
    """Sum of the hashes of the rows: the same in any order."""
    total = 0
    for row in zip(*table.columns, strict=True):
        content = hashlib.sha256()
        for cell in row:
            numbers = cell.values if isinstance(cell, pa.ListScalar) else None
            if numbers is not None and pa.types.is_primitive(numbers.type):
                content.update(numbers.to_numpy(zero_copy_only=False).tobytes() + b"\n")
            else:
                content.update(repr(cell.as_py()).encode(errors="surrogateescape") + b"\n")
        total += int.from_bytes(content.digest()[:16], "little")
    return total


def _settled(table: pa.Table, settled: Location) -> pa.Table:
    numbers = table["number"].to_pylist() or [-1]
    with settled.open() as file:
        columns = pq.read_table(file, filters=[("number", ">=", min(numbers)), ("number", "<=", max(numbers))])
    added = {(row.pop("number"), row.pop("start")): row for row in columns.to_pylist()}
    keys = list(zip(table["number"].to_pylist(), table["start"].to_pylist(), strict=True))
    table = table.filter(pa.array([key in added for key in keys], pa.bool_()))
    kept = [added[key] for key in keys if key in added]
    for name in columns.column_names[2:]:
        values = pa.array([row[name] for row in kept], columns.schema.field(name).type)
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, values) if position >= 0 else table.append_column(name, values)
    return table


def _sorted_together(parts: Iterable[Part], merged: bool) -> Iterator[list[Part]]:
    """Parts, together where single spans belong to the item before, or the spans of a row are merged."""
    held: list[Part] = []
    for part in parts:
        if held and (_begins_a_row(part) if merged else part.of_item):
            yield held
            held = []
        held.append(part)
    if held:
        yield held


def _begins_a_row(part: Part) -> bool:
    """Whether no row has spans both in this part and in those before it; single spans belong to the item before."""
    return part.of_item and part.start == 0


def _facts(part: Part) -> dict:
    """Rejects, spans to try again, and counts of a part."""
    with part.file.open() as file:
        return json.loads((pq.read_schema(file).metadata or {})[FACTS])


def _given_up(span: dict, reason: str) -> dict:
    row = span["row"]
    return {"id": row.get("id"), "file": row.get("file") or "", "line": row.get("line"), "reason": reason}
