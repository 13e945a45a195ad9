"""The decoys of a quality run: derived from natives of the sample, or read from files; each scored against its native.

A batch job inside of a training, whose rows are targets, and whose finished rows are ``schemas.DECOYS``.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from protray.cluster.batch.job import BatchJob, Done, Row, Span
from protray.cluster.storage.identity import content_digest, dataset_digest
from protray.data import schemas
from protray.data.location import Location
from protray.data.splits import SPLITS
from protray.pipelines.tasks.inside import InsideSettings, run_inside
from protray.seq.errors import InputError
from protray.seq.keyed import key
from protray.struct.decoys import DecoyConfig

if TYPE_CHECKING:
    from protray.data.decoys.files import TargetFiles

log = logging.getLogger(__name__)

PER_DECOY_S = 0.03  # of a core, about, to make and to score one
SOURCE = pa.struct([("target", pa.string()), ("split", pa.string())])
Target = tuple[str, str]  # name and split


@dataclass(frozen=True, kw_only=True)
class DecoySettings:
    """Which decoys are derived, where no files are given."""

    targets: tuple[int, int, int] = (200, 40, 80)
    """Natives of the sample's training, validation and test split, at most."""
    each: int = 12
    """Decoys of a native: torsion moves, swung stretches and noise in turn."""
    make: DecoyConfig = field(default_factory=DecoyConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if min(*self.targets, self.each) < 1:
            raise ValueError(f"targets and each must be at least 1, got {self.targets} and {self.each}")


def targets_of(data: Location | None, settings: DecoySettings) -> list[Target]:
    """All targets with their splits, sorted by name; of files, those of the table, or by clusters of the sequences."""
    return _targets_of_files(data, settings.seed) if data else _targets_of_sample(settings.targets)


@cache
def _targets_of_sample(counts: tuple[int, int, int]) -> list[Target]:
    """Those with the smallest hashes of their ids: asked for more, the same and more."""
    from protray.data.structure.structures import read_structures

    found = []
    for split, count in zip(SPLITS, counts, strict=True):
        found += [(id, split) for id in sorted(read_structures(split=split).ids, key=key)[:count]]
    return sorted(found)


@cache
def _targets_of_files(data: Location, seed: int) -> list[Target]:
    """Those that cannot be read are left out."""
    from protray.data.decoys.files import sequence_of
    from protray.data.splits import cluster_by_identity, complete, share_clusters, warn_of_related

    found, sequences = _files_of(data), {}
    for target, files in found.items():
        try:
            sequences[target] = sequence_of(files)
        except InputError as error:
            log.warning("target %s is left out: %s", target, error)
    clusters = cluster_by_identity(sequences)
    splits = complete({target: found[target].split for target in sequences}, "split")
    if not splits:
        return sorted(share_clusters(clusters, seed).items())
    for split in SPLITS:
        if split not in splits.values():
            raise ValueError(f"no target of {data} is of the {split} split, by the column split of its table")
    warn_of_related(clusters, splits)
    return sorted(splits.items())


@cache
def _files_of(data: Location) -> "dict[str, TargetFiles]":
    from protray.data.decoys.files import find_targets

    return find_targets(data)


def digest_of(data: Location | None) -> str:
    """Of what targets are read from."""
    return content_digest(data.files(), data) if data else dataset_digest(None)


@dataclass(frozen=True, kw_only=True)
class MakeDecoys(InsideSettings):
    """Which decoys to make."""

    data: Location | None
    decoys: DecoySettings


def make_decoys(out: Location, data: Location | None, settings: DecoySettings) -> Location:
    """Make what is missing; returns the folder of the tables.

    Raises
    ------
    ValueError
        If more than a tenth of the files cannot be used.
    """
    run = decoys_run(out, data, settings)
    run_inside(JOB, run, "files")
    return run.folder(JOB.table)


def decoys_run(out: Location, data: Location | None, settings: DecoySettings) -> MakeDecoys:
    """The batch job inside of a training."""
    return MakeDecoys(out=out / "cache" / JOB.table, data=data, decoys=settings)


def identity(run: MakeDecoys) -> dict:
    return {"data": digest_of(run.data), "decoys": asdict(run.decoys)}


def rows(run: MakeDecoys) -> Iterator[Row]:
    yield from ({"target": target, "split": split} for target, split in targets_of(run.data, run.decoys))


def cost(run: MakeDecoys, row: Row) -> float:
    return PER_DECOY_S * (len(_files_of(run.data)[row["target"]].decoys) if run.data else run.decoys.each)


def work(run: MakeDecoys, spans: list[Span]) -> Done:
    """The decoys of some targets."""
    from protray.data.decoys.files import file_rows

    errors: list[InputError] = []
    by_target: dict[str, list[dict]] = {span.row["target"]: [] for span in spans}
    if run.data:
        for span in spans:
            target = span.row["target"]
            by_target[target], rejected = file_rows(target, span.row["split"], _files_of(run.data)[target])
            errors += rejected
    else:
        for row in sample_rows([(span.row["target"], span.row["split"]) for span in spans], run.decoys):
            by_target[row["target"]].append(row)
    made = [
        row | {"number": span.number, "start": start}
        for span in spans
        for start, row in enumerate(by_target[span.row["target"]])
    ]
    return Done.of(made, schemas.DECOYS, errors)


def sample_rows(targets: Sequence[Target], settings: DecoySettings) -> list[dict]:
    """Rows of the decoys derived from natives of the sample."""
    import pyarrow.parquet as pq

    from protray.data.decoys.table import derived_rows
    from protray.data.sample import SAMPLE
    from protray.data.structure.structures import stored_backbone

    splits, rows = dict(targets), []
    table = pq.read_table(SAMPLE, columns=["id", "sequence", "backbone_cA"], filters=[("id", "in", list(splits))])
    for row in table.to_pylist():
        backbone_L43 = stored_backbone(np.array(row["backbone_cA"], dtype=np.int16))
        named = row["id"], splits[row["id"]], row["sequence"]
        rows += derived_rows(*named, backbone_L43, settings.each, settings.make, settings.seed)
    return rows


JOB = BatchJob(
    name="decoys", unit="targets", table="decoys", source=SOURCE, identity=identity, rows=rows, cost=cost,
    work=work, schema=lambda run: schemas.DECOYS,
)  # fmt: skip
