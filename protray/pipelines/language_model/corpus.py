"""FASTA files -> an encoded corpus, which pre-training maps into memory; `pretrain` runs it first.

``OUT/train-*.npy``, ``OUT/held-out-*.npy``  sequences end to end (`plm.pretraining.corpus`), written by the actors
``OUT/files/*.parquet``                      which files each of these parts is of, and what was counted in them
``OUT/corpus.json``                          names of the parts, and counts; written last
"""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import pyarrow as pa

from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.job import Amount, BatchJob, BatchSettings, Done, Row, Settled, Span
from protray.cluster.storage.identity import contents, digest
from protray.data.lengths import read_lengths
from protray.data.location import Location
from protray.plm.pretraining.corpus import MIN_LENGTH, Part
from protray.plm.pretraining.encode import EXCLUDED, IdTable, Sieve, add_up, draw_clusters, encode_files, read_ids
from protray.seq.errors import InputError
from protray.seq.fasta import fasta_files, read_sequences
from protray.seq.files.packed import SUFFIXES

SOURCE = pa.struct([("file", pa.string()), ("bytes", pa.int64())])
SCHEMA = pa.schema([("files", pa.list_(pa.string())), ("counts", pa.string())])  # counts: JSON
BYTE_S, PACKED = 7e-8, 2  # of a core for each byte of text, about; bytes of text for one of a packed file
ACTOR_BYTES = 1 << 29  # Python, and a part while it is filled
TABLES = ("excluded", "clusters")  # of ids, sorted, in OUT/work

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(BatchSettings):
    """What to read, and what of it trains, is held out, or left out; files are such as all nodes see."""

    fasta: tuple[Location, ...]
    held_out: tuple[Location, ...] = ()
    """FASTA files of proteins whose ids never train"""
    clusters: Location | None = None
    """Table `representative<TAB>member` of MMseqs2; `held_out_share` of its clusters are held out"""
    held_out_share: float = 0.01
    seed: int = 0
    """Of the draw of clusters"""
    exclude: Location | None = None
    """Text file of ids to leave out"""
    min_length: int = MIN_LENGTH
    max_rejected: float = 0.0
    """No file may be damaged: what is lost of one would not be seen"""

    @property
    def summary(self) -> Location:
        return self.out / "corpus.json"


def encode_corpus(settings: CorpusSettings) -> tuple[dict, Location]:
    """Do what is missing in the folder ``corpus-DIGEST`` of ``settings.out``; returns ``corpus.json`` and that folder.

    Raises
    ------
    ValueError
        If a file cannot be read to its end, if nothing is left to train on, or if no cluster was held out.
    """
    folder = corpus_folder(settings)
    return run_batch(JOB, replace(settings, out=folder)), folder


def corpus_folder(settings: CorpusSettings) -> Location:
    """Where the corpus of these settings and files is, below ``settings.out``."""
    return settings.out / f"corpus-{digest(identity(settings))}"


def identity(run: CorpusSettings) -> dict:
    def one(path: Location | None) -> str | None:
        return contents([path]) if path else None

    return {
        "fasta": contents(files_of(run.fasta)),
        "held_out": contents(files_of(run.held_out)) if run.held_out else None,
        "clusters": one(run.clusters),
        "held_out_share": run.held_out_share if run.clusters else None,
        "seed": run.seed if run.clusters else None,
        "exclude": one(run.exclude),
        "min_length": run.min_length,
    }


def files_of(paths: Iterable[Location]) -> list[Location]:
    return [Location(file) for file in fasta_files(path.path for path in paths)]


def rows(run: CorpusSettings) -> Iterator[Row | InputError]:
    """Every file; before the first, the tables that decide on ids are there."""
    for name, ids in tables(run).items():
        if not (run.work / f"{name}.npy").is_file():
            with (run.work / f"{name}.npy").writing() as partial, partial.open("wb") as file:
                np.save(file, IdTable.make(ids).entries_M)
    for file in files_of(run.fasta):
        yield {"file": str(file), "bytes": file.size()}


