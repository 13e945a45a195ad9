"""Turn a folder of alignments and labels into a prepared dataset, in parallel with Ray Data.

Two passes over parts of ``PART_ROWS`` proteins (``cluster/batch/parts.py``).  Written at the end:

``proteins/*.parquet``   one row per usable protein, ``schemas.PROTEINS``
``rejected.parquet``     one row per unusable one: id, file, line, reason
``dataset.json``         settings, counts, digest; its presence says that the dataset is complete

`OUT` has to lie where every node sees it; so do the inputs.
"""

import logging
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
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
from protray.data.inputs import Item, files_in, find_items, make_row
from protray.data.proteins import ProteinSettings, protein_schema
from protray.data.splits import assign_splits, check_disjoint, cluster_by_identity, read_clusters
from protray.seq.msa import InputError
from protray.seq.secondary import Labels

FOLDER = "proteins"  # of the finished parts
PART_ROWS = 32  # proteins a task parses: 5 MB of rows at 300 residues, seconds of work
COUNT_BINS = (0, 10, 30, 60, 1000)  # the paper's bins of homologs, and one more for the deep end

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """What to read, where to write, and the settings that the numbers depend on."""

    msas: Path  # folder of alignments, one file per protein: .a3m .a2m .sto .fasta .aln, plain or .gz
    out: Path  # folder of the dataset, or its s3:// or gs:// address
    labels: Path | None = None  # 3-line file, structure file, or a folder of these; without: for prediction only
    split_by: Path | None = None  # table of id<TAB>cluster or mmseqs representative<TAB>member; default: cluster here
    identity: float = 0.25  # of the clustering; not used with split_by
    proteins: ProteinSettings = field(default_factory=ProteinSettings)
    plan: bool = False  # print stages, resources, estimated rows/s and hours, and stop; nothing is written


@remote.kept(skip=FOLDER)
def finished(config: PrepareConfig) -> dict | None:
    """Return the summary of a complete dataset with the same settings and inputs; needs no Ray.

    Raises
    ------
    ValueError
        When the folder holds a dataset, complete or not, of other settings or inputs: which, before and now.
    """
    return stored_summary(config.out, _settings(config))


@remote.kept(skip=FOLDER)
def prepare(config: PrepareConfig, progress: Progress | None = None) -> dict:
    """Prepare the dataset, or return what stands in a complete one with the same settings and inputs.

    Parameters
    ----------
    config : PrepareConfig
    progress : callable, optional
        Called with (stage, parts done, parts in all).

    Returns
    -------
    summary : dict
        The content of ``dataset.json``, and ``cached``: whether it stood there before.

    Raises
    ------
    ValueError
        When the folder holds a dataset of other settings, or no protein is usable.
    """
    report = progress or (lambda stage, done, total: None)
    before = finished(config)
    if before:
        return before
    settings = _settings(config)
    items, errors, given = items_of(config)
    parsed = config.out / "parsed"
    parsed.mkdir(parents=True, exist_ok=True)
    write_json(config.out / "settings.json", settings)
    chunks = [[asdict(item) for item in items[start : start + PART_ROWS]] for start in range(0, len(items), PART_ROWS)]
    parse_parts(parse_part, chunks, parsed, report, settings=config.proteins)
    n_parts = len(chunks)

    rejected = pa.concat_tables(
        [rejected_table(errors), *(read_part(parsed, part, "rejected") for part in range(n_parts))]
    )
    write_table(rejected, config.out / "rejected.parquet")
    names = pa.concat_tables(
        [schemas.PROTEINS.empty_table().select(["id", "sequence", "msa_count"])]
        + [read_part(parsed, part, columns=["id", "sequence", "msa_count"]) for part in range(n_parts)]
    )
    reasons = group_reasons(rejected["reason"].to_pylist())
    if not names.num_rows:
        lines = reason_lines(reasons)
        raise ValueError(
            f"no usable protein among {len(rejected)} in {config.msas}; see {config.out / 'rejected.parquet'}{lines}"
        )
    sequences = dict(zip(names["id"].to_pylist(), names["sequence"].to_pylist(), strict=True))
    if given is None:
        logger.info("clustering %d sequences at %.0f %% identity", len(sequences), 100 * config.identity)
        clusters = cluster_by_identity(sequences, config.identity, cpus=os.cpu_count() or 1)
    else:
        clusters = {id: given[id] for id in sequences}
    splits = assign_splits(clusters, seed=config.proteins.seed)
    check_disjoint(clusters, splits)
    columns = []
    for part in range(n_parts):
        ids = read_part(parsed, part, columns=["id"])["id"].to_pylist()
        columns.append({"cluster": [clusters[id] for id in ids], "split": [splits[id] for id in ids]})
    digest = finish_parts(columns, parsed, config.out / FOLDER, protein_schema(config.proteins), report)
    n_clusters = len(set(clusters.values()))
    summary = {
        "settings": settings,
        "n_proteins": len(sequences),
        "n_rejected": rejected.num_rows,
        "reasons": reasons,
        "labelled_by": dict(add_counts(parsed, n_parts)),
        "splits": split_sizes(list(splits.values()), n_clusters),
        "n_clusters": n_clusters,
        "msa_count_histogram": count_histogram(names["msa_count"].to_pylist()),
        "digest": digest,
        "schema_version": schemas.VERSION,
    }
    write_json(config.out / "dataset.json", summary)
    remote.remove(parsed)
    return summary | {"cached": False}


