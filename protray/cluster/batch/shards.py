"""Proteins cut into shards, so that a job of millions holds a few in memory and never opens a finished one again.

``manifest.json``              settings, and for each shard its size and, once it is finished, what became of it
``work/shard-00000.parquet``   id, sequence, file, line of its proteins; removed when it is finished
``work/rejected.parquet``      what can be seen to be unusable without a language model
"""

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.seen import SeenIds
from protray.cluster.storage import remote
from protray.cluster.storage.files import difference, group_reasons, read_json, rejected_table, write_json, write_table
from protray.data import schemas
from protray.data.dataset import parquet_files
from protray.data.parquet import read_batches
from protray.seq.alphabet import decode
from protray.seq.fasta import Source, codes_of, fasta_files, stream_fasta
from protray.seq.msa import InputError

log = logging.getLogger(__name__)

SHARD_PROTEINS = 100_000
SHARD_RESIDUES = 16_000_000  # 1.3 GB of maps in float32
REJECTS_AT_ONCE = 10_000
SOURCES_AT_ONCE = 4_096  # whose ids are looked up together
TRASH = ".finished"
STAGED = pa.schema([("id", pa.string()), ("sequence", pa.string()), ("file", pa.string()), ("line", pa.int64())])


@dataclass
class Shard:
    """How many proteins there are, what they cost, and, once `finished`, what became of them."""

    proteins: int
    tokens: int
    finished: bool = False
    computed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)  # why the others were rejected
    again: int = 0  # of the others, those that the next run tries again


