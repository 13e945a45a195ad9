"""Alignments and labels -> a prepared dataset.

``OUT/proteins/*.parquet``  one row per usable protein, ``schemas.PROTEINS``, sorted by id
``OUT/rejected.parquet``    one row per unusable one: id, file, line, reason
``OUT/dataset.json``        settings, counts, digest; written last

Proteins are read in parallel.  Clusters and splits, which depend on all of them, are settled by the driver at the end.
"""

import logging
import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import tyro

from protray.cluster.batch.job import BatchJob, BatchSettings, Done, Row, Settled, Span
from protray.cluster.storage.identity import contents
from protray.data.cluster_files import read_clusters, read_splits
from protray.data.location import Location
from protray.data.secondary.inputs import Item, files_in, find_items, make_row
from protray.data.secondary.proteins import ProteinSettings, protein_schema
from protray.data.splits import assign_splits, check_disjoint, cluster_by_identity, split_sizes
from protray.seq.errors import InputError
from protray.seq.files.packed import SUFFIXES
from protray.seq.secondary import Labels

if TYPE_CHECKING:
    from protray.struct.dssp import Program

COUNT_BINS = (0, 10, 30, 60, 1000)  # the paper's bins of homologs, and one more for the deep end
TEXT = pa.string()
LABEL = pa.struct([(name, TEXT) for name in ("id", "sequence", "ss3", "ss8", "file")] + [("line", pa.int64())])
SOURCE = pa.struct(
    [("id", TEXT), ("file", TEXT), ("bytes", pa.int64()), ("label", LABEL), ("structure", TEXT), ("chain", TEXT)]
)
ROW_S, BYTE_S, DSSP_S = 1e-3, 5e-7, 0.1  # of a core, about: any alignment, each byte of it, a structure to assign
MOST_BYTES = 1 << 20  # that count: of a deeper alignment Meff is estimated from some of its rows
PACKED = 4  # bytes of text for one of a packed file
ACTOR_BYTES = 1 << 29  # Python, a deep alignment, and the rows of an item

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prepare(BatchSettings):
    """What to read, and the settings that the numbers depend on; files are such as all nodes see."""

    msas: Location
    """Folder of alignments, one file per protein: .a3m .a2m .sto .fasta .aln, plain, .gz, .xz or .bz2"""
    labels: Location | None = None
    """3-line file, structure file, or a folder of these; without: for prediction only"""
    split_by: Location | None = None
    """Table of id<TAB>cluster or mmseqs representative<TAB>member; default: cluster here.  With a header
    id<TAB>cluster<TAB>split the splits are yours, too: train, validation or test"""
    identity: float = 0.25
    """Of the clustering; not used with --split-by"""
    dssp: Literal["auto", "mkdssp", "pydssp"] = "auto"
    """Program for labels from structures, on all nodes; auto: mkdssp (eight states) if here, else pydssp (three)"""
    proteins: tyro.conf.OmitArgPrefixes[ProteinSettings] = ProteinSettings()

    @property
    def summary(self) -> Location:
        return self.out / "dataset.json"


def identity(run: Prepare) -> dict:
    labels = label_files(run)
    if run.split_by:
        read_clusters(run.split_by.path)  # an error now, and not after hours
        read_splits(run.split_by.path)
    return {
        "alignments": contents(map(Location, files_in(run.msas.path)), run.msas),
        "labels": contents(labels, run.labels) if run.labels else None,
        "split_by": contents([run.split_by]) if run.split_by else None,
        "identity of clusters": None if run.split_by else run.identity,
        "dssp": program_of(run) if any(map(_is_structure, labels)) else None,
        **asdict(run.proteins),
    }


def label_files(run: Prepare) -> list[Location]:
    if run.labels is None:
        return []
    return [run.labels] if run.labels.is_file() else [Location(file) for file in files_in(run.labels.path)]


def program_of(run: Prepare) -> "Program":
    """The program for structures.  What ``auto`` means is decided once, by the driver, for all nodes and later runs."""
    from protray.struct.dssp import program

    if run.dssp != "auto":
        return run.dssp
    for record in (run.summary, run.work / "run.json"):
        before = record.read_json() if record.is_file() else {}
        if found := before.get("identity", before).get("dssp"):
            return found
    return program()


def rows(run: Prepare) -> Iterator[Row | InputError]:
    """Every alignment, with where its label comes from."""
    given = read_clusters(run.split_by.path) if run.split_by else None
    labels, ignore = run.labels.path if run.labels else None, (run.split_by.path,) if run.split_by else ()
    items, errors = find_items(run.msas.path, labels, ignore)
    yield from errors
    for item in items:
        if given is not None and item.id not in given:
            reason = f"id {item.id!r} is not in the cluster table {run.split_by}"
            yield InputError(item.msa_file, None, reason, item.id)
            continue
        row = asdict(item)
        yield {"file": row.pop("msa_file"), "bytes": os.stat(item.msa_file).st_size} | row


