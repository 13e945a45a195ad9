"""Pseudo-PSSMs, and if asked for the pseudo-alignments themselves, of many proteins' probability maps with Ray Data.

The unit of work is a row group of a table of maps.  A task streams its proteins, one in memory at a time, into a part
that appears under its name only when it is whole; a killed run loses the units in flight and no more.

``OUT/pssms/**/*.parquet``    id, sequence, pssm; a part per unit, under the folders and names of the maps
``OUT/msas/<id>.a3m.gz``      with ``write_msa``: the query, then the drawn sequences
``OUT/rejects/**``            ``schemas.REJECTED`` of the units that have any; together they are
``OUT/rejected.parquet``
``OUT/settings.json``         what the numbers depend on

`OUT` has to lie where every node sees it; so do the maps.
"""

import gzip
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.tasks import run_tasks
from protray.cluster.health.doctor import check_shared
from protray.cluster.runtime.progress import Progress
from protray.cluster.runtime.start import start_ray, stop_ray
from protray.cluster.storage import remote
from protray.cluster.storage.files import (
    difference,
    group_reasons,
    reason_lines,
    rejected_table,
    whole,
    write_json,
    write_table,
)
from protray.data import schemas
from protray.data.parquet import WRITING, read_batches
from protray.inference.write import file_name
from protray.seq.keyed import generator
from protray.seq.msa import InputError
from protray.seq.pseudo_msa import N_PSEUDO, a3m, check_map, pseudo_counts, pseudo_msa
from protray.seq.pssm import Background, count_residues, pssm

log = logging.getLogger(__name__)

NAMES = ("maps-*.parquet", "part-*.parquet")
ROWS_PER_GROUP = 1024  # proteins of a part in memory: 24 MB at 300 residues
MADE_FROM = b"protray_made_from"  # metadata of a part: size and time of the table it was made from


@dataclass(frozen=True, kw_only=True)
class PseudoRun:
    """What to draw from which maps; `workers` may change between runs in one folder."""

    maps: Path
    """Folder of maps as jobs/prob_maps.py writes them: maps-*.parquet or part-*.parquet, also in sub-folders."""
    out: Path
    """An s3:// or gs:// address, or a folder to write to; on several nodes one that all of them share."""
    sequences: int = N_PSEUDO
    """Sequences drawn per protein; the native one is added."""
    expected: bool = False
    """Use expected counts, sequences x probability, in place of drawn ones."""
    background: Background = "smoothed"
    """B of the PSSM; `paper` scores an amino acid that never occurs +12.8."""
    write_msa: bool = False
    """Write the alignments, too: one file per protein, and the PSSM is that of the very sequences in it."""
    seed: int = 0
    workers: int | None = None
    """Tasks at once; default: one per CPU.  The files are the same for any number."""
    plan: bool = False
    """Print stages, resources, estimated rows/s and hours, and stop; nothing is written."""

    @property
    def rejected(self) -> Path:
        return self.out / "rejected.parquet"


@dataclass(frozen=True)
class Unit:
    """A row group of a table of maps, and the rows in it whose id an earlier row has, too."""

    file: str
    group: int
    name: str  # of its part, relative to OUT/pssms
    stamp: str  # size and time of the table
    proteins: int
    repeated: tuple[int, ...] = ()


@remote.kept("maps", skip="msas")
def make_pseudo(run: PseudoRun) -> dict:
    """Make what is missing; returns the counts.

    Raises
    ------
    ValueError
        When nothing can be done: options, maps or `out` are unusable, or not one map is.
    """
    started = time.monotonic()
    units, missing = opened(run)
    if missing:
        run.out.mkdir(parents=True, exist_ok=True)
        write_json(run.out / "settings.json", _settings(run))
        _compute(run, mark_repeated(units), {unit.name for unit in missing})
        remote.pull(run.out, skip="msas")
    tables = [pq.read_table(path) for path in sorted((run.out / "rejects").rglob("*.parquet"))]
    rejected = pa.concat_tables([rejected_table([]), *tables])
    write_table(rejected, run.rejected)
    summary = {
        "n_proteins": sum(pq.read_metadata(_part(run, unit)).num_rows for unit in units),
        "n_rejected": rejected.num_rows,
        "reasons": group_reasons(rejected["reason"].to_pylist()),
        "cached": not missing,
        "seconds": time.monotonic() - started,
    }
    if not summary["n_proteins"]:
        lines = reason_lines(summary["reasons"])
        raise ValueError(f"no usable map among {rejected.num_rows} in {run.maps}; see {run.rejected}{lines}")
    return summary