@dataclass
class Manifest:
    """What a folder of shards holds."""

    out: Path
    settings: dict
    shards: list[Shard] | None = None  # None until all inputs are read
    reasons: dict[str, int] = field(default_factory=dict)  # of what was rejected while they were read

    @classmethod
    def read(cls, out: Path, settings: dict) -> "Manifest | None":
        """The manifest of `out`; None where there is none yet.

        Raises
        ------
        ValueError
            When the folder belongs to other settings, which are named, or holds files that are not ours.
        """
        path = out / "manifest.json"
        if not path.is_file():
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise ValueError(f"{out} exists and has no manifest.json; choose another --out, or remove it")
            return None
        stored = read_json(path)
        if changed := difference(stored["settings"], settings):
            raise ValueError(f"{out} was made differently: {changed}. Choose another --out, or remove it")
        shards = None if stored["shards"] is None else [Shard(**shard) for shard in stored["shards"]]
        return cls(out, settings, shards, stored["reasons"])

    @classmethod
    def open(cls, out: Path, settings: dict) -> "Manifest":
        """Read the manifest of `out`, or begin one; raises as `read` does."""
        manifest = cls.read(out, settings)
        if manifest is None:
            out.mkdir(parents=True, exist_ok=True)
            manifest = cls(out, settings)
            manifest.save()
        shutil.rmtree(out / TRASH, ignore_errors=True)
        return manifest

    def save(self) -> None:
        write_json(self.out / "manifest.json", {name: value for name, value in asdict(self).items() if name != "out"})

    @property
    def work(self) -> Path:
        return self.out / "work"

    @property
    def unfinished(self) -> list[int]:
        return [number for number, shard in enumerate(self.shards or []) if not shard.finished]

    @property
    def tokens_left(self) -> int:
        """Forward tokens of the shards that are not finished."""
        return sum(shard.tokens for shard in self.shards or [] if not shard.finished)

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to do: no protein, no clearing up."""
        return self.shards is not None and not self.unfinished and not self.work.exists()

    def staged(self, number: int) -> Path:
        return self.work / f"shard-{number:05d}.parquet"

    def rejected(self, number: int) -> Path:
        return self.work / f"rejected-{number:05d}.parquet"

    def stage(self, sources: Iterable[Source | InputError], size: int, tokens_of: Callable[[int], int]) -> None:
        """Write shards of at most `size` proteins; `tokens_of(length)` is what a protein costs.

        Of proteins with one id the first is kept.  An id is remembered as 64 bits: of 10^8 proteins one is rejected by
        mistake with a probability of 1 in 3,700.
        """
        remote.remove(self.work)  # of a run that was killed while it read
        self.work.mkdir()
        shards: list[Shard] = []
        rejects = _Rejects(self.work / "rejected.parquet")
        for rows in _cut(_usable(sources, rejects), size):
            table = pa.Table.from_pylist([asdict(source) for source in rows], schema=STAGED)
            write_table(table, self.staged(len(shards)))
            shards.append(Shard(len(rows), sum(tokens_of(len(source.sequence or "")) for source in rows)))
            if len(rows) == size:
                log.info("read %d proteins", sum(shard.proteins for shard in shards))
        self.reasons = rejects.close()
        self.shards = shards
        self.save()

    def finish(self) -> None:
        """Write ``rejected.parquet``; remove the work folder unless proteins in it are to be tried again."""
        before, all_rejected = self.work / "rejected.parquet", self.out / "rejected.parquet"
        if before.exists() or not all_rejected.exists():  # else a late process has written once more to what was done
            tables = [pq.read_table(before, schema=schemas.REJECTED)]
            for number, _ in enumerate(self.shards or []):
                if self.rejected(number).exists():
                    tables.append(pq.read_table(self.rejected(number), schema=schemas.REJECTED))
            write_table(pa.concat_tables(tables), all_rejected)
        if not self.unfinished:
            shutil.rmtree(self.out / TRASH, ignore_errors=True)
            self.work.rename(self.out / TRASH)  # at once: half a work folder would look like work to do
            remote.remove(self.work)  # in the bucket, where it has the old name
            shutil.rmtree(self.out / TRASH)

    def summary(self) -> dict:
        """Counts of all shards; `again` of the rejected will be tried by the next run."""
        shards = self.shards or []
        reasons = Counter(self.reasons)
        for shard in shards:
            reasons.update(shard.reasons)
        return {
            "n_computed": sum(shard.computed for shard in shards),
            "n_rejected": sum(reasons.values()),
            "n_again": sum(shard.again for shard in shards),
            "reasons": dict(reasons.most_common()),
        }


def read_sources(data: Path) -> Iterator[Source | InputError]:
    """Yield the proteins of a prepared dataset, of a FASTA file, or of all FASTA files in a folder."""
    for path in source_files(data):
        if path.suffix != ".parquet":
            yield from stream_fasta(path)
            continue
        for batch in read_batches(path, ["id", "sequence"], 4096):
            for row in batch.to_pylist():
                yield Source(row["id"], str(path), None, row["sequence"])


def source_files(data: Path) -> list[Path]:
    """The files that `data` means; raises ValueError if there are none."""
    if (data / "dataset.json").is_file():
        return parquet_files(data / "proteins")
    if (data / "settings.json").is_file() and (data / "parsed").is_dir():
        raise ValueError(f"{data} is not finished; run jobs/prepare.py again")
    return fasta_files([data])


class _Rejects:
    """A growing table of rejects on disk; memory holds the last ones and the counts."""

    def __init__(self, path: Path) -> None:
        self.path, self.partial = path, path.with_suffix(".partial")
        self.writer = pq.ParquetWriter(self.partial, schemas.REJECTED)
        self.held: list[InputError] = []
        self.reasons: Counter[str] = Counter()

    def add(self, error: InputError) -> None:
        self.held.append(error)
        if len(self.held) == REJECTS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self.reasons.update(group_reasons([error.reason for error in self.held]))
        self.writer.write_table(rejected_table(self.held))
        self.held = []

    def close(self) -> dict[str, int]:
        self._flush()
        self.writer.close()
        self.partial.replace(self.path)
        remote.push(self.path)
        return dict(self.reasons)


def _usable(sources: Iterable[Source | InputError], rejects: _Rejects) -> Iterator[Source]:
    """Clean sequences, each id once; whatever else goes to `rejects`."""
    seen, left = SeenIds(), iter(sources)
    while rows := [_cleaned(source) for source in islice(left, SOURCES_AT_ONCE)]:
        new = iter(seen.add(row.id for row in rows if isinstance(row, Source)))
        for row in rows:
            if isinstance(row, InputError):
                rejects.add(row)
            elif next(new):
                yield row
            else:
                reason = f"id {row.id!r} is also that of a protein before it, which is kept"
                rejects.add(InputError(row.file, row.line, reason, row.id))


def _cleaned(source: Source | InputError) -> Source | InputError:
    """The protein with its residues in our letters, or why it cannot be used."""
    if isinstance(source, InputError):
        return source
    try:
        return replace(source, sequence=decode(codes_of(source.sequence or "")))
    except ValueError as error:
        return InputError(source.file, source.line, str(error), source.id)


def _cut(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    """Lists of at most `size` proteins and ``SHARD_RESIDUES``, unless one alone has more."""
    rows: list[Source] = []
    residues = 0
    for source in sources:
        length = len(source.sequence or "")
        if rows and (len(rows) == size or residues + length > SHARD_RESIDUES):
            yield rows
            rows, residues = [], 0
        rows.append(source)
        residues += length
    if rows:
        yield rows
