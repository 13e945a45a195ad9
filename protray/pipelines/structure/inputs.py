"""The input of batch jobs on proteins: records of FASTA files, rows of tables, structure files of any number of chains.

A record is held by its row; rows of tables, and files, are read where they are worked on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.job import Amount, BatchSettings, Row
from protray.cluster.batch.seen import first_of_each_id
from protray.cluster.storage.identity import content_digest
from protray.data.location import Location
from protray.data.parquet import naming
from protray.data.structure.files import Source, beginning, find_sources, input_files, is_packed, read_source
from protray.data.structure.rows import StructureSettings, structure_rows
from protray.data.structure.structures import stored_atoms
from protray.seq.errors import InputError
from protray.seq.fasta import clean_fasta

SOURCE = pa.struct(
    [
        ("id", pa.string()),  # of a record or a row; a file may have any number of chains
        ("file", pa.string()),
        ("line", pa.int64()),  # of a record
        ("sequence", pa.string()),  # of a record
        ("length", pa.int32()),  # residues of a record or a row
        ("group", pa.int32()),  # row group of a row
        ("row", pa.int32()),  # place in it
        ("path", pa.string()),  # of a structure file, a `data.structure.files.Source` whose name is `file`
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("content", pa.binary()),
    ]
)
EMPTY: Row = dict.fromkeys(field.name for field in SOURCE)
ANY_CHAIN = StructureSettings(min_residues=3, max_unknown=1.0)
WHOLE = replace(ANY_CHAIN, side_chains=True)
BYTES_PER_RESIDUE, PACKED = 650, 4  # of PDB and mmCIF files, which gzip makes smaller by that


class Protein(NamedTuple):
    """A record of a FASTA file, which has no structure, or a chain of a structure file."""

    id: str
    sequence: str
    atoms_LA3: np.ndarray | None = None  # Å, 4 or 14; NaN where one is missing
    index_L: np.ndarray | None = None  # places in the chain, counted on over breaks
    numbers: list[str] | None = None  # of its residues, as the file has them


def record_rows(files: Iterable[Path]) -> Iterator[Row | InputError]:
    """Records of FASTA files in plain residues; of several with one id the first."""
    found = (one if isinstance(one, InputError) else vars(one) for file in files for one in clean_fasta(file))
    for row in first_of_each_id(found):
        yield row if isinstance(row, InputError) else EMPTY | row | {"length": len(row["sequence"])}


def table_rows(table: Location) -> Iterator[Row]:
    """Where each row of a table is, by the columns of ids and sequences alone."""
    with table.open() as file:
        opened = pq.ParquetFile(file)
        for group in range(opened.num_row_groups):
            found = opened.read_row_group(group, columns=["id", "sequence"])
            for row, (id, sequence) in enumerate(zip(*found.to_pydict().values(), strict=True)):
                yield EMPTY | {"id": id, "file": str(table), "length": len(sequence), "group": group, "row": row}


def file_rows(run: BatchSettings, paths: Sequence[Location]) -> Iterator[Row | InputError]:
    """Structure files, with an error for each that is none; with --plan nothing is unpacked."""
    ours = f"{run.out}/"
    for number, path in enumerate(paths):
        sources, errors = find_sources(path.path, None if run.plan else run.work / f"unpacked-{number}")
        yield from (error for error in errors if not str(Path(error.file).absolute()).startswith(ours))
        for source in sources:
            if not source.path.startswith(ours) or source.offset is not None:
                size = Location(source.path).size() if source.size is None else source.size
                place = {"file": source.name, "path": source.path, "offset": source.offset}
                yield EMPTY | place | {"size": size, "content": source.content}


def files_of(run: BatchSettings, path: Location) -> list[Location]:
    """The files that a path of --structures means, without our own, where --out lies in it."""
    return [Location(file) for file in input_files(path.path) if not str(file).startswith(f"{run.out}/")]


def digests(run: BatchSettings, structures: Sequence[Location], fasta: Location | None = None) -> list[str]:
    """What identifies the content of each path of --structures, or of --fasta; ValueError if it is not there."""
    if fasta is None:
        return [content_digest(files_of(run, path), path) for path in structures]
    if not fasta.is_file():
        raise ValueError(f"{fasta}: no such file")
    return [content_digest([fasta])]


def amount_of(
    run: Any,
    paths: Sequence[Location],
    rows: Iterable[Row | InputError],
    cost: Callable[[Any, Row], float],
    *,
    exact: bool = True,
    note: str = "",
) -> Amount:
    """All files; of a packed archive, as its beginning tells."""
    costs = [cost(run, row) for row in rows if not isinstance(row, InputError)]
    packed = [path.path for path in paths if run.plan and is_packed(path.path)]
    share = min((beginning(path)[1] for path in packed), default=1.0)
    return Amount(len(costs) / share, sum(costs) / share, exact and share == 1.0, note)


def bytes_of(row: Row) -> int:
    """About the bytes of a structure file when it is unpacked."""
    return row["size"] * (PACKED if row["file"].endswith(".gz") else 1)


def length_of(row: Row) -> float:
    """Residues; of a file about, as if it were one chain."""
    return bytes_of(row) / BYTES_PER_RESIDUE if row["length"] is None else row["length"]


def content_of(row: Row) -> bytes:
    """The decompressed content of a structure file; InputError if it is damaged."""
    return read_source(Source(row["file"], row["path"], row["offset"], row["size"], row["content"]))


def chains_of(row: Row, settings: StructureSettings, rejected: list[InputError]) -> list[dict]:
    """The chains of a file, ``schemas.STRUCTURES``; what cannot be used is added to `rejected`."""
    try:
        found, errors, _ = structure_rows(content_of(row), row["file"], settings)
    except InputError as error:
        rejected.append(error)
        return []
    rejected += errors
    return found


def proteins_of(row: Row, rejected: list[InputError], side_chains: bool = False) -> Iterator[Protein]:
    """The record of a row, or the chains of its file, backbones or whole; what is unusable is added to `rejected`."""
    if row["sequence"] is not None:
        yield Protein(row["id"], row["sequence"])
        return
    for one in chains_of(row, WHOLE if side_chains else ANY_CHAIN, rejected):
        atoms_LA3 = stored_atoms(np.asarray(one["backbone_cA"], np.int16), one["sidechains_cA"])
        yield Protein(one["id"], one["sequence"], atoms_LA3, np.asarray(one["index"], np.int32), one["numbers"])


def read_row(row: Row, columns: tuple[str, ...]) -> dict:
    """What a row of a table holds in `columns`, of those that the table has."""
    return _group(row["file"], row["group"], columns).slice(row["row"], 1).to_pylist()[0]


@lru_cache(maxsize=1)
def _group(file: str, group: int, columns: tuple[str, ...]) -> pa.Table:
    """A row group, for all rows that follow in it."""
    with naming(file, "make it anew"), Location(file).open() as opened:
        parquet = pq.ParquetFile(opened)
        return parquet.read_row_group(group, columns=[name for name in columns if name in parquet.schema_arrow.names])
