"""A dataset made in two passes over parts: parse every input, then, once all are known, add clusters and splits.

``OUT/settings.json``          what the parts depend on
``OUT/parsed/part-*.parquet``  rows of one part, with what was counted in the schema's metadata; removed at the end
``OUT/FINAL/part-*.parquet``   the same rows with cluster and split
``OUT/dataset.json``           written last: its presence says that the dataset is complete

A part appears under its name only when it is complete, so that a killed run loses the parts in flight and starts again
at the others.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.tasks import run_tasks
from protray.cluster.health.doctor import check_shared
from protray.cluster.runtime.start import start_ray, stop_ray
from protray.cluster.storage import remote
from protray.cluster.storage.files import difference, rejected_table, write_table
from protray.data.parquet import AGAIN, is_whole, read_parquet
from protray.data.splits import SPLITS
from protray.seq.msa import InputError

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]  # stage, parts done, parts in all
_COUNTS = b"counts"


def run_with_progress(work: Callable[[Progress], dict], out: Path) -> dict:
    """Start Ray and do `work(report)`, which writes to `out`, under a progress bar with the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        tasks = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        cluster = start_ray()
        try:
            check_shared(cluster, out)
            return work(show)
        finally:
            stop_ray(cluster)


def stored_summary(out: Path, settings: dict) -> dict | None:
    """Return the summary of a complete dataset made with these settings, None where there is none.

    Raises
    ------
    ValueError
        When the folder holds a dataset, complete or not, of other settings or inputs: which, before and now.
    """
    stored, complete = out / "settings.json", out / "dataset.json"
    if stored.exists() and (changed := difference(json.loads(stored.read_text()), settings)):
        raise ValueError(f"{out} was made differently: {changed}. Choose another --out, or remove this one")
    return json.loads(complete.read_text()) | {"cached": True} if complete.exists() else None


def parse_parts(
    task: Callable[..., None], chunks: Sequence[list[dict]], folder: Path, report: Progress, **shared: Any
) -> None:
    """Call ``task({"part": p, "items": chunks[p]}, folder=folder, **shared)`` in Ray for every part that is missing."""
    missing = [part for part in range(len(chunks)) if not is_whole(part_file(folder, part))]
    pieces = [{"part": part, "items": chunks[part]} for part in missing]
    results = run_tasks(task, pieces, folder=folder, **shared)
    for done, _ in enumerate(results, start=len(chunks) - len(missing) + 1):
        report("parse", done, len(chunks))
    remote.pull(folder)


def write_part(
    folder: Path, part: int, rows: list[dict], errors: list[InputError], schema: pa.Schema, counts: Mapping[str, int]
) -> None:
    """Write what a task made of one part; the rows last, as they say that the part is done."""
    write_table(rejected_table(errors), part_file(folder, part, "rejected"))
    facts = {_COUNTS: json.dumps(counts).encode()}
    write_table(
        pa.Table.from_pylist(rows, schema=schema.with_metadata((schema.metadata or {}) | facts)),
        part_file(folder, part),
    )


def finish_parts(
    columns: Sequence[dict[str, list]], folder: Path, final: Path, schema: pa.Schema, report: Progress
) -> str:
    """Put `columns`, one dict for each part, into the parsed rows and write those that have a split.

    Returns the digest of all rows.
    """
    final.mkdir(exist_ok=True)
    pieces = [{"part": part, "columns": values} for part, values in enumerate(columns)]
    digests = {}
    for done, (part, digest) in enumerate(
        run_tasks(finish_part, pieces, folder=folder, final=final, schema=schema), start=1
    ):
        digests[part] = digest
        report("write", done, len(pieces))
    return hashlib.sha256("".join(digests[part] for part in range(len(pieces))).encode()).hexdigest()


def part_file(folder: Path, part: int, kind: str = "part") -> Path:
    return folder / f"{kind}-{part:05d}.parquet"


def read_part(folder: Path, part: int, kind: str = "part", columns: list[str] | None = None) -> pa.Table:
    return read_parquet(part_file(folder, part, kind), columns, AGAIN)


def add_counts(folder: Path, n_parts: int) -> Counter[str]:
    """What was counted in all parts."""
    total: Counter[str] = Counter()
    for part in range(n_parts):
        total.update(json.loads((pq.read_schema(part_file(folder, part)).metadata or {})[_COUNTS]))
    return total


def split_sizes(splits: Sequence[str], n_clusters: int) -> dict[str, int]:
    """How many rows each split has, with a warning for one that has none."""
    sizes = Counter(splits)
    for split in SPLITS:
        if not sizes[split]:
            logger.warning("the %s split is empty: %d clusters are too few", split, n_clusters)
    return {split: sizes[split] for split in SPLITS}


def finish_part(piece: dict, folder: Path, final: Path, schema: pa.Schema) -> str:
    """Ray task: fill columns of one parsed part, write it, and return the digest of its content."""
    remote.pull(part_file(folder, piece["part"]))
    table = read_part(remote.here(folder), piece["part"])
    for name, values in piece["columns"].items():
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, pa.array(values, pa.string()))
    table = table.filter(table["split"].is_valid()).cast(schema)
    if table.num_rows:
        write_table(table, part_file(final, piece["part"]))
    content = hashlib.sha256()
    for row in table.to_batches(max_chunksize=1):
        for column in row.columns:
            content.update(repr(column[0].as_py()).encode())
    return content.hexdigest()
