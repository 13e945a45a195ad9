"""Turn structure files into a prepared dataset of chains, in parallel with Ray Data.

Two passes over parts of ``PART_FILES`` files (`batch.parts`); between them, once all chains are known, it is
settled which of them stay, and in which cluster and split.  Written at the end:

``structures/*.parquet``  one row per usable chain, ``schemas.STRUCTURES``
``rejected.parquet``      one row per file or chain that is left out: id, file, line, reason
``dataset.json``          settings, counts of every decision, digest

`OUT` has to lie where every node sees it; so do the inputs.
"""

import logging
import os
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from protray.cluster.batch.parts import (
    Progress,
    add_counts,
    finish_parts,
    parse_parts,
    read_part,
    split_sizes,
    stored_summary,
    write_part,
)
from protray.cluster.storage import remote
from protray.cluster.storage.files import group_reasons, reason_lines, rejected_table, state_of, write_json, write_table
from protray.data import schemas
from protray.data.splits import assign_splits, check_disjoint, cluster_by_identity, read_clusters, relatives
from protray.data.structure_files import Source, find_sources, input_files, read_source
from protray.data.structure_rows import StructureSettings, structure_rows
from protray.data.structure_splits import (
    ChainName,
    Keep,
    clusters_of,
    listed_chains,
    not_the_best,
    read_names,
    repeated,
)
from protray.data.structures import FOLDER
from protray.inference.many import codes_of, read_fasta
from protray.plm.corpus import open_text
from protray.seq.alphabet import decode
from protray.seq.msa import InputError

