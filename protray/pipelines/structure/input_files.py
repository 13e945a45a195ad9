"""Structure files as the input of a batch job: a row for each file, which is read where it is worked on."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from protray.cluster.batch.job import Amount, BatchSettings, Row
from protray.data.location import Location
from protray.data.structure_files import Source, beginning, find_sources, input_files, is_packed, read_source
from protray.data.structure_rows import StructureSettings, structure_rows
from protray.seq.errors import InputError

FILE = [  # a `data.structure_files.Source`
    ("name", pa.string()),
    ("path", pa.string()),
    ("offset", pa.int64()),
    ("size", pa.int64()),
    ("content", pa.binary()),
]


def files_of(run: BatchSettings, path: Location) -> list[Location]:
    """The files that a path of --structures means, without our own, where --out lies in it."""
    return [Location(file) for file in input_files(path.path) if not str(file).startswith(f"{run.out}/")]


def file_rows(run: BatchSettings, paths: Sequence[Location]) -> Iterator[Row | InputError]:
    """Files, with an error for each that is none; with --plan nothing is unpacked."""
    ours = f"{run.out}/"
    for number, path in enumerate(paths):
        sources, errors = find_sources(path.path, None if run.plan else run.work / f"unpacked-{number}")
        yield from (error for error in errors if not str(Path(error.file).absolute()).startswith(ours))
        for source in sources:
            if not source.path.startswith(ours) or source.offset is not None:
                yield asdict(source) | {"size": source.size or Location(source.path).size()}


def amount_of(
    run: BatchSettings, paths: Sequence[Location], costs: Sequence[float], *, exact: bool = True, note: str = ""
) -> Amount:
    """All files; of a packed archive, as its beginning tells."""
    packed = [path.path for path in paths if run.plan and is_packed(path.path)]
    share = min((beginning(path)[1] for path in packed), default=1.0)
    return Amount(len(costs) / share, sum(costs) / share, exact and share == 1.0, note)


def chains_of(row: Row, settings: StructureSettings, rejected: list[InputError]) -> list[dict]:
    """The chains of a file, ``schemas.STRUCTURES``; what cannot be used is added to `rejected`."""
    source = Source(**{name: row[name] for name, _ in FILE})
    try:
        found, errors, _ = structure_rows(read_source(source), source.name, settings)
    except InputError as error:
        rejected.append(error)
        return []
    rejected += errors
    return found
