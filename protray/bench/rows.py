"""What the machinery around the maps costs as proteins become many: rows per second and memory of the driver.

Synthetic proteins of 20 random residues go the way of jobs/prob_maps.py: out of a FASTA file into shards, in units to
actors, as parts to disk, merged to tables.  In place of the language model stands a constant.  Every size runs in a
process of its own, as a job does, with all cores; times are wall time.
"""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from protray.bench.timing import Case, case, peak_resident_bytes
from protray.cluster.batch.shards import Manifest, read_sources
from protray.cluster.runtime.resources import Stage, actor_pool
from protray.cluster.runtime.start import prepare_environment, start_ray, stop_ray
from protray.pipelines.language_model import map_queue
from protray.pipelines.language_model.map_parts import Rows, Span
from protray.pipelines.language_model.map_units import MapConfig
from protray.pipelines.language_model.maps import MapActor, compute_maps
from protray.seq.alphabet import AMINO_ACIDS, N_AA

SIZES = (10_000, 100_000, 1_000_000)
LENGTH = 20  # residues
SHARD = 10_000  # proteins: the smallest size fills one, so that all have the same in memory
SMALL_UNIT = 8  # proteins; of 350 residues, so many make a unit of the usual cost
WARM_UP = 2_000  # proteins
TURNS = 3
MAPS = MapConfig(lm="none", hidden=False)


@dataclass(frozen=True)
class Measured:
    """Of one run."""

    staging_s: float  # per row
    mapping_s: float  # per row, once the first unit is there
    driver_s: float  # processor seconds of the driver per unit while mapping
    peak_bytes: int  # of the driver above what it held when Ray was up


class TrivialActor(MapActor):
    """Every amino acid is as probable as another."""

    def open(self) -> None:
        """There is no model to load."""

    def _rows(self, span: Span, codes_L: np.ndarray) -> Rows:
        return Rows(span, np.full((span.stop - span.start, N_AA), 1 / N_AA, dtype=np.float32), None)


def bench(repeats: int) -> tuple[list[Case], dict[str, Any]]:
    """Each size against the smallest; rates and memory of each, and what a unit costs the driver."""
    prepare_environment()  # of the processes to come, which import Ray at once
    runs: dict[int, list[Measured]] = {rows: [] for rows in SIZES}
    for _ in range(min(TURNS, repeats)):
        for rows, found in runs.items():
            found.append(in_own_process(measure, rows))
    few = SIZES[0]
    kinds = {
        "read": ("FASTA into shards", lambda run: run.staging_s),
        "map": ("shards through actors to tables, from the first unit on", lambda run: run.mapping_s),
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
    more: dict[str, Any] = {}
    for rows, found in runs.items():
        more[f"{rows:,} rows: read per second"] = 1 / median(found, lambda run: run.staging_s)
        more[f"{rows:,} rows: mapped per second"] = 1 / median(found, lambda run: run.mapping_s)
        more[f"{rows:,} rows: driver's peak memory above start, MB"] = median(found, lambda run: run.peak_bytes / 1e6)
    small = in_own_process(measure, few, SMALL_UNIT)
    more[f"driver's ms per unit of {SMALL_UNIT} rows"] = 1e3 * small.driver_s
    return cases, more


def median(runs: list[Measured], value: Callable[[Measured], float]) -> float:
    return float(np.median([value(run) for run in runs]))


def in_own_process(function: Callable[..., Measured], *arguments: int) -> Measured:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def measure(rows: int, unit: int | None = None) -> Measured:
    """Run so many proteins through, in units of the usual size or of so many proteins."""
    if unit:
        map_queue.UNIT_TOKENS = unit * MAPS.tokens(LENGTH)
        map_queue.masked.TOKENS_AT_ONCE = 1
    cluster = start_ray()
    stage = actor_pool("maps", cluster.nodes)
    try:
        with TemporaryDirectory() as folder:
            once = Run(Path(folder) / "first", WARM_UP, stage)  # imports, and a process for the merging of shards
            once()
            run = Run(Path(folder) / "second", rows, stage)
            peak = peak_resident_bytes(run)
    finally:
        stop_ray(cluster)
    _, first, *_, last = run.units
    return Measured(
        (run.staged - run.started) / rows,
        (run.finished - first.at) / (rows - first.done),
        (last.processor - first.processor) / (len(run.units) - 2),
        peak,
    )


@dataclass(frozen=True)
class Stamp:
    """Of a unit that is back: wall and processor time of the driver, and proteins done."""

    at: float
    processor: float
    done: int


class Run:
    """One run in a folder of its own; afterwards it has the times."""

    def __init__(self, folder: Path, rows: int, stage: Stage) -> None:
        self.folder, self.rows, self.stage = folder, rows, stage
        self.units: list[Stamp] = []
        folder.mkdir()
        write_fasta(folder / "proteins.fasta", rows)

    def __call__(self) -> None:
        self.started = time.perf_counter()
        manifest = Manifest.open(self.folder / "out", {})
        manifest.stage(read_sources(self.folder / "proteins.fasta"), SHARD, MAPS.tokens)
        self.staged = time.perf_counter()
        compute_maps(manifest, MAPS, self.stage, 1, self.note, TrivialActor)
        self.finished = time.perf_counter()
        assert manifest.summary()["n_computed"] == self.rows

    def note(self, done: int, of: int, _: str) -> None:
        self.units.append(Stamp(time.perf_counter(), time.process_time(), done * self.rows // of))


def write_fasta(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    letters = np.frombuffer(AMINO_ACIDS.encode(), np.uint8)
    with path.open("w") as file:
        for row in range(rows):
            file.write(f">synthetic{row}\n{letters[rng.integers(0, N_AA, LENGTH)].tobytes().decode()}\n")