PART_FILES = 64  # files a task parses: a second or so of work, some MB of rows
MAX_CLUSTERED = 10_000  # sequences; the time grows with their square, some minutes at this number
NAMES = ["id", "entry", "entity", "sequence", "resolution", "source"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StructuresConfig:
    """What to read, where to write, and which chains to keep."""

    structures: Path  # folder, tar archive or text list of mmCIF/PDB files, plain or .gz
    out: Path  # folder of the dataset, or its s3:// or gs:// address
    split_by: Path | None = None  # RCSB's cluster file, or a table of id<TAB>cluster; default: cluster here
    identity: float = 0.25  # of the clustering; not used with split_by
    exclude: tuple[Path, ...] = ()  # test sets: text lists of ids, or FASTA files, whose relatives are left out too
    exclude_identity: float = 0.3  # over half of either sequence: what makes a relative of a FASTA record
    keep: Keep = "all"  # all chains, the best resolved one of each distinct sequence, or that of each cluster
    seed: int = 0  # of the splits
    chains: StructureSettings = field(default_factory=StructureSettings)
    plan: bool = False  # print stages, resources, estimated rows/s and hours, and stop; nothing is written


@remote.kept(skip=FOLDER)
def finished(config: StructuresConfig) -> dict | None:
    """Return the summary of a complete dataset with the same settings and inputs; needs no Ray.

    Raises
    ------
    ValueError
        When the folder holds a dataset, complete or not, of other settings or inputs: which, before and now.
    """
    return stored_summary(config.out, _settings(config))


@remote.kept(skip=FOLDER)
def prepare_structures(config: StructuresConfig, progress: Progress | None = None) -> dict:
    """Prepare the dataset, or return what stands in a complete one with the same settings and inputs.

    Parameters
    ----------
    config : StructuresConfig
    progress : callable, optional
        Called with (stage, parts done, parts in all).

    Returns
    -------
    summary : dict
        The content of ``dataset.json``, and ``cached``: whether it stood there before.

    Raises
    ------
    ValueError
        When the folder holds a dataset of other settings, a file of clusters or exclusions cannot be used, or no chain
        is usable.
    """
    report = progress or (lambda stage, done, total: None)
    config = replace(config, out=config.out.resolve())  # workers may have another working directory
    settings = _settings(config)
    before = stored_summary(config.out, settings)
    if before:
        return before
    table = read_clusters(config.split_by) if config.split_by else None
    exclusions = [read_exclusions(path) for path in config.exclude]
    parsed = config.out / "parsed"
    parsed.mkdir(parents=True, exist_ok=True)
    write_json(config.out / "settings.json", settings)
    sources, errors = find_sources(config.structures, parsed)
    remote.push(parsed)  # an archive that was unpacked
    chunks = [[asdict(source) for source in sources[k : k + PART_FILES]] for k in range(0, len(sources), PART_FILES)]
    parse_parts(parse_part, chunks, parsed, report, settings=config.chains)

    chains, lengths = _read_names(parsed, len(chunks))
    settled = _settle(chains, table, exclusions, config)
    errors += [InputError(chains[n].source, None, why, chains[n].id) for n, why in sorted(settled.left_out.items())]
    rejected = pa.concat_tables(
        [rejected_table(errors), *(read_part(parsed, p, "rejected") for p in range(len(chunks)))]
    )
    write_table(rejected, config.out / "rejected.parquet")
    reasons = group_reasons(rejected["reason"].to_pylist())
    if not settled.splits:
        lines = reason_lines(reasons)
        raise ValueError(
            f"no usable chain in {config.structures}, {rejected.num_rows} files or chains are left out; "
            f"see {config.out / 'rejected.parquet'}{lines}"
        )
    columns, start = [], 0
    for length in lengths:
        rows = range(start, start + length)
        columns.append({"cluster": list(map(settled.clusters.get, rows)), "split": list(map(settled.splits.get, rows))})
        start += length
    digest = finish_parts(columns, parsed, config.out / FOLDER, schemas.STRUCTURES, report)
    n_clusters = len({settled.clusters[number] for number in settled.splits})
    summary = {
        "settings": settings,
        "n_files": len(sources),
        "n_chains": len(settled.splits),
        "n_residues": sum(len(chains[number].sequence) for number in settled.splits),
        "n_rejected": rejected.num_rows,
        "reasons": reasons,
        "decisions": dict(add_counts(parsed, len(chunks)) + settled.counts),
        "splits": split_sizes(list(settled.splits.values()), n_clusters),
        "n_clusters": n_clusters,
        "digest": digest,
        "schema_version": schemas.VERSION,
    }
    write_json(config.out / "dataset.json", summary)
    remote.remove(parsed)
    return summary | {"cached": False}


@dataclass(frozen=True)
class _Settled:
    """By number of the chain: cluster and split, or why it is left out; and how often which decision was taken."""

    clusters: dict[int, str]
    splits: dict[int, str]
    left_out: dict[int, str]
    counts: Counter[str]


def _settle(
    chains: list[ChainName], table: dict[str, str] | None, exclusions: list["_Exclusions"], config: StructuresConfig
) -> _Settled:
    """Leave out repeated ids, excluded proteins and lesser copies; give the rest clusters and splits."""
    left_out, counts, staying = {}, Counter(), dict(enumerate(chains))

    def leave_out(decision: str, reasons: dict[int, str]) -> None:
        counts[decision] += len(reasons)
        left_out.update(reasons)
        for number in reasons:
            del staying[number]

    leave_out("repeated_ids", repeated(chains))
    for exclusion in exclusions:
        leave_out("excluded_by_id", exclusion.named(staying))
        leave_out("excluded_by_identity", exclusion.related(staying, config.exclude_identity))
    if config.keep == "sequence":
        better = not_the_best(staying, lambda number: chains[number].sequence)
        leave_out("copies", {n: f"has the sequence of {id!r}, which is kept" for n, id in better.items()})
    if table is not None:
        clusters, missing = clusters_of(staying, table, config.split_by or Path())
        leave_out("without_a_cluster", missing)
    else:
        sequences = {chain.id: chain.sequence for chain in staying.values()}
        distinct = len(set(sequences.values()))
        logger.info("clustering %d distinct sequences at %.0f %% identity", distinct, 100 * config.identity)
        if distinct > MAX_CLUSTERED:
            logger.warning("all against all takes long; --split-by takes clusters of RCSB or MMseqs2, which are fast")
        by_id = cluster_by_identity(sequences, config.identity, cpus=os.cpu_count() or 1)
        clusters = {number: by_id[chain.id] for number, chain in staying.items()}
    if config.keep == "cluster":
        better = not_the_best(staying, clusters.__getitem__)
        leave_out("copies", {n: f"is in the cluster of {id!r}, which is kept" for n, id in better.items()})
    by_id = {chain.id: clusters[number] for number, chain in staying.items()}
    split_of = assign_splits(by_id, seed=config.seed)
    check_disjoint(by_id, split_of)
    return _Settled(clusters, {number: split_of[chain.id] for number, chain in staying.items()}, left_out, +counts)


@dataclass(frozen=True)
class _Exclusions:
    """A file of proteins to leave out: ids, or sequences with their relatives."""

    path: Path
    names: list[str]
    sequences: dict[str, str]

    def named(self, chains: dict[int, ChainName]) -> dict[int, str]:
        found = listed_chains(chains, self.names)
        unused = set(self.names) - set(found.values())
        if unused:
            logger.warning(
                "%d of %d ids of %s are of no chain here, such as %s",
                len(unused), len(set(self.names)), self.path, min(unused),
            )  # fmt: skip
        return {number: f"excluded: {name!r} is in {self.path}" for number, name in found.items()}

    def related(self, chains: dict[int, ChainName], identity: float) -> dict[int, str]:
        sequences = {chain.id: chain.sequence for chain in chains.values()}
        found = relatives(sequences, self.sequences, identity, cpus=os.cpu_count() or 1)
        return {
            number: f"excluded: a relative of {found[chain.id]!r} in {self.path}"
            for number, chain in chains.items()
            if chain.id in found
        }


def read_exclusions(path: Path) -> _Exclusions:
    """Read ids or, where the text begins with '>', sequences; all of it, or ValueError: a lost one would be a leak."""
    with open_text(path) as file:
        fasta = file.read(1) == ">"
    if not fasta:
        return _Exclusions(path, read_names(path), {})
    records, errors = read_fasta(path)
    if errors:
        raise errors[0]
    sequences = {}
    for record in records:
        try:
            sequences[record.id] = decode(codes_of(record.sequence or ""))
        except ValueError as error:
            raise InputError(path, record.line, str(error), record.id) from None
    return _Exclusions(path, [], sequences)


def _settings(config: StructuresConfig) -> dict:
    """Everything the dataset depends on, flat: options, paths, and the state of every input file."""
    files = input_files(config.structures)
    files += [path for path in (config.split_by, *config.exclude) if path]
    return {
        "structures": str(config.structures.resolve()),
        "split_by": str(config.split_by.resolve()) if config.split_by else None,
        "identity": None if config.split_by else config.identity,
        "exclude": [str(path.resolve()) for path in config.exclude],
        "exclude_identity": config.exclude_identity if config.exclude else None,
        "keep": config.keep,
        "seed": config.seed,
        **asdict(config.chains),
        "input_files": len(files),
        "input_state": state_of(file.resolve() for file in files),
    }


def parse_part(piece: dict, folder: Path, settings: StructureSettings) -> None:
    """Ray task: parse the files of one part and write its rows and its rejects."""
    rows, errors, counts = [], [], Counter()
    for fields in piece["items"]:
        source = Source(**fields | {"path": str(remote.pull(Path(fields["path"])))})
        try:
            more, refused, decisions = structure_rows(read_source(source), source.name, settings)
        except InputError as error:
            errors.append(error)
        except OSError as error:
            errors.append(InputError(source.name, None, f"cannot be read: {error.strerror or error}"))
        except Exception as error:  # a fault of ours must not stop the other files
            logger.exception("%s", source.name)
            errors.append(InputError(source.name, None, f"unexpected {type(error).__name__}: {error}"))
        else:
            rows += more
            errors += refused
            counts += decisions
    write_part(folder, piece["part"], rows, errors, schemas.STRUCTURES, counts)


def _read_names(folder: Path, n_parts: int) -> tuple[list[ChainName], list[int]]:
    """Names of all parsed chains, and how many each part has."""
    tables = [read_part(folder, part, columns=NAMES) for part in range(n_parts)]
    return [ChainName(**row) for table in tables for row in table.to_pylist()], [table.num_rows for table in tables]
