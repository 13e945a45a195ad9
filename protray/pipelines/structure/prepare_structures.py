"""Structure files -> a prepared dataset of protein chains.

``OUT/structures/*.parquet``  one row per usable chain, ``schemas.STRUCTURES``
``OUT/rejected.parquet``      one row per file or chain that is left out: id, file, line, reason
``OUT/dataset.json``          settings, counts of every decision, digest; written last

Files are read in parallel.  Which chains stay, and in which cluster and split, is settled by the driver at the end.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa
import tyro

from protray.cluster.batch.job import Amount, BatchJob, BatchSettings, Done, Row, Settled, Span, placed
from protray.cluster.storage.identity import contents
from protray.data import schemas
from protray.data.cluster_files import read_clusters, read_splits
from protray.data.location import Location
from protray.data.splits import assign_splits, check_disjoint, split_sizes
from protray.data.structure.files import is_packed
from protray.data.structure.rows import LeftOutError, StructureSettings, structure_rows
from protray.data.structure.splits import (
    ChainName,
    Exclusion,
    Keep,
    cluster_chains,
    clusters_of,
    not_the_best,
    read_exclusion,
    repeated,
)
from protray.data.structure.structures import FOLDER
from protray.pipelines.structure.inputs import SOURCE, amount_of, bytes_of, content_of, file_rows, files_of
from protray.seq.errors import InputError

MAX_CLUSTERED = 10_000  # sequences; the time grows with their square, some minutes at this number
FILE_S, BYTE_S = 1e-3, 8e-8  # of a core, about: any file, and each byte of it
ACTOR_BYTES = 1 << 29  # Python, a large structure, and the rows of an item
NAMES = ("id", "entry", "entity", "sequence", "resolution", "source", "chain_index")

# Settings that older datasets were made without, and what they mean there
LATER = {name: getattr(StructureSettings(), name) for name in ("side_chains", "atom_names", "complexes", "plddt")}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PrepareStructures(BatchSettings):
    """What to read, and which chains to keep; files are such as all nodes see."""

    structures: Location
    """Folder, tar archive or text list of mmCIF/PDB files, plain or .gz"""
    split_by: Location | None = None
    """RCSB's cluster file, or a table of id<TAB>cluster; default: cluster here.  With a header id<TAB>cluster<TAB>split
    the splits are yours, too: train, validation or test"""
    identity: float = 0.25
    """Of the clustering; not used with --split-by"""
    exclude: tuple[Location, ...] = ()
    """Test sets: text lists of ids, or FASTA files, whose relatives are left out too"""
    exclude_identity: float = 0.3
    """Over half of either sequence: what makes a relative of a FASTA record"""
    keep: Keep = "all"
    """All chains, the best resolved one of each distinct sequence, or that of each cluster"""
    seed: int = 0
    """Of the splits"""
    chains: tyro.conf.OmitArgPrefixes[StructureSettings] = StructureSettings()

    @property
    def summary(self) -> Location:
        return self.out / "dataset.json"


def identity(run: PrepareStructures) -> dict:
    for path in run.exclude:
        read_exclusion(path.path)  # an error now, and not after hours
    if run.split_by:
        read_clusters(run.split_by.path)
        read_splits(run.split_by.path)
    return {
        "structures": contents(files_of(run, run.structures), run.structures),
        "split_by": contents([run.split_by]) if run.split_by else None,
        "identity of clusters": None if run.split_by else run.identity,
        "exclude": [contents([path]) for path in run.exclude],
        "exclude_identity": run.exclude_identity if run.exclude else None,
        "keep": run.keep,
        "seed": run.seed,
        **{name: value for name, value in asdict(run.chains).items() if name not in LATER or value != LATER[name]},
    }


def rows(run: PrepareStructures) -> Iterator[Row | InputError]:
    return file_rows(run, [run.structures])


def cost(run: PrepareStructures, row: Row) -> float:
    return FILE_S + BYTE_S * bytes_of(row)


def amount(run: PrepareStructures) -> Amount:
    note = "unpacking the archive is left out" if is_packed(run.structures.path) else ""
    return amount_of(run, [run.structures], rows(run), cost, note=note)


def work(run: PrepareStructures, spans: list[Span]) -> Done:
    """A row for each usable chain.  A file is unusable if it has none, unless settings have left them all out."""
    made: list[dict] = []
    done = Done(pa.table({}))
    for span in spans:
        row = span.row
        done.counts["files"] += 1
        try:
            found, refused, decisions = structure_rows(content_of(row), row["file"], run.chains)
        except InputError as error:
            done.rejected.append(error)
            continue
        made += [chain | {"number": span.number, "start": start} for start, chain in enumerate(found)]
        broken = [error for error in refused if not isinstance(error, LeftOutError)]
        unusable = [] if found else broken[:1]  # a file counts once
        done.rejected += unusable
        done.left_out += [error for error in refused if error not in unusable]
        done.counts += decisions
    done.rows = pa.Table.from_pylist(made, schema=placed(schemas.STRUCTURES))
    return done


def settle(run: PrepareStructures, names: pa.Table) -> Settled:
    """Leave out repeated ids, excluded proteins and lesser copies; give the rest clusters and splits."""
    chains = [ChainName(**row) for row in names.select(NAMES).to_pylist()]
    table = read_clusters(run.split_by.path) if run.split_by else None
    exclusions = [read_exclusion(path.path) for path in run.exclude]
    clusters, left_out, decisions = choose(run, chains, table, exclusions)
    by_id = {chains[n].id: cluster for n, cluster in clusters.items()}
    given = read_splits(run.split_by.path) if run.split_by else {}
    split_of = assign_splits(by_id, seed=run.seed, given=given)
    check_disjoint(by_id, split_of)
    columns = names.select(["number", "start"]).take(pa.array(list(clusters), pa.int64()))
    columns = columns.append_column("cluster", pa.array(list(clusters.values()), pa.string()))
    splits = [split_of[chains[n].id] for n in clusters]
    n_clusters = len(set(clusters.values()))
    facts = {
        "settings": {"structures": run.structures, "split_by": run.split_by, "exclude": list(run.exclude)},
        "n_chains": len(clusters),
        "n_residues": sum(len(chains[n].sequence) for n in clusters),
        "decisions": dict(decisions),
        "splits": split_sizes(splits, n_clusters),
        "n_clusters": n_clusters,
    }
    errors = [InputError(chains[n].source, None, why, chains[n].id) for n, why in sorted(left_out.items())]
    return Settled(columns.append_column("split", pa.array(splits, pa.string())), errors, facts)


def choose(
    run: PrepareStructures, chains: list[ChainName], table: dict[str, str] | None, exclusions: list[Exclusion]
) -> tuple[dict[int, str], dict[int, str], Counter[str]]:
    """By number of the chain: its cluster if it stays, why it is left out if not; and how often what was decided."""
    cpus = os.cpu_count() or 1
    left_out, decisions, staying = {}, Counter[str](), dict(enumerate(chains))

    def leave_out(decision: str, reasons: dict[int, str]) -> None:
        decisions[decision] += len(reasons)
        left_out.update(reasons)
        for number in reasons:
            del staying[number]

    leave_out("repeated_ids", repeated(chains))
    for exclusion in exclusions:
        leave_out("excluded_by_id", exclusion.named(staying, run.chains.complexes))
        leave_out("excluded_by_identity", exclusion.related(staying, run.exclude_identity, cpus))
    if run.keep == "sequence":
        better = not_the_best(staying, lambda number: chains[number].sequence)
        leave_out("copies", {n: f"has the sequence of {id!r}, which is kept" for n, id in better.items()})
    if table is not None and run.split_by:
        clusters, missing = clusters_of(staying, table, run.split_by.path)
        leave_out("without_a_cluster", missing)
    else:
        distinct = len({sequence for chain in staying.values() for sequence in chain.sequences})
        logger.info("clustering %d distinct sequences at %.0f %% identity", distinct, 100 * run.identity)
        if distinct > MAX_CLUSTERED:
            logger.warning("all against all takes long; --split-by takes clusters of RCSB or MMseqs2, which are fast")
        clusters = cluster_chains(staying, run.identity, cpus)
    if run.keep == "cluster":
        better = not_the_best(staying, clusters.__getitem__)
        leave_out("copies", {n: f"is in the cluster of {id!r}, which is kept" for n, id in better.items()})
    return {number: clusters[number] for number in staying}, left_out, +decisions


def conclude(run: PrepareStructures, files: list[Location], summary: dict) -> dict:
    """Decisions on chains of files, and on all of them together."""
    decisions = Counter(summary["counts"])
    n_files = decisions.pop("files", 0)
    return {
        "settings": summary["settings"] | summary["identity"],
        "n_files": n_files,
        "decisions": dict(decisions + Counter(summary["decisions"])),
    }


def shown(run: PrepareStructures, summary: dict) -> dict[str, object]:
    splits, decisions = ("   ".join(f"{k}: {n}" for k, n in summary[name].items()) for name in ("splits", "decisions"))
    kind = "complexes" if run.chains.complexes else "chains"
    return {
        kind: f"{summary['n_chains']} ({summary['n_residues']} residues), from {summary['n_files']} files",
        "splits": f"{splits}   ({summary['n_clusters']} clusters)",
        "decisions": decisions,
        "digest": summary["digest"][:12],
    }


JOB = BatchJob(
    name="structures", unit="files", table=FOLDER, source=SOURCE, identity=identity, rows=rows, cost=cost,
    work=work, schema=lambda run: schemas.STRUCTURES, memory=lambda run: ACTOR_BYTES,
    names=NAMES, settle=settle, amount=amount, conclude=conclude, shown=shown,
)  # fmt: skip