def opened(run: PseudoRun) -> tuple[list[Unit], list[Unit]]:
    """All units, and those that are missing; ValueError if options, maps or `out` are unusable."""
    _check(run)
    units = find_units(run.maps.resolve())
    _check_out(run, units)
    return units, [unit for unit in units if not _is_done(run, unit)]


def find_units(maps: Path) -> list[Unit]:
    """Every row group of every table of maps in `maps`, in the order of their names."""
    if not maps.is_dir():
        raise ValueError(f"{maps} is not a folder")
    files = sorted({path for name in NAMES for path in maps.rglob(name)})
    units = []
    for file in files:
        try:
            found = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{file} is no readable Parquet file: {error}") from None
        _check_columns(found.schema_arrow, file)
        stat = file.stat()
        for group in range(found.metadata.num_row_groups):
            name = str(file.relative_to(maps).with_suffix("")) + f"-{group:05d}.parquet"
            rows = found.metadata.row_group(group).num_rows
            units.append(Unit(str(file), group, name, f"{stat.st_size} {stat.st_mtime_ns}", rows))
    if not units:
        raise ValueError(f"{maps} holds no map: no table {' or '.join(NAMES)}, also not in its sub-folders")
    return units


def mark_repeated(units: list[Unit]) -> list[Unit]:
    """Note for every unit the rows whose id came before; all ids are in memory, about 100 bytes each."""
    seen: set[str] = set()
    marked = []
    for unit in units:
        batches = read_batches(Path(unit.file), ["id"], 1 << 16, [unit.group])
        repeated = []
        for row, id in enumerate(id for batch in batches for id in batch["id"].to_pylist()):
            if id in seen:
                repeated.append(row)
            seen.add(id)
        marked.append(replace(unit, repeated=tuple(repeated)))
    return marked


def make_unit(run: PseudoRun, unit: Unit) -> None:
    """Write the part of one unit, its alignments first and the part last: it says that the unit is done."""
    part, rejects = _part(run, unit), run.out / "rejects" / unit.name
    errors: list[InputError] = []
    part.parent.mkdir(parents=True, exist_ok=True)
    schema = schemas.PSEUDO_PSSMS.with_metadata(
        {**(schemas.PSEUDO_PSSMS.metadata or {}), MADE_FROM: unit.stamp, "background": run.background}
    )
    with whole(part) as partial:
        write_rows(rows_of(run, unit, errors), partial, schema)
        remote.remove(rejects)
        if errors:
            rejects.parent.mkdir(parents=True, exist_ok=True)
            write_table(rejected_table(errors), rejects)


def write_rows(rows: Iterator[dict], path: Path, schema: pa.Schema) -> None:
    """Write a table, some rows in memory at a time."""
    with pq.ParquetWriter(path, schema, **WRITING) as writer:
        held: list[dict] = []
        for row in rows:
            held.append(row)
            if len(held) == ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(held, schema=schema))
                held = []
        writer.write_table(pa.Table.from_pylist(held, schema=schema))


def rows_of(run: PseudoRun, unit: Unit, errors: list[InputError]) -> Iterator[dict]:
    """The rows of a part; what cannot be used is added to `errors`."""
    batches = read_batches(remote.pull(Path(unit.file)), ["id", "sequence", "prob_map"], 16, [unit.group])
    repeated, number = set(unit.repeated), 0
    for batch in batches:
        for id, sequence, flat in zip(*(batch[name] for name in ("id", "sequence", "prob_map")), strict=True):
            id, sequence = id.as_py(), sequence.as_py()
            try:
                if number in repeated:
                    raise ValueError("an earlier map has this id; only that one is used")
                if not id or not sequence or not flat.is_valid:
                    raise ValueError("the id, the sequence or the map is missing")
                pssm_LA = _pssm(run, id, sequence, flat.values.to_numpy(zero_copy_only=False))
                yield {"id": id, "sequence": sequence, "pssm": pssm_LA.ravel()}
            except ValueError as error:
                errors.append(InputError(unit.file, None, str(error), id))
            number += 1


