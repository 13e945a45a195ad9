"""Functions, or melting temperatures, of many proteins, by a finished head of jobs/function.py or jobs/stability.py.

``OUT/annotations/*.parquet``  ``schemas.ANNOTATED``: a row for each protein or chain, in the order of the input

A row of the input is a record of a FASTA file, or a structure file with any number of chains, which is read where it is
worked on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from protray.cluster.batch.job import Amount, BatchJob, BatchSettings, Done, Row, Span
from protray.cluster.batch.seen import first_of_each_id
from protray.cluster.storage.identity import content_digest
from protray.data import schemas
from protray.data.location import Location
from protray.data.structure_rows import StructureSettings
from protray.pipelines.structure.embed import BYTES_PER_RESIDUE, MEMORY, PACKED, PER_PAIR_S
from protray.pipelines.structure.input_files import FILE, amount_of, chains_of, file_rows, files_of
from protray.plm.shipped import fingerprint
from protray.seq.alphabet import decode
from protray.seq.errors import InputError
from protray.seq.fasta import Source, codes_of, fasta_files, stream_fasta

if TYPE_CHECKING:
    from protray.inference.heads import Annotator

ANY_CHAIN = StructureSettings(min_residues=3, max_unknown=1.0)
SOURCE = pa.struct([("id", pa.string()), ("file", pa.string()), ("line", pa.int64()), ("sequence", pa.string()), *FILE])
EMPTY = dict.fromkeys(field.name for field in SOURCE)
PER_RESIDUE_S = 2e-4  # of a core, with the language model in the package


@dataclass(frozen=True, kw_only=True)
class Annotate(BatchSettings):
    """Which proteins to annotate, by what."""

    model: Location
    """A folder in `model` of a finished jobs/function.py run, such as runs/function/model/language-model; or its
    address."""
    fasta: tuple[Location, ...] = ()
    """FASTA files, or folders of them: enough for a head on a language model."""
    structures: tuple[Location, ...] = ()
    """mmCIF/PDB files (plain or .gz), folders, tar archives, text lists of files: for a head on a score net."""
    least: float | None = None
    """Probability of a label that is listed; default: the threshold that was best on the validation split."""

    def check(self) -> None:
        super().check()
        if bool(self.fasta) == bool(self.structures):
            raise ValueError("give --fasta or --structures, one of them")


@dataclass(frozen=True)
class Opened:
    """What an actor holds."""

    run: Annotate
    annotator: "Annotator"


def identity(run: Annotate) -> dict:
    from protray.training.tasks.head_export import load_head

    _, facts = load_head(run.model)  # once here, where an error is short
    if facts.task in ("ddg", "msp"):
        raise ValueError(f"{run.model} predicts what mutations change (task {facts.task}), nothing of whole proteins")
    if facts.noise is not None and run.fasta:
        raise ValueError(f"{run.model} reads the embeddings of a score net, which needs --structures, not --fasta")
    files = [content_digest(files_of(run, path), path) for path in run.structures]
    files += [content_digest(map(Location, fasta_files([path.path])), path) for path in run.fasta]
    return {"model": fingerprint(str(run.model.fetch())), "proteins": files, "least": run.least}


def rows(run: Annotate) -> Iterator[Row | InputError]:
    """Records of FASTA files, or structure files, with an error for each that cannot be read."""
    if run.fasta:
        files = fasta_files([path.path for path in run.fasta])
        yield from first_of_each_id(row for file in files for row in map(_record, stream_fasta(file)))
        return
    for found in file_rows(run, run.structures):
        yield found if isinstance(found, InputError) else EMPTY | found | {"file": found["name"]}


def _record(source: Source | InputError) -> Row | InputError:
    if isinstance(source, InputError):
        return source
    try:
        codes_L = codes_of(source.sequence or "")
    except ValueError as error:
        return InputError(source.file, source.line, str(error), source.id)
    return EMPTY | {"id": source.id, "file": source.file, "line": source.line, "sequence": decode(codes_L)}


def cost(run: Annotate, row: Row) -> float:
    """By residues, and pairs of them where there is a structure; of a file, as if it were one chain."""
    if row["sequence"] is not None:
        return PER_RESIDUE_S * len(row["sequence"])
    packed = PACKED if str(row["file"]).endswith(".gz") else 1
    length = packed * row["size"] / BYTES_PER_RESIDUE
    return PER_RESIDUE_S * length + PER_PAIR_S * length**2


def amount(run: Annotate) -> Amount:
    costs = [cost(run, row) for row in rows(run) if not isinstance(row, InputError)]
    return amount_of(run, run.structures, costs)


def open_head(run: Annotate, device: str) -> Opened:
    from protray.inference.heads import Annotator

    return Opened(run, Annotator.open(run.model, device))


def work(opened: Opened, spans: list[Span]) -> Done:
    """Annotations of the proteins of some rows."""
    rejected: list[InputError] = []
    found = []
    for span in spans:
        for start, (id, sequence, atoms_LA3, index_L) in enumerate(_proteins(span.row, rejected)):
            try:
                score_T = opened.annotator(sequence, atoms_LA3, index_L)
            except ValueError as error:
                rejected.append(InputError(span.row["file"], span.row["line"], str(error), id))
                continue
            labels = opened.annotator.labels(score_T, opened.run.least)
            found.append({
                "number": span.number, "start": start, "id": id, "file": span.row["file"], "sequence": sequence,
                "labels": [label for label, _ in labels], "scores": [score for _, score in labels],
            })  # fmt: skip
    named = [pa.field("number", pa.int64()), pa.field("start", pa.int32()), *schemas.ANNOTATED]
    return Done(pa.Table.from_pylist(found, schema=pa.schema(named)), rejected)


def _proteins(
    row: Row, rejected: list[InputError]
) -> Iterator[tuple[str, str, np.ndarray | None, np.ndarray | None]]:  # fmt: skip
    """Id, sequence, atoms and places of the residues of each protein of a row."""
    from protray.data.structures import stored_atoms

    if row["sequence"] is not None:
        yield row["id"], row["sequence"], None, None
        return
    for one in chains_of(row, ANY_CHAIN, rejected):
        atoms_LA3 = stored_atoms(np.asarray(one["backbone_cA"], np.int16))
        yield one["id"], one["sequence"], atoms_LA3, np.asarray(one["index"], np.int32)


JOB = BatchJob(
    name="annotate", unit="proteins", table="annotations", source=SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_head, work=work, schema=lambda run: schemas.ANNOTATED, memory=lambda run: MEMORY, amount=amount,
)  # fmt: skip