def items_of(config: PrepareConfig) -> tuple[list[Item], list[InputError], dict[str, str] | None]:
    """The proteins to prepare, those that cannot be, and the clusters that were given."""
    given = read_clusters(config.split_by) if config.split_by else None
    items, errors = find_items(config.msas, config.labels, ignore=(config.split_by,) if config.split_by else ())
    if given is not None:
        errors += [_no_cluster(item, config.split_by) for item in items if item.id not in given]
        items = [item for item in items if item.id in given]
    return items, errors, given


def count_histogram(counts: list[int]) -> dict[str, int]:
    """How many proteins have how many homologs, in bins that end at ``COUNT_BINS``."""
    edges = [-1, *COUNT_BINS]
    histogram = {}
    for low, high in zip(edges, edges[1:], strict=False):
        name = f"{low + 1}-{high}" if low + 1 < high else str(high)
        histogram[name] = sum(low < count <= high for count in counts)
    return histogram | {f">{COUNT_BINS[-1]}": sum(count > COUNT_BINS[-1] for count in counts)}


def _settings(config: PrepareConfig) -> dict:
    """Everything the dataset depends on, flat: options, paths, and the state of every input file."""
    files = files_in(config.msas)
    if config.labels:
        files += [config.labels] if config.labels.is_file() else files_in(config.labels)
    if config.split_by:
        files.append(config.split_by)
    paths = {name: getattr(config, name) for name in ("msas", "labels", "split_by")}
    return {
        **{name: str(path.resolve()) if path else None for name, path in paths.items()},
        "identity": None if config.split_by else config.identity,
        **asdict(config.proteins),
        "input_files": len(files),
        "input_state": state_of(files),
    }


def parse_part(piece: dict, folder: Path, settings: ProteinSettings) -> None:
    """Ray task: parse the proteins of one part and write its rows and its rejects."""
    rows, errors, labelled = [], [], Counter()
    for fields in piece["items"]:
        item = Item(**fields | {"label": Labels(**fields["label"]) if fields["label"] else None})
        try:
            row, how = make_row(item, settings)
            rows.append(row)
            labelled[how] += 1
        except InputError as error:
            errors.append(InputError(error.file, error.line, error.reason, item.id))
        except Exception as error:  # a fault of ours or of the disk must not stop the other proteins
            logger.exception("%s", item.msa_file)
            errors.append(InputError(item.msa_file, None, f"unexpected {type(error).__name__}: {error}", item.id))
    write_part(folder, piece["part"], rows, errors, protein_schema(settings), labelled)


def _no_cluster(item: Item, table: Path | None) -> InputError:
    return InputError(item.msa_file, None, f"id {item.id!r} is not in the cluster table {table}", item.id)
