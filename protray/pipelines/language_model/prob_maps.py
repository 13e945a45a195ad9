"""Probability maps of a dataset or of FASTA files: P(residue | all others), L x 20, by a masked language model.

``OUT/maps/*.parquet``    id, sequence, prob_map, lm_hidden: ``schemas.MAPS``, or ``MAPS_FLOAT16``

An actor loads the model once.  A work item is hundreds of short proteins, or some positions of a long one, so that one
protein of 2,000 residues keeps a whole cluster busy.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import tyro

from protray.cluster.batch.job import Amount, BatchJob, BatchSettings, Done, Row, Span
from protray.cluster.storage.identity import content_digest
from protray.data import schemas
from protray.data.location import Location
from protray.plm.hub.folder import check_present
from protray.plm.reading import Reading, forward_tokens, row_tokens
from protray.plm.shipped import SHIPPED, absolute, fingerprint, seconds_per_token, weight_bytes
from protray.seq.errors import InputError
from protray.seq.fasta import Source, in_residues, stream_fasta

if TYPE_CHECKING:
    from protray.plm.masked import LanguageModel

SOURCE = pa.struct([("id", pa.string()), ("sequence", pa.string()), ("file", pa.string()), ("line", pa.int64())])
BESIDE_WEIGHTS = 700 << 20  # bytes of an actor: Python, PyTorch, activations


@dataclass(frozen=True, kw_only=True)
class ProbMaps(BatchSettings):
    """Which proteins are read by which language model, and what is kept of it."""

    data: Location | None = None
    """Folder of jobs/prepare.py, a FASTA file, or a folder of them (plain, .gz, .xz, .bz2); default: the sample."""
    lm: str = SHIPPED
    """Masked protein language model: a Hugging Face name or folder, or the small one in the package."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = Reading()
    float16: bool = False
    """Store probabilities in half precision: half the size, three digits."""
    hidden: bool = False
    """Store the model's last hidden state, too (nothing masked, float16)."""


def identity(run: ProbMaps) -> dict:
    check_present(run.lm)
    return {
        "proteins": digest_of(run.data),
        "language model": f"{absolute(run.lm)} ({fingerprint(run.lm)})",
        **asdict(run.reading),
        "float16": run.float16,
        "hidden": run.hidden,
    }


def digest_of(data: Location | None) -> str:
    """What identifies the proteins of a dataset, or of FASTA files."""
    from protray.data.sample import SAMPLE

    if data and (data / "dataset.json").is_file():
        return (data / "dataset.json").read_json()["digest"]
    return content_digest(files_of(data) if data else [Location(SAMPLE)], data)


def files_of(data: Location | None) -> list[Location]:
    """The files that `data` means; ValueError if there are none."""
    from protray.data.sample import SAMPLE
    from protray.data.secondary.dataset import parquet_files
    from protray.seq.fasta import fasta_files

    if data is None:
        return [Location(SAMPLE)]
    if (data / "dataset.json").is_file():
        return parquet_files(data / "proteins")
    if (data / "work").is_dir():
        raise ValueError(f"{data} is not finished; run jobs/prepare.py again")
    return [Location(file) for file in fasta_files([data.path])]


def rows(run: ProbMaps) -> Iterator[Row | InputError]:
    """Proteins in our letters, each id once; the first of several with one id is kept."""
    from protray.cluster.batch.seen import first_of_each_id

    yield from first_of_each_id(
        found if isinstance(found, InputError) else vars(found) for found in map(in_residues, _read(run.data))
    )


def _read(data: Location | None) -> Iterator[Source | InputError]:
    from protray.data.parquet import read_batches

    for file in files_of(data):
        if file.suffix == ".parquet":
            for batch in read_batches(file, ["id", "sequence"], 4096):
                for row in batch.to_pylist():
                    yield Source(row["id"], str(file), None, row["sequence"])
        else:
            yield from stream_fasta(file.path)


def cost(run: ProbMaps, row: Row) -> float:
    return forward_tokens(len(row["sequence"]), run.reading) * seconds_per_token(run.lm)


