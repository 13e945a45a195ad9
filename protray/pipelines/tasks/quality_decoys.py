"""The decoys of a quality run: derived from natives of the sample, or read from files; each scored against its native.

``OUT/decoys/part-*.parquet``  ``schemas.DECOYS``, some targets each; a part that is there is not made again
``OUT/rejected.parquet``       files that could not be used, if there are any
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from protray.data.location import Location
from protray.data.splits import SPLITS
from protray.seq.errors import InputError
from protray.seq.keyed import key
from protray.struct.decoys import DecoyConfig

if TYPE_CHECKING:
    from protray.data.decoy_files import TargetFiles

log = logging.getLogger(__name__)

SHARES = (0.15, 0.2)  # of the clusters of targets, for validation and test
AT_ONCE = 8  # targets of a part: some seconds of a core
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
    """All targets with their splits, sorted by name; of files, split by clusters of their natives' sequences."""
    return _targets_of_files(data, settings.seed) if data else _targets_of_sample(settings.targets)


@cache
def _targets_of_sample(counts: tuple[int, int, int]) -> list[Target]:
    """Those with the smallest hashes of their ids: asked for more, the same and more."""
    from protray.data.structures import read_structures

    found = []
    for split, count in zip(SPLITS, counts, strict=True):
        found += [(id, split) for id in sorted(read_structures(split=split).ids, key=key)[:count]]
    return sorted(found)


@cache
def _targets_of_files(data: Location, seed: int) -> list[Target]:
    """Those that cannot be read are left out."""
    from protray.data.decoy_files import sequence_of
    from protray.data.splits import cluster_by_identity

    sequences = {}
    for target, files in _files_of(data).items():
        try:
            sequences[target] = sequence_of(files)
        except InputError as error:
            log.warning("target %s is left out: %s", target, error)
    return sorted(split_targets(cluster_by_identity(sequences), seed).items())


def split_targets(clusters: Mapping[str, str], seed: int) -> dict[str, str]:
    """Give every target the split of its cluster, and each split its share of the clusters, at least one.

    Targets are few, so shares of a hash (`assign_splits`) would leave splits empty; the price is that targets which are
    added later may move others.

    Raises ValueError for fewer than three clusters.

    >>> split_targets({"a": "1", "b": "2", "c": "2", "d": "3"}, seed=0)
    {'a': 'test', 'b': 'train', 'c': 'train', 'd': 'validation'}
    """
    order = sorted(set(clusters.values()), key=lambda cluster: key(seed, cluster))
    if len(order) < len(SPLITS):
        raise ValueError(
            f"{len(clusters)} targets in {len(order)} clusters of 25 % identity cannot be split into "
            f"{', '.join(SPLITS)} without parting related ones; give targets of three clusters at least"
        )
    validation, test = (max(1, round(share * len(order))) for share in SHARES)
    of_cluster = {cluster: "validation" for cluster in order[:validation]}
    of_cluster |= {cluster: "test" for cluster in order[validation : validation + test]}
    return {target: of_cluster.get(cluster, "train") for target, cluster in clusters.items()}


@cache
def _files_of(data: Location) -> "dict[str, TargetFiles]":
    from protray.data.decoy_files import find_targets

    return find_targets(data)


def make_decoys(out: Location, data: Location | None, settings: DecoySettings) -> Location:
    """Make the parts that are missing, as tasks of Ray; returns their folder.

    Raises
    ------
    ValueError
        If more than a tenth of the files cannot be used.
    """
    import ray

    from protray.cluster.storage.rejects import group_reasons, reason_lines, rejected_table

    folder, targets = out / "decoys", targets_of(data, settings)
    there = {file.name for file in folder.files("*.parquet")}
    files = _files_of(data) if data else {}
    make = ray.remote(num_cpus=1)(make_part)
    pending = []
    for number, start in enumerate(range(0, len(targets), AT_ONCE)):
        name, some = f"part-{number:05d}.parquet", targets[start : start + AT_ONCE]
        if name not in there:
            own = {target: files[target] for target, _ in some} if data else None
            pending.append(make.remote(folder / name, some, own, settings))
    if pending:
        log.info("making and scoring the decoys of %d targets", len(targets))
    made, errors = 0, []
    for count, rejected in ray.get(pending):
        made += count
        errors += rejected
    if errors:
        write_rejected(out / "rejected.parquet", rejected_table(errors))
        reasons = reason_lines(group_reasons(error.reason for error in errors))
        if len(errors) > 0.1 * (made + len(errors)):
            folder.remove()
            raise ValueError(f"{len(errors)} of {made + len(errors)} files cannot be used:{reasons}")
        log.warning("%d of %d files cannot be used:%s", len(errors), made + len(errors), reasons)
    return folder


def write_rejected(file: Location, table: pa.Table) -> None:
    """Write what could not be used."""
    import pyarrow.parquet as pq

    with file.writing() as path:
        pq.write_table(table, path)


def make_part(
    file: Location, targets: Sequence[Target], files: "dict[str, TargetFiles] | None", settings: DecoySettings
) -> tuple[int, list[InputError]]:
    """Ray task: make and score the decoys of some targets; returns how many there are, and what could not be used."""
    from protray.data.decoy_files import file_rows
    from protray.data.decoys import write_decoys

    rows: list[dict] = []
    errors: list[InputError] = []
    if files is None:
        rows = sample_rows(targets, settings)
    else:
        for target, split in targets:
            found, rejected = file_rows(target, split, files[target])
            rows += found
            errors += rejected
    write_decoys(rows, file)
    return len(rows), errors


def sample_rows(targets: Sequence[Target], settings: DecoySettings) -> list[dict]:
    """Rows of the decoys derived from natives of the sample."""
    import pyarrow.parquet as pq

    from protray.data.decoys import derived_rows
    from protray.data.sample import SAMPLE
    from protray.data.structures import stored_backbone

    splits, rows = dict(targets), []
    table = pq.read_table(SAMPLE, columns=["id", "sequence", "backbone_cA"], filters=[("id", "in", list(splits))])
    for row in table.to_pylist():
        backbone_L43 = stored_backbone(np.array(row["backbone_cA"], dtype=np.int16))
        named = row["id"], splits[row["id"]], row["sequence"]
        rows += derived_rows(*named, backbone_L43, settings.each, settings.make, settings.seed)
    return rows