def cost(run: Prepare, row: Row) -> float:
    size = min(row["bytes"] * (PACKED if row["file"].endswith(SUFFIXES) else 1), MOST_BYTES)
    return ROW_S + BYTE_S * size + DSSP_S * bool(row["structure"])


def open_programs(run: Prepare, device: str) -> "tuple[Prepare, Program]":
    """ValueError on a node without the program that the dataset is labelled with."""
    dssp = program_of(run)
    if dssp == "mkdssp" and not shutil.which(dssp):
        raise ValueError(
            f"node {socket.gethostname()} has no mkdssp, which labels this dataset: install it on all nodes, or use "
            "--dssp pydssp"
        )
    return run, dssp


def work(opened: "tuple[Prepare, Program]", spans: list[Span]) -> Done:
    """A row for each alignment, or why it cannot be used."""
    run, dssp = opened
    made, rejected = [], []
    for span in spans:
        row = span.row
        label = Labels(**row["label"]) if row["label"] else None
        item = Item(row["id"], row["file"], label, row["structure"], row["chain"])
        try:
            found, labelled = make_row(item, run.proteins, dssp)
        except InputError as error:
            rejected.append(InputError(error.file, error.line, error.reason, item.id))
            continue
        made.append(found | {"number": span.number, "start": 0, "labelled": labelled})
    return Done.of(made, schema(run).append(pa.field("labelled", pa.string())), rejected)


def settle(run: Prepare, names: pa.Table) -> Settled:
    """Clusters of related proteins, and the split of each."""
    ids = names["id"].to_pylist()
    if run.split_by:
        given = read_clusters(run.split_by.path)
        clusters = {id: given[id] for id in ids}
    else:
        logger.info("clustering %d sequences at %.0f %% identity", len(ids), 100 * run.identity)
        sequences = dict(zip(ids, names["sequence"].to_pylist(), strict=True))
        clusters = cluster_by_identity(sequences, run.identity, cpus=os.cpu_count() or 1)
    given_splits = read_splits(run.split_by.path) if run.split_by else {}
    splits = assign_splits(clusters, seed=run.proteins.seed, given=given_splits)
    check_disjoint(clusters, splits)
    columns = names.select(["number", "start"])
    columns = columns.append_column("cluster", pa.array([clusters[id] for id in ids], pa.string()))
    columns = columns.append_column("split", pa.array([splits[id] for id in ids], pa.string()))
    n_clusters = len(set(clusters.values()))
    facts = {
        "settings": {**identity(run), "msas": run.msas, "labels": run.labels, "split_by": run.split_by},
        "n_proteins": len(ids),
        "labelled_by": dict(Counter(names["labelled"].to_pylist())),
        "splits": split_sizes(splits.values(), n_clusters),
        "n_clusters": n_clusters,
        "msa_count_histogram": count_histogram(names["msa_count"].to_pylist()),
    }
    return Settled(columns, [], facts)


def count_histogram(counts: list[int]) -> dict[str, int]:
    """How many proteins have how many homologs, in bins that end at ``COUNT_BINS``."""
    edges = [-1, *COUNT_BINS]
    histogram = {}
    for low, high in zip(edges, edges[1:], strict=False):
        name = f"{low + 1}-{high}" if low + 1 < high else str(high)
        histogram[name] = sum(low < count <= high for count in counts)
    return histogram | {f">{COUNT_BINS[-1]}": sum(count > COUNT_BINS[-1] for count in counts)}


def schema(run: Prepare) -> pa.Schema:
    return protein_schema(run.proteins)


def shown(run: Prepare, summary: dict) -> dict[str, object]:
    counts = {name: summary[name] for name in ("msa_count_histogram", "splits", "labelled_by")}
    homologs, splits, labels = ("   ".join(f"{bin}: {n}" for bin, n in one.items()) for one in counts.values())
    splits += f"   ({summary['n_clusters']} clusters)"
    return {"homologs": homologs, "splits": splits, "labels": labels, "digest": summary["digest"][:12]}


def _is_structure(file: Location) -> bool:
    from protray.struct.files.io import is_structure

    return is_structure(file)


JOB = BatchJob(
    name="proteins", unit="proteins", table="proteins", source=SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_programs, work=work, schema=schema, memory=lambda run: ACTOR_BYTES,
    names=("id", "sequence", "msa_count", "labelled"), settle=settle, shown=shown,
)  # fmt: skip
