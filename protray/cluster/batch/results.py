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
from protray.data.parquet import AGAIN, WRITING, read_parquet

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
        return json.loads((pq.read_schema(file).metadata or {})[FACTS])


def to_try_alone(parts: list[Part]) -> list[tuple[Piece, str]]:
    """Pieces that their items could not do, and that were not tried alone yet, with the reason."""
    tried = {part.name for part in parts if part.kind != "item"}
    found = [again for part in parts if part.kind == "item" for again in facts_of(part)["again"]]
    return [(Piece(**piece), reason) for piece, reason in found if name_of(Piece(**piece)) not in tried]


def names_in(parts: list[Part], columns: tuple[str, ...]) -> pa.Table:
    """Some columns of all rows, with `number` and `start`."""
    wanted = ["number", "start", *columns]
    with_rows = [part for part in parts if part.kind != "lost"]
    return pa.concat_tables(read_parquet(part.file, wanted, AGAIN).replace_schema_metadata(None) for part in with_rows)


def groups_of(parts: list[Part], most: int = FILE_BYTES) -> list[list[Part]]:
    """Consecutive parts that make one file; the pieces of a row stay together."""
    groups: list[list[Part]] = []
    size = 0
    for part in parts:
        own = part.file.size()
        if not groups or (size + own > most and _begins_a_row(part, groups[-1])):
            groups.append([])
            size = 0
        groups[-1].append(part)
        size += own
    return groups


def write_group(job: BatchJob, run: Any, parts: list[Part], settled: Location | None, out: Location) -> dict:
    """Write one finished file, a few parts in memory at a time; returns what became of its rows."""
    schema, content = job.schema(run), 0
    rows, rejected, left_out, counts = 0, [], [], Counter[str]()
    with out.writing() as partial, pq.ParquetWriter(partial, schema, **WRITING) as writer:
        for some in _whole_rows(parts):
            with_rows = [part for part in some if part.kind != "lost"]
            table = _finished(job, with_rows, settled) if with_rows else schema.empty_table()
            table = table.select(schema.names).cast(schema)
            writer.write_table(table)
            rows += table.num_rows
            for facts in map(facts_of, some):
                rejected += facts["rejected"]
                left_out += facts["left_out"]
                rejected += [_given_up(piece, reason) for piece, reason in facts["again"] if some[0].kind != "item"]
                counts.update(facts["counts"])
            if settled:
                for row in table.to_pylist():
                    text = repr(list(row.values())).encode(errors="surrogateescape")
                    content += int.from_bytes(hashlib.sha256(text).digest()[:16], "little")  # in any order
    return {"rows": rows, "digest": content, "rejected": rejected, "left_out": left_out, "counts": dict(counts)}


def _finished(job: BatchJob, parts: list[Part], settled: Location | None) -> pa.Table:
    """The rows of some parts in order, whole, with the columns that were settled, if they stay."""
    tables = [read_parquet(part.file, remedy=AGAIN).replace_schema_metadata(None) for part in parts]
    table = pa.concat_tables(tables).sort_by([("number", "ascending"), ("start", "ascending")])
    table = job.merge(table) if job.merge else table
    if settled is None:
        return table
    last = max((number for number in table["number"].to_pylist()), default=-1)
    with settled.open() as file:
        columns = pq.read_table(file, filters=[("number", ">=", parts[0].first), ("number", "<=", last)])
    added = {(row.pop("number"), row.pop("start")): row for row in columns.to_pylist()}
    keys = list(zip(table["number"].to_pylist(), table["start"].to_pylist(), strict=True))
    table = table.filter(pa.array([key in added for key in keys], pa.bool_()))
    kept = [added[key] for key in keys if key in added]
    for name in columns.column_names[2:]:
        values = pa.array([row[name] for row in kept], columns.schema.field(name).type)
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, values) if position >= 0 else table.append_column(name, values)
    return table


def _whole_rows(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Parts, together where a row has pieces in several."""
    held: list[Part] = []
    for part in parts:
        if held and _begins_a_row(part, held):
            yield held
            held = []
        held.append(part)
    if held:
        yield held


def _begins_a_row(part: Part, before: list[Part]) -> bool:
    """Whether no row has pieces both in this part and in those before it; of an item, single pieces may have moved."""
    return part.kind == "item" and part.start == 0


def _given_up(piece: dict, reason: str) -> dict:
    row = piece["row"]
    return {"id": row.get("id"), "file": row.get("file") or "", "line": row.get("line"), "reason": reason}
