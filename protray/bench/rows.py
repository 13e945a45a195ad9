"""What the machinery of a job on Ray Data costs as rows become many: rows per second, memory and time of the driver.

Synthetic proteins of 20 random residues go the way of jobs/prob_maps.py: out of a FASTA file into items, to actors, as
parts to disk, merged to files.  In place of the language model stands a constant, or a pause.  Every size runs in a
process of its own, as a job does, with all cores; times are wall time.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from protray.bench.timing import Case, case, peak_resident_bytes
from protray.cluster.batch import driver, items
from protray.cluster.batch.items import cut
from protray.cluster.batch.job import Amount, BatchJob, Done, Row, Span
from protray.cluster.batch.worker import write_part
from protray.cluster.runtime.start import prepare_environment, start_ray, stop_ray
from protray.data import schemas
from protray.data.columns import large_lists
from protray.data.location import Location
from protray.pipelines.language_model import prob_maps
from protray.pipelines.language_model.prob_maps import ProbMaps
from protray.seq.alphabet import AMINO_ACIDS, N_AA
from protray.seq.errors import InputError

SIZES = (10_000, 100_000, 1_000_000)
LENGTH = 20  # residues
WARM_UP = 2_000  # proteins
TURNS = 3
SMALL_ITEM = 8  # proteins; of 350 residues, so many take a core 12 s with the 8 M model
LONG_ROWS, PAUSE_S = 12_000, 0.01  # two minutes of work
LONG_ITEM = 150  # proteins: 1.5 s, a tenth of a usual item


@dataclass(frozen=True, kw_only=True)
class Synthetic(ProbMaps):
    """Proteins without a model."""

    pause_s: float = 0.0
    """In place of the work on a protein."""


@dataclass(frozen=True)
class Measured:
    """Of one run."""

    reading_s: float  # per row: FASTA into items
    mapping_s: float  # per row, once the first item is back
    driver_s: float  # processor seconds of the driver per item while mapping
    peak_bytes: int  # of the driver above what it held when Ray was up


def constant_maps(run: Synthetic, spans: list[Span]) -> Done:
    """Every amino acid is as probable as another."""
    time.sleep(run.pause_s * len(spans))
    prob_LA = np.full((LENGTH, N_AA), 1 / N_AA, dtype=np.float32)
    columns = {
        "number": pa.array([span.number for span in spans], pa.int64()),
        "start": pa.array([0] * len(spans), pa.int32()),
        "id": [span.row["id"] for span in spans],
        "sequence": [span.row["sequence"] for span in spans],
        "prob_map": large_lists([prob_LA] * len(spans), schemas.MAPS.field("prob_map").type),
        "lm_hidden": large_lists([None] * len(spans), schemas.MAPS.field("lm_hidden").type),
    }
    return Done(pa.table(columns))


def job(rows: int, read: Callable[[Any], Iterator[Row | InputError]]) -> BatchJob:
    """That of the maps, but for the model; a row costs what is no large job."""
    cost = 100 / rows
    return replace(
        prob_maps.JOB, name="rows", rows=read, cost=lambda run, row: cost, open=lambda run, device: run,
        work=constant_maps, amount=lambda run: Amount(rows, 100), memory=lambda run: 0, cut=None,
    )  # fmt: skip


def bench(repeats: int) -> tuple[list[Case], dict[str, Any]]:
    """Each size against the smallest; rates and memory of each, what an item costs the driver, and a plain loop."""
    prepare_environment()  # of the processes to come, which import Ray at once
    runs: dict[int, list[Measured]] = {rows: [] for rows in SIZES}
    for _ in range(min(TURNS, repeats)):
        for rows, found in runs.items():
            found.append(in_own_process(measure, rows))
    few = SIZES[0]
    kinds = {
        "read": ("FASTA into items", lambda run: run.reading_s),
        "map": ("items through actors to parts, from the first item on", lambda run: run.mapping_s),
    }
    cases = [
        case(
            f"{name}, {rows:,} rows",
            f"{what}; proteins of {LENGTH} residues; seconds are of {few:,} rows; plain: a run of {few:,} rows",
            [few * seconds(run) for run in runs[few]],
            [few * seconds(run) for run in runs[rows]],
        )
        for name, (what, seconds) in kinds.items()
        for rows in SIZES[1:]
    ]
    long = in_own_process(measure, LONG_ROWS, LONG_ITEM, PAUSE_S)
    loop_s = in_own_process(plain_loop, LONG_ROWS, LONG_ITEM, PAUSE_S)
    cases.append(
        case(
            "two minutes of work",
            f"{LONG_ROWS:,} proteins, {PAUSE_S:g} s of waiting each, in items of {LONG_ITEM}; one actor, from the "
            "first item on, against a loop that reads, waits and writes parts, without Ray; once each",
            [LONG_ROWS * loop_s],
            [LONG_ROWS * long.mapping_s],
        )
    )
    more: dict[str, Any] = {}
    for rows, found in runs.items():
        more[f"{rows:,} rows: read per second"] = 1 / median(found, lambda run: run.reading_s)
        more[f"{rows:,} rows: mapped per second"] = 1 / median(found, lambda run: run.mapping_s)
        more[f"{rows:,} rows: driver's peak memory above start, MB"] = median(found, lambda run: run.peak_bytes / 1e6)
    small = in_own_process(measure, few, SMALL_ITEM)
    more[f"driver's ms per item of {SMALL_ITEM} rows"] = 1e3 * small.driver_s
    more[f"items of {SMALL_ITEM} rows per second"] = 1 / (SMALL_ITEM * small.mapping_s)
    return cases, more


def median(runs: list[Measured], value: Callable[[Measured], float]) -> float:
    return float(np.median([value(run) for run in runs]))


def in_own_process(function: Callable[..., Any], *arguments: float | None) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def measure(rows: int, item: int | None = None, pause_s: float = 0.0) -> Measured:
    """Run so many proteins through, in items of the usual size or of so many proteins."""
    items.MOST_ROWS = item or items.MOST_ROWS
    cluster = start_ray()
    try:
        with TemporaryDirectory() as folder:
            once = Run(Path(folder) / "first", WARM_UP, 0.0)  # imports, and a process for the merging
            once()
            run = Run(Path(folder) / "second", rows, pause_s)
            peak = peak_resident_bytes(run)
    finally:
        stop_ray(cluster)
    first, last = run.stamps[1], run.stamps[-1]
    return Measured(
        run.reading_s / rows,
        (last.at - first.at) / (last.done - first.done),
        (last.processor - first.processor) / (len(run.stamps) - 2),
        peak,
    )


@dataclass(frozen=True)
class Stamp:
    """Of an item that is back: wall and processor time of the driver, and rows done."""

    at: float
    processor: float
    done: float


class Run:
    """One run in a folder of its own; afterwards it has the times."""

    def __init__(self, folder: Path, rows: int, pause_s: float) -> None:
        self.rows, self.stamps, self.reading_s = rows, [], 0.0
        folder.mkdir()
        write_fasta(folder / "proteins.fasta", rows)
        fasta, out = Location(folder / "proteins.fasta"), Location(folder / "out")
        self.run = Synthetic(data=fasta, out=out, pause_s=pause_s, actors=1 if pause_s else None)

    def __call__(self) -> None:
        progress, driver.Progress = driver.Progress, self.noted  # type: ignore[assignment, misc]
        try:
            summary = driver.run_batch(job(self.rows, self.read), self.run)
        finally:
            driver.Progress = progress  # type: ignore[misc]
        assert summary["n_rows"] == self.rows

    def read(self, run: Synthetic) -> Iterator[Row | InputError]:
        started = time.perf_counter()
        yield from prob_maps.rows(run)
        self.reading_s = time.perf_counter() - started

    def noted(self, name: str) -> "Noted":
        return Noted(self if name == "rows" else None)


class Noted:
    """In place of a bar."""

    def __init__(self, run: Run | None) -> None:
        self.run = run

    def __enter__(self) -> "Noted":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, done: float, of: float) -> None:
        if self.run:
            self.run.stamps.append(Stamp(time.perf_counter(), time.process_time(), done / of * self.run.rows))


def plain_loop(rows: int, item: int, pause_s: float) -> float:
    """Seconds per row of the same without Ray."""
    items.MOST_ROWS = item
    with TemporaryDirectory() as folder:
        one = Run(Path(folder) / "plain", rows, pause_s)
        usable = (row for row in prob_maps.rows(one.run) if not isinstance(row, InputError))
        started = time.perf_counter()
        for some in cut(job(rows, one.read), one.run, enumerate(usable), 100.0):
            write_part(constant_maps(one.run, list(some.spans)), one.run.work / "parts" / f"item-{some.name}.parquet")
        return (time.perf_counter() - started) / rows


def write_fasta(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    letters = np.frombuffer(AMINO_ACIDS.encode(), np.uint8)
    with path.open("w") as file:
        for row in range(rows):
            file.write(f">synthetic{row}\n{letters[rng.integers(0, N_AA, LENGTH)].tobytes().decode()}\n")
