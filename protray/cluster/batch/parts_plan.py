"""How long the two passes over parts take (`protray.cluster.batch.parts`), and the clustering between them."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.parts import finish_part, part_file
from protray.cluster.health.estimate import EnoughError, Line, Process, Ticks, Trials, seconds_for, tasks_stage
from protray.data.sample import SAMPLE
from protray.data.splits import relatives

PIECE = 4  # files of a part that is timed
QUERIES, TARGETS = 24, 600  # of the bundled sample, which stand in for sequences that are not known yet
LEAVES_OUT = "starting Ray and its processes (about 10 s on a free machine), listing the files, the summary"


@dataclass(frozen=True)
class Parsed:
    """What came of some files: seconds of both passes, and the residues of each row; `work` is their bytes."""

    work: float
    parse_s: float
    finish_s: float
    files: int
    lengths: tuple[int, ...]


def parts_lines(
    trials: Trials, found: list[Parsed], unit: str, sizes: Sequence[int], done: int, part_rows: int, clusters: bool,
    about: bool = False,
) -> list[Line]:  # fmt: skip
    """Three lines: parse, cluster and write.

    `sizes` are the bytes of all files, `done` the parts of `part_rows` files that are parsed.
    """
    n_parts = -(-len(sizes) // part_rows)
    parse, write = (tasks_stage(name, trials.cluster, max(1, n_parts)) for name in ("parse", "write"))
    left = float(sum(sizes[done * part_rows :]))  # parts are done in about their order
    total, work = float(sum(sizes)), sum(one.work for one in found)
    rate = {
        name: work / max(sum(getattr(one, name) for one in found), 1e-9) if work else None
        for name in ("parse_s", "finish_s")
    }
    lengths, files = [length for one in found for length in one.lengths], sum(one.files for one in found)
    rows, residues = (count * len(sizes) / max(files, 1) for count in (len(lengths), sum(lengths)))
    lines = [
        Line(
            name="parse", unit=unit, rows=len(sizes), done=min(done * part_rows, len(sizes)), stage=parse,
            parts=f"{done} of {n_parts} parts" if done else "", about=about,
            seconds=seconds_for(left, rate["parse_s"], parse.workers),
        )
    ]  # fmt: skip
    if clusters:
        seconds = clustering_seconds(rows, residues) if work else None
        lines.append(Line(name="cluster", unit="sequences", rows=rows, about=True, seconds=seconds))
    seconds = seconds_for(total, rate["finish_s"], write.workers)
    return [*lines, Line(name="write", unit="rows", rows=rows, about=True, seconds=seconds, stage=write)]


def time_parts(
    process: Process,
    parse: Callable[..., None],
    items: list[dict],
    sizes: list[int],
    schema: pa.Schema,
    **shared: object,
) -> Parsed:
    """Parse some files in a folder of their own, then give the rows a cluster and a split."""
    mine = list(zip(items, sizes, strict=True))[process.rank :: min(process.of, len(items))]
    pieces = [mine[start : start + PIECE] for start in range(0, len(mine), PIECE)]
    with tempfile.TemporaryDirectory() as name:
        folder, ticks = Path(name), Ticks(process.seconds)
        with suppress(EnoughError):
            for number, piece in enumerate(pieces):
                parse({"part": number, "items": [item for item, _ in piece]}, folder=folder, **shared)
                ticks.tick()
        n_parts = len(ticks.seconds)
        first = 1 if n_parts > 1 else 0  # that of the imports does not count
        begun, lengths = time.monotonic(), []
        (folder / "final").mkdir()
        for number in range(first, n_parts):
            table = pq.read_table(part_file(folder, number), columns=["sequence"])
            lengths += map(len, table["sequence"].to_pylist())
            columns = {name: ["train"] * len(table) for name in ("cluster", "split")}
            finish_part({"part": number, "columns": columns}, folder, folder / "final", schema)
        work = sum(size for piece in pieces[first:n_parts] for _, size in piece)
        files = sum(map(len, pieces[first:n_parts]))
        return Parsed(work, ticks.timed.seconds, time.monotonic() - begun, files, tuple(lengths))


def clustering_seconds(sequences: float, residues: float) -> float:
    """Time of `cluster_by_identity` here: a model for each sequence, and all of them against all."""
    table = pq.read_table(SAMPLE, columns=["id", "sequence"])
    known = dict(zip(table["id"].to_pylist(), table["sequence"].to_pylist(), strict=True))
    ids, cpus = sorted(known)[:: len(known) // TARGETS][:TARGETS], os.cpu_count() or 1
    queries = {f"query {id}": known[id][:-1] for id in ids[:: TARGETS // QUERIES]}  # none equal to a target
    few = {id: known[id] for id in ids[:2]}
    models = _seconds(lambda: relatives(few, queries, 0.25, cpus))
    pairs = max(0.0, _seconds(lambda: relatives({id: known[id] for id in ids}, queries, 0.25, cpus)) - models)
    asked, searched = (sum(map(len, group.values())) for group in (queries, {id: known[id] for id in ids}))
    return models * residues / asked + pairs * residues**2 / (asked * searched)


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