def _pssm(run: PseudoRun, id: str, sequence: str, flat: np.ndarray) -> np.ndarray:
    """X_b of one protein, shape (L, 20); with `write_msa`, the alignment is written and its residues are counted."""
    prob_LA, query_L = check_map(flat, sequence)
    rng = None if run.expected else generator(run.seed, "pseudo-msa", id)
    if run.write_msa:
        assert rng
        codes_NL = pseudo_msa(prob_LA, query_L, rng, run.sequences)
        path = run.out / "msas" / f"{file_name(id, set())}.a3m.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            packed = gzip.compress(a3m(codes_NL, id), compresslevel=1, mtime=0)  # a time would differ per run
            partial.write_bytes(packed)
        counts_LA = count_residues(codes_NL)
    else:
        counts_LA = pseudo_counts(prob_LA, query_L, rng, run.sequences)
    return pssm(counts_LA, run.sequences + 1, run.background)


def _compute(run: PseudoRun, units: list[Unit], missing: set[str]) -> None:
    """Make the units named in `missing`, in parallel."""
    todo = [unit for unit in units if unit.name in missing]
    total = sum(unit.proteins for unit in units)
    done = total - sum(unit.proteins for unit in todo)
    if done:
        log.info("%d of %d proteins are done already, in %s", done, total, run.out)
    cluster = start_ray()
    try:
        check_shared(cluster, run.out)
        with Progress("pseudo-PSSMs") as show:
            show(done, total)
            absolute = replace(run, maps=run.maps.resolve(), out=run.out.resolve())  # workers have another folder
            for _, proteins in run_tasks(_task, [asdict(unit) for unit in todo], at_once=run.workers, run=absolute):
                done += proteins
                show(done, total, f"{done} of {total}")
    finally:
        stop_ray(cluster)


def _task(unit: dict, run: PseudoRun) -> int:
    """Ray task: make one unit; returns its number of proteins."""
    make_unit(replace(run, out=remote.here(run.out)), Unit(**unit))
    return unit["proteins"]


def _check(run: PseudoRun) -> None:
    if run.sequences < 1:
        raise ValueError(f"--sequences is {run.sequences}; it must be at least 1")
    if run.workers is not None and run.workers < 1:
        raise ValueError(f"--workers is {run.workers}; it must be at least 1")
    if run.expected and run.write_msa:
        raise ValueError(
            "an alignment is drawn, so its counts are not the expected ones: give --expected or --write-msa"
        )


def _check_columns(schema: pa.Schema, file: Path) -> None:
    for name in ("id", "sequence", "prob_map"):
        if name not in schema.names:
            raise ValueError(f"{file}: column {name!r} is missing; it has {schema.names}")
    kind = schema.field("prob_map").type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not lists or kind.value_type not in (pa.float32(), pa.float16()):
        raise ValueError(f"{file}: column 'prob_map' is {kind}, expected a list of float32 or float16")


def _settings(run: PseudoRun) -> dict:
    """All that the files depend on; the state of each table of maps is kept with its parts."""
    values = asdict(run) | {"maps": remote.named(run.maps.resolve())}
    return {name: value for name, value in values.items() if name not in ("out", "workers", "plan")}


def _check_out(run: PseudoRun, units: list[Unit]) -> None:
    """Refuse a folder made with other settings, and one with parts whose maps are gone."""
    stored, settings = run.out / "settings.json", _settings(run)
    if stored.is_file():
        if changed := difference(json.loads(stored.read_text()), settings):
            raise ValueError(f"{run.out} was made with other settings: {changed}. Choose another --out, or remove it")
    elif run.out.is_dir() and any(run.out.iterdir()):
        raise ValueError(f"{run.out} is a folder with files in it; choose another --out, or remove it")
    known = {unit.name for unit in units}
    for path in sorted((run.out / "pssms").rglob("*.parquet")):
        if not path.name.startswith(".") and str(path.relative_to(run.out / "pssms")) not in known:
            raise ValueError(f"{path} was made from maps that are no longer in {run.maps}; remove it, or that folder")


def _is_done(run: PseudoRun, unit: Unit) -> bool:
    part = _part(run, unit)
    return part.is_file() and (pq.read_schema(part).metadata or {}).get(MADE_FROM) == unit.stamp.encode()


def _part(run: PseudoRun, unit: Unit) -> Path:
    return run.out / "pssms" / unit.name