def tables(run: CorpusSettings) -> dict[str, Iterable[tuple[str, bool]]]:
    """Ids that do not simply train, each with a bit: whether it is held out."""
    ids: Iterable[tuple[str, bool]] = ()
    if run.held_out:
        ids = ((name, False) for name, _ in read_sequences(path.path for path in run.held_out))
    if run.exclude:
        ids = chain(ids, read_ids(run.exclude.path))
    found: dict[str, Iterable[tuple[str, bool]]] = {"excluded": ids}
    if run.clusters:
        found["clusters"] = draw_clusters(run.clusters.path, run.held_out_share, run.seed)
    return found


def cost(run: CorpusSettings, row: Row) -> float:
    return BYTE_S * row["bytes"] * (PACKED if Location(row["file"]).suffix in SUFFIXES else 1)


def amount(run: CorpusSettings) -> Amount:
    """The sequences of all files, for a plan; the job itself works off files."""
    files = files_of(run.fasta)
    lengths = read_lengths([file.path for file in files])
    seconds = sum(cost(run, {"file": str(file), "bytes": file.size()}) for file in files)
    return Amount(lengths.total, seconds, lengths.exact, lengths.note)


def open_sieve(run: CorpusSettings, device: str) -> tuple[CorpusSettings, Sieve]:
    """Tables of ids are mapped into memory."""
    found = {}
    for name in TABLES:
        file = run.work / f"{name}.npy"
        found[name] = IdTable(np.load(file.fetch(), mmap_mode="r")) if file.is_file() else None
    return run, Sieve(min_length=run.min_length, **found)


def work(opened: tuple[CorpusSettings, Sieve], spans: list[Span]) -> Done:
    """Encode some files into parts of the corpus, which lie beside the finished table."""
    run, sieve = opened
    files, first = [Location(span.row["file"]) for span in spans], spans[0]

    def save(part: Part, name: str) -> None:
        for file, array in part.files(name).items():
            with (run.out / file).writing() as partial, partial.open("wb") as opened_file:
                np.save(opened_file, array)

    try:
        counts = encode_files((file.path for file in files), save, f"{first.number:08d}", sieve)
    except InputError as error:
        return Done.of([], SCHEMA, [error])
    row = {"number": first.number, "start": 0, "files": files, "counts": json.dumps(counts)}
    return Done.of([row], SCHEMA, [])


def settle(run: CorpusSettings, names: pa.Table) -> Settled:
    """Add up what was counted; ValueError if too much was left out."""
    total = add_up(map(json.loads, names["counts"].to_pylist()))
    if len(names):
        check(run, total)
    return Settled(names.select(["number", "start"]), [], total)


def check(run: CorpusSettings, total: dict) -> None:
    """Say what was left out, and stop if too much was."""
    counted, residues = total["sequences"], total["residues"]
    log.info("corpus: %d sequences, %.1f M residues to train on", counted["train"], residues["train"] / 1e6)
    if run.clusters:
        log.info("corpus: %d sequences of whole clusters are held out", counted["held-out"])
    for reason, count in sorted(total["left_out"].items()):
        log.info("corpus: %d left out: %s (first: %s)", count, reason, total["first_left_out"][reason])
    if run.exclude and EXCLUDED not in total["left_out"]:
        log.warning("corpus: no sequence has an id of %s; are they spelled as in the FASTA headers?", run.exclude)
    if not counted["train"]:
        raise ValueError(f"nothing to train on in {list(run.fasta)}: {total['left_out']}")
    if run.clusters and not counted["held-out"]:
        raise ValueError(
            f"no sequence belongs to a held-out cluster of {run.clusters}: raise --held-out-share, now "
            f"{run.held_out_share}, or use smaller clusters"
        )


def conclude(run: CorpusSettings, files: list[Location], summary: dict) -> dict:
    """Count ids that occur more than once."""
    parts = [(run.out / f"{name}.ids_M.npy").fetch() for name in summary["parts"]["train"]]
    ids = np.concatenate([np.load(part, mmap_mode="r") for part in parts])
    repeated = len(ids) - len(np.unique(ids))
    if repeated:
        log.warning("corpus: %d sequences have the id of another; they train as often as they occur", repeated)
    return {"repeated_ids": repeated}


JOB = BatchJob(
    name="corpus", unit="files", table="files", source=SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_sieve, work=work, timed=False, schema=lambda run: SCHEMA, memory=lambda run: ACTOR_BYTES,
    names=("counts",), settle=settle, amount=amount, conclude=conclude,
)  # fmt: skip
