"""From parts to the finished table: what is there, what is missing, and the files that users read.

``OUT/work/parts/KIND-ROW-START.parquet``  what an actor wrote: of an ``item`` of many pieces, or of a piece that was
                                           tried ``alone``; or that a piece is ``lost``, whose process died each time
``OUT/work/settled.parquet``               what was found out of all rows together, such as clusters and splits
``OUT/TABLE/part-*.parquet``               the finished rows, in the order of the input
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.job import BatchJob, Piece
from protray.cluster.batch.worker import FACTS
from protray.data.location import Location
from protray.data.parquet import AGAIN, naming, read_parquet, writing

FILE_BYTES = 1 << 30  # of parts, packed, that make one finished file


@dataclass(frozen=True)
class Part:
    """One file of parts."""

    file: Location
    kind: str
    name: str  # of the item, or the piece: number and start of its first piece

    @property
    def first(self) -> int:
        return int(self.name.partition("-")[0])

    @property
    def start(self) -> int:
        return int(self.name.partition("-")[2])


def parts_in(work: Location) -> list[Part]:
    """All parts, in the order of the input."""
    files = (work / "parts").files("*-*-*.parquet")
    found = [Part(file, *file.name.removesuffix(".parquet").split("-", 1)) for file in files]
    return sorted(found, key=lambda part: (part.name, part.kind))


def name_of(piece: Piece) -> str:
    return f"{piece.number:010d}-{piece.start:08d}"


def facts_of(part: Part) -> dict:
    """Rejects, pieces to try again, and counts of a part."""
    with part.file.open() as file:
        return json.loads(pq.read_metadata(file).metadata[FACTS.encode()])


def to_try_alone(parts: list[Part]) -> list[tuple[Piece, str]]:
    """Pieces that their items could not do, and that were not tried alone yet, with the reason."""
    tried = {part.name for part in parts if part.kind != "item"}
    found = [again for part in parts if part.kind == "item" for again in facts_of(part)["again"]]
    return [(Piece(**piece), reason) for piece, reason in found if name_of(Piece(**piece)) not in tried]


def names_in(parts: list[Part], columns: tuple[str, ...]) -> pa.Table:
    """Some columns of all rows, with `number` and `start`."""
    wanted = ["number", "start", *columns]
    return pa.concat_tables(read_parquet(part.file, wanted, AGAIN).replace_schema_metadata(None) for part in parts)


def groups_of(parts: list[Part], most: int = FILE_BYTES) -> list[list[Part]]:
    """Consecutive parts that make one file; the pieces of a row stay together, and so do those that have moved."""
    groups: list[list[Part]] = []
    size = 0
    for part in parts:
        own = part.file.size()
        if not groups or (size + own > most and part.kind == "item" and not part.start):
            groups.append([])
            size = 0
        groups[-1].append(part)
        size += own
    return groups


def write_group(job: BatchJob, run: Any, parts: list[Part], settled: Location | None, out: Location) -> dict:
    """Write one finished file, a few parts in memory at a time; returns what became of its rows."""
    schema, content = job.schema(run), 0
    rows, rejected, counts = 0, [], Counter[str]()
    with out.writing() as partial, pq.ParquetWriter(partial, schema, **writing(schema)) as writer:
        for some in _sorted_together(parts, job.merge is not None):
            for found in _in_order(job, some):
                table = _finished(job, found, settled).select(schema.names).cast(schema)
                writer.write_table(table)
                rows += table.num_rows
                content += _digest_of(table) if settled else 0
            for facts in map(facts_of, some):
                rejected += facts["rejected"]
                rejected += [_given_up(piece, reason) for piece, reason in facts["again"] if some[0].kind != "item"]
                counts.update(facts["counts"])
    return {"rows": rows, "digest": content, "rejected": rejected, "counts": dict(counts)}


def _digest_of(table: pa.Table) -> int:
    """Sum of the hashes of the rows: the same in any order."""
    total = 0
    for row in zip(*table.columns, strict=True):
        content = hashlib.sha256()
        for cell in row:
            flat = cell.values if isinstance(cell, pa.ListScalar | pa.LargeListScalar) and cell.is_valid else None
            numbers = flat is not None and (pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type))
            plain = flat.to_numpy(zero_copy_only=False).tobytes() if numbers else repr(cell.as_py()).encode(errors="replace")
            content.update(plain + b"\0")
        total += int.from_bytes(content.digest()[:16], "little")
    return total


def _in_order(job: BatchJob, parts: list[Part]) -> Iterator[pa.Table]:
    """The rows of some parts in order: of one part as they were written, of several, and of pieces, all at once."""
    if job.merge is None and len(parts) == 1:
        with naming(parts[0].file, AGAIN), parts[0].file.open() as file:
            opened = pq.ParquetFile(file, page_checksum_verification=True)
            for group in range(opened.num_row_groups):
                yield opened.read_row_group(group).replace_schema_metadata(None)
        return
    tables = [read_parquet(part.file, remedy=AGAIN).replace_schema_metadata(None) for part in parts]
    table = pa.concat_tables(tables).sort_by([("number", "ascending"), ("start", "ascending")])
    yield job.merge(table) if job.merge else table


def _finished(job: BatchJob, table: pa.Table, settled: Location | None) -> pa.Table:
    """The rows that stay, with the columns that were settled."""
    table = _settled(table, settled) if settled else table
    return job.finish(table) if job.finish else table


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
    """Parts, together where single pieces have moved, or where the pieces of a row are merged."""
    held: list[Part] = []
    for part in parts:
        if held and part.kind == "item" and not (merged and part.start):
            yield held
            held = []
        held.append(part)
    if held:
        yield held


def _given_up(piece: dict, reason: str) -> dict:
    row = piece["row"]
    return {"id": row.get("id"), "file": row.get("file") or "", "line": row.get("line"), "reason": reason}