def cut(run: ProbMaps, row: Row, seconds: float) -> list[tuple[int, int]]:
    """Positions of a long protein that are worth an item each.

    A span is a multiple of what one forward pass takes, so that the passes, and with them the last bit of every
    number, are the same for any size of items (on a CPU; a GPU's passes are longer).
    """
    from protray.plm.masked import TOKENS_AT_ONCE

    length = len(row["sequence"])
    if run.reading.passes != "exact":  # a pass tells every K-th row
        return [(0, length)]
    each = row_tokens(length, run.reading)
    at_once = max(1, TOKENS_AT_ONCE // each)
    span = max(1, int(seconds / seconds_per_token(run.lm)) // each // at_once) * at_once
    return [(start, min(start + span, length)) for start in range(0, length, span)]


def amount(run: ProbMaps) -> Amount:
    """How many proteins there are, without reading all of a large file."""
    from protray.data.lengths import read_lengths

    lengths = read_lengths(files_of(run.data))
    costs = [forward_tokens(length, run.reading) for length in lengths.residues.tolist()]
    mean = sum(costs) / max(len(costs), 1)
    return Amount(lengths.total, mean * lengths.total * seconds_per_token(run.lm), lengths.exact, lengths.note)


def memory(run: ProbMaps) -> int:
    return 2 * weight_bytes(run.lm) + BESIDE_WEIGHTS


def open_lm(run: ProbMaps, device: str) -> "tuple[ProbMaps, LanguageModel]":
    """Load the model; ValueError if there is none, or if it cannot be read in such windows."""
    from protray.plm import masked
    from protray.plm.reading import windows

    lm = masked.load(absolute(run.lm), device=device)
    limit = run.reading.limit(lm.longest)
    if limit is not None:
        windows(limit + 1, limit, run.reading.overlap)
    return run, lm


def work(opened: "tuple[ProbMaps, LanguageModel]", spans: list[Span]) -> Done:
    """Maps of spans.  A span that does not fit into the memory is tried again alone."""
    import numpy as np

    from protray.data.columns import large_lists
    from protray.plm.masked import hidden_rows, map_rows, out_of_memory
    from protray.seq.alphabet import encode

    run, lm = opened
    made: list[tuple[Span, np.ndarray, np.ndarray | None]] = []
    rejected, again = [], []
    for span in spans:
        codes_L = encode(span.row["sequence"])
        try:
            prob_LA = map_rows(lm, codes_L, span.start, span.stop or len(codes_L), run.reading)
            hidden_LC = hidden_rows(lm, codes_L, run.reading) if run.hidden and not span.start else None
        except Exception as error:
            if not out_of_memory(error):
                raise
            again.append((span, f"out of memory: {error}"))
            continue
        if np.isfinite(prob_LA).all():
            made.append((span, prob_LA, hidden_LC))
        else:
            reason = "the probabilities of the language model are not finite"
            rejected.append(InputError(span.row["file"], span.row["line"], reason, span.row["id"]))
    columns = {
        "number": pa.array([span.number for span, *_ in made], pa.int64()),
        "start": pa.array([span.start for span, *_ in made], pa.int32()),
        "id": pa.array([span.row["id"] for span, *_ in made], pa.string()),
        "sequence": pa.array([span.row["sequence"] for span, *_ in made], pa.string()),
        "prob_map": large_lists([prob_LA for _, prob_LA, _ in made], schema(run).field("prob_map").type),
        "lm_hidden": large_lists([hidden_LC for *_, hidden_LC in made], schema(run).field("lm_hidden").type),
    }
    return Done(pa.table(columns), rejected, again)


def merge(table: pa.Table) -> pa.Table:
    """Put the spans of a protein together; one of which a span is lost is left out."""
    from protray.seq.alphabet import N_AA

    lengths = [len(sequence) * N_AA for sequence in table["sequence"].to_pylist()]
    found = table["prob_map"].combine_chunks().value_lengths().to_pylist()
    parts_of: dict[int, list[int]] = {}  # rows of each protein that is in several
    for row, number in enumerate(table["number"].to_pylist()):
        if found[row] < lengths[row]:
            parts_of.setdefault(number, []).append(row)
    put_together = [table.filter(pa.array([n == length for n, length in zip(found, lengths, strict=True)], pa.bool_()))]
    for rows in parts_of.values():
        values = pa.concat_arrays([table["prob_map"][row].values for row in rows])
        if len(values) == lengths[rows[0]]:
            position = table.schema.get_field_index("prob_map")
            whole = pa.LargeListArray.from_arrays([0, len(values)], values)
            put_together.append(table.slice(rows[0], 1).set_column(position, "prob_map", whole))
    return pa.concat_tables(put_together).sort_by([("number", "ascending")])


def schema(run: ProbMaps) -> pa.Schema:
    return schemas.MAPS_FLOAT16 if run.float16 else schemas.MAPS


JOB = BatchJob(
    name="probability maps", unit="proteins", table="maps", source=SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_lm, work=work, schema=schema, memory=memory, cut=cut, merge=merge, amount=amount,
)  # fmt: skip
