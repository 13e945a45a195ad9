"""Queries and a FASTA database -> an alignment for each query, as `predict`, `prepare` and `distil` read them.

``OUT/msas/<id>.a3m.gz``     the query, then its homologs, best first; also where there are none
``OUT/homologs/*.parquet``   id, sequence, homologs (rows below the query), file

Each node indexes the database once, in its cache.  When --fasta has changed, alignments of the same queries stay.
"""

import gzip
import logging
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import pyarrow as pa
import tyro

from protray.cluster.batch.job import BatchJob, BatchSettings, Done, Row, Span
from protray.cluster.storage.identity import content_digest, digest
from protray.cluster.storage.locks import locked
from protray.data.location import Location, cache
from protray.data.parquet import read_parquet
from protray.inference.secondary.write import file_name
from protray.pipelines.structure.inputs import SOURCE, record_rows
from protray.seq.errors import InputError
from protray.seq.search import SearchSettings, a3m, check_database

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from protray.seq.search import Hit

    Find = Callable[[Sequence[str]], list[list[Hit]]]

log = logging.getLogger(__name__)

TEXT = pa.string()
FOUND = pa.schema([("id", TEXT), ("sequence", TEXT), ("homologs", pa.int32()), ("file", TEXT)])
# seconds of a core: of a query, and of each of its residues times each of a million of the database's
QUERY_S, RESIDUE_S = {"mmseqs": 5e-3, "jackhmmer": 0.1}, {"mmseqs": 2e-6, "jackhmmer": 5e-4}
MEMORY = 2 << 30  # bytes of an actor; MMseqs2's index is shared by those of a node ...
BYTES_A_RESIDUE = 2  # ... and jackhmmer has the database in memory


@dataclass(frozen=True, kw_only=True)
class Search(BatchSettings):
    """Which proteins are looked up in which database, and how."""

    fasta: Location
    """The queries: a FASTA file, plain, .gz, .xz or .bz2."""
    database: Location
    """FASTA file of proteins, such as Swiss-Prot or UniRef50, packed likewise."""
    settings: tyro.conf.OmitArgPrefixes[SearchSettings] = SearchSettings()

    @cached_property
    def residues(self) -> float:
        """Of the database, about: its bytes, thrice those of a packed file."""
        return self.database.size() * (3.0 if self.database.suffix in (".gz", ".xz", ".bz2") else 1.0)

    @property
    def msas(self) -> Location:
        return self.out / "msas"

    def msa(self, id: str) -> Location:
        return self.msas / f"{file_name(id, set())}.a3m.gz"


def identity(run: Search) -> dict:
    if not run.fasta.is_file():
        raise ValueError(f"{run.fasta}: no such file; --fasta is a FASTA file of the queries")
    check_database(run.database.fetch())
    return {
        "queries": content_digest([run.fasta], run.fasta),
        "database": content_digest([run.database], run.database),
        **asdict(run.settings),
        "version": _version(run.settings.program),
    }


def _version(program: str) -> str:
    if program == "mmseqs":
        from protray.seq.search import mmseqs_version

        return mmseqs_version()
    from importlib.metadata import version

    return f"pyhmmer {version('pyhmmer')}"


def rows(run: Search) -> Iterator[Row | InputError]:
    return record_rows([run.fasta.fetch()])


def cost(run: Search, row: Row) -> float:
    """Grows with the database."""
    program = run.settings.program
    return QUERY_S[program] + RESIDUE_S[program] * len(row["sequence"]) * run.residues / 1e6


def memory(run: Search) -> int:
    return MEMORY + (int(BYTES_A_RESIDUE * run.residues) if run.settings.program == "jackhmmer" else 0)


def open_database(run: Search, device: str) -> "tuple[Search, Find]":
    """What finds the hits of queries, on this node."""
    from protray.seq.search import make_database, read_database, search_jackhmmer, search_mmseqs

    threads = max(1, int(run.cpus_per_actor or 1))
    if run.settings.program == "jackhmmer":
        database = read_database(run.database.fetch())
        return run, partial(search_jackhmmer, database=database, settings=run.settings, threads=threads)
    folder = cache() / "mmseqs" / digest([content_digest([run.database], run.database), _version("mmseqs")])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        for left in folder.parent.glob(f".{folder.name}.*"):  # by a process that was killed: nobody else is in here
            shutil.rmtree(left, ignore_errors=True)
        if not folder.is_dir():
            log.info("the database is indexed, once on this node, in %s", folder)
            with Location(folder).writing() as made:
                count = make_database(run.database.fetch(), made, threads)
            log.info("the database has %s sequences", f"{count:,}")
    return run, partial(search_mmseqs, folder=folder, settings=run.settings, threads=threads)


def work(opened: "tuple[Search, Find]", spans: list[Span]) -> Done:
    """Write the alignments of some queries."""
    run, find = opened
    depth = {span.number: depth_of(run, span.row) for span in spans}
    new = [span for span in spans if depth[span.number] is None]
    found = find([span.row["sequence"] for span in new]) if new else []
    for span, hits in zip(new, found, strict=True):
        text = a3m(span.row["id"], span.row["sequence"], hits)
        run.msa(span.row["id"]).write_bytes(gzip.compress(text, compresslevel=6, mtime=0))
        depth[span.number] = len(hits)
    rows = [
        {
            "number": span.number, "start": 0, "id": span.row["id"], "sequence": span.row["sequence"],
            "homologs": depth[span.number], "file": run.msa(span.row["id"]).name,
        }
        for span in spans
    ]  # fmt: skip
    return Done.of(rows, FOUND, [])


def depth_of(run: Search, row: Row) -> int | None:
    """Homologs in the alignment of a query that is there already, with the same id and sequence; None if none is."""
    file = run.msa(row["id"])
    if not file.is_file():
        return None
    packed = file.read_bytes()
    try:
        text = gzip.decompress(packed)
    except (EOFError, gzip.BadGzipFile, zlib.error):  # it is made anew
        return None
    return text.count(b"\n>") if text.startswith(a3m(row["id"], row["sequence"], [])) else None


def conclude(run: Search, files: list[Location], summary: dict) -> dict:
    """How deep the alignments are; those of queries that are not asked for any more go."""
    rows = [row for file in files for row in read_parquet(file, ["file", "homologs"]).to_pylist()]
    asked = {row["file"].casefold() for row in rows}
    for file in run.msas.files("*.a3m.gz"):
        if file.name.casefold() not in asked:  # a file system may know one spelling alone
            file.remove()
    counts = sorted(row["homologs"] for row in rows)
    return {"median_homologs": counts[len(counts) // 2] if counts else None, "without_homologs": counts.count(0)}


def shown(run: Search, summary: dict) -> dict[str, object]:
    told = f"{summary['median_homologs']} in the median, none for {summary['without_homologs']} of {summary['n_rows']}"
    return {"alignments": run.msas, "homologs": told}


JOB = BatchJob(
    name="alignments", unit="queries", table="homologs", source=SOURCE, identity=identity, grows=("queries",),
    rows=rows, cost=cost, open=open_database, work=work, timed=False, schema=lambda run: FOUND,
    memory=memory, conclude=conclude, shown=shown,
)  # fmt: skip
