"""The proteins of a run on interaction sites: the bundled chains, complexes, a three-line file, or a Parquet table.

``OUT/proteins/part-*.parquet``  ``schemas.SITES``
``OUT/rejected.parquet``         what could not be used, if there is any

Complexes are labelled by a batch job inside of the training (`inside.py`), whose rows are files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.job import BatchJob, Done, Row, Settled, Span, placed
from protray.cluster.storage.identity import content_digest
from protray.cluster.storage.rejects import check_rejected, rejected_table
from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import WRITING, column_names, read_batches, read_parquet
from protray.data.splits import SPLITS
from protray.data.structure.files import input_files
from protray.pipelines.structure.inputs import SOURCE, bytes_of, content_of, file_rows
from protray.pipelines.tasks.inside import InsideSettings, run_inside
from protray.seq.errors import InputError
from protray.seq.keyed import key

TABLE = "proteins"
PARQUET = ".parquet"
COORDINATES = {"backbone_cA", "ca_distance_dA"}  # columns of a table
THREE_LINES = (".3line", ".txt", ".fasta", ".fa")
MOST_VALIDATION = 0.25  # share of the training proteins
PER_BYTE_S = 5e-6  # of a core: areas of the atoms in 80 kB take 0.4 s
IDENTITY = 0.25  # of sequences in one cluster
ROWS_IN_GROUP = 64


def is_complexes(data: Location | None) -> bool:
    """Whether `data` is structure files."""
    return data is not None and data.suffix not in (PARQUET, *THREE_LINES)


def has_structures(data: Location | None) -> bool:
    """Whether models of structures have something to read."""
    if data is None or is_complexes(data):
        return True
    return data.suffix == PARQUET and data.is_file() and _has_coordinates(data)


@cache
def _has_coordinates(table: Location) -> bool:
    """Whether a row has some."""
    found = [name for name in COORDINATES if name in column_names(table)]
    batches = read_batches(table, found, ROWS_IN_GROUP) if found else ()
    return any(column.null_count < len(column) for batch in batches for column in batch.columns)


def bundled() -> Location:
    from protray.data.sites.table import BUNDLED

    return Location(BUNDLED)


def digest_of(data: Location | None) -> str:
    """Of what proteins are read from."""
    if data is None:
        return content_digest([bundled()])
    return content_digest(_files(data), data)


def _files(data: Location) -> list[Location]:
    if is_complexes(data):
        return [Location(file) for file in input_files(data.path)]
    if not data.is_file():
        raise ValueError(f"{data}: no such file")
    return [data]


@dataclass(frozen=True, kw_only=True)
class LabelComplexes(InsideSettings):
    """Which complexes."""

    data: Location
    seed: int
    validation: int


def complexes_of(out: Location, data: Location | None, validation: int, seed: int) -> list[LabelComplexes]:
    """The batch job that labels complexes, if `data` are some."""
    if data is None or not is_complexes(data):
        return []
    return [LabelComplexes(out=out / "cache" / TABLE, data=data, seed=seed, validation=validation)]


def make_proteins(out: Location, data: Location | None, validation: int, seed: int) -> list[Location]:
    """Make what is missing; returns the tables.

    Raises
    ------
    ValueError
        If more than a tenth of the files or records cannot be used, or no protein is left for a split.
    """
    if data is None:
        return [bundled()]
    found = [run_inside(JOB, run, f"proteins of {data}") for run in complexes_of(out, data, validation, seed)]
    tables = found[0] if found else _of_file(out, data, validation, seed)
    splits = [split for file in tables for split in read_parquet(file, ["split"])["split"].to_pylist()]
    for split in SPLITS:
        if split not in splits:
            raise ValueError(f"no protein of {data} is of the {split} split; give more proteins, or another split")
    return tables


def _of_file(out: Location, data: Location, validation: int, seed: int) -> list[Location]:
    import ray

    table, record = out / TABLE / "part-00000.parquet", out / "cache" / f"{TABLE}.json"
    made_of = {"data": digest_of(data), "validation": validation, "seed": seed}  # another one may have been refused
    if not table.is_file() or not record.is_file() or record.read_json() != made_of:
        # one CPU: with many threads eigenvectors of small matrices take longer
        ray.get(ray.remote(num_cpus=1)(_write_file).remote(out, data, table, validation, seed))
        record.write_json(made_of)
    check_rejected(out, f"proteins of {data}", read_parquet(table, ["id"]).num_rows)
    return [table]


def _write_file(out: Location, data: Location, table: Location, validation: int, seed: int) -> None:
    """Ray task: read the file, and write what can be used of it; the rejects first."""
    from protray.data.sites.files import table_rows, three_line_rows

    if data.suffix == PARQUET:
        rows, errors = [], []
        for found in table_rows(data):
            (errors if isinstance(found, InputError) else rows).append(found)
    else:
        rows, errors = three_line_rows(data.path)
    (out / "rejected.parquet").remove()
    if errors:
        with (out / "rejected.parquet").writing() as path:
            pq.write_table(rejected_table(errors), path, **WRITING)
    found = splits_of(rows, validation, seed)
    rows = [row | {"cluster": found[row["id"]][0], "split": found[row["id"]][1]} for row in rows]
    with table.writing() as path:
        content = pa.Table.from_pylist(rows, schema=schemas.SITES)
        pq.write_table(content, path, row_group_size=ROWS_IN_GROUP, **WRITING)


def splits_of(rows: list[dict], validation: int, seed: int) -> dict[str, tuple[str, str]]:
    """Cluster and split of each protein; clusters are made where rows have none, and so are splits.

    Where rows have a split but none of validation, whole clusters of training proteins become it, those with the
    smallest hashes, until there are `validation` proteins (or a quarter).
    """
    from protray.data.splits import cluster_by_identity, complete, share_clusters, warn_of_related

    clusters = complete({row["id"]: row["cluster"] for row in rows}, "cluster")
    if not clusters:
        clusters = cluster_by_identity({row["id"]: row["sequence"] for row in rows}, IDENTITY)
    splits = complete({row["id"]: row["split"] for row in rows}, "split")
    if not splits:
        splits = share_clusters(clusters, seed)
    elif "validation" not in splits.values():
        splits = carved(clusters, splits, validation, seed)
    warn_of_related(clusters, splits)
    return {id: (clusters[id], splits[id]) for id in splits}


def carved(clusters: dict[str, str], splits: dict[str, str], count: int, seed: int) -> dict[str, str]:
    """Turn whole clusters of training proteins into the validation split."""
    train = [id for id, split in splits.items() if split == "train"]
    of: dict[str, list[str]] = {}
    for id in train:
        of.setdefault(clusters[id], []).append(id)
    wanted, chosen = min(count, int(MOST_VALIDATION * len(train))), set()
    for cluster in sorted(of, key=lambda cluster: key(seed, "validation", cluster)):
        if len(chosen) < wanted:
            chosen |= set(of[cluster])
    return {id: "validation" if id in chosen else split for id, split in splits.items()}


def identity(run: LabelComplexes) -> dict:
    return {"data": digest_of(run.data), "seed": run.seed, "validation": run.validation}


def rows(run: LabelComplexes) -> Iterator[Row | InputError]:
    return file_rows(run, [run.data])


def cost(run: LabelComplexes, row: Row) -> float:
    return PER_BYTE_S * bytes_of(row)


def work(run: LabelComplexes, spans: list[Span]) -> Done:
    """Labelled chains of some files."""
    from protray.data.sites.files import complex_rows

    found, rejected = [], []
    for span in spans:
        try:
            made, errors = complex_rows(content_of(span.row), span.row["file"])
        except InputError as error:
            rejected.append(error)
            continue
        rejected += errors
        found += [row | {"number": span.number, "start": start} for start, row in enumerate(made)]
    return Done.of(found, schemas.SITES, rejected)


def settle(run: LabelComplexes, found: pa.Table) -> Settled:
    """Clusters and splits, which all chains together tell; of several chains with one id the first is kept."""
    rejected, first = [], {}
    for row in found.sort_by([("number", "ascending"), ("start", "ascending")]).to_pylist():
        if first.setdefault(row["id"], row) is not row:
            reason = "its id is also that of a chain before it, which is kept"
            rejected.append(InputError(str(run.data), None, reason, row["id"]))
    kept = list(first.values())
    told = splits_of([row | {"cluster": "", "split": ""} for row in kept], run.validation, run.seed)
    columns = {name: [row[name] for row in kept] for name in ("number", "start")}
    columns |= {name: [told[row["id"]][place] for row in kept] for place, name in enumerate(("cluster", "split"))}
    kinds = placed(pa.schema([("cluster", pa.string()), ("split", pa.string())]))
    return Settled(pa.table(columns, schema=kinds), rejected, {})


JOB = BatchJob(
    name="sites of complexes", unit="files", table=TABLE, source=SOURCE, identity=identity, rows=rows, cost=cost,
    work=work, schema=lambda run: schemas.SITES, names=("id", "sequence"), settle=settle,
)  # fmt: skip
