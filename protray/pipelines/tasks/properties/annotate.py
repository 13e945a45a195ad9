"""Functions, or melting temperatures, of many proteins, by a finished head of jobs/function.py or jobs/stability.py.

``OUT/annotations/*.parquet``  ``schemas.ANNOTATED``: a row for each protein or chain, in the order of the input

A row of the input is a record of a FASTA file, or a structure file with any number of chains, which is read where it is
worked on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protray.cluster.batch.job import BatchJob, BatchSettings, Done, Row, Span
from protray.cluster.storage.identity import content_digest
from protray.data import schemas
from protray.data.location import Location
from protray.pipelines.structure import inputs
from protray.pipelines.structure.embed import MEMORY, PER_PAIR_S
from protray.plm.shipped import fingerprint
from protray.seq.errors import InputError
from protray.seq.fasta import fasta_files

if TYPE_CHECKING:
    from protray.inference.heads import Annotator

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


def identity(run: Annotate) -> dict:
    from protray.training.tasks.head_export import load_head

    _, facts = load_head(run.model)  # once here, where an error is short
    if facts.task in ("ddg", "msp"):
        raise ValueError(f"{run.model} predicts what mutations change (task {facts.task}), nothing of whole proteins")
    if facts.noise is not None and run.fasta:
        raise ValueError(f"{run.model} reads the embeddings of a score net, which needs --structures, not --fasta")
    files = inputs.digests(run, run.structures)
    files += [content_digest(map(Location, fasta_files([path.path])), path) for path in run.fasta]
    return {"model": fingerprint(str(run.model.fetch())), "proteins": files, "least": run.least}


def rows(run: Annotate) -> Iterator[Row | InputError]:
    """Records of FASTA files, or structure files, with an error for each that cannot be read."""
    if run.fasta:
        return inputs.record_rows(fasta_files([path.path for path in run.fasta]))
    return inputs.file_rows(run, run.structures)


def cost(run: Annotate, row: Row) -> float:
    """By residues, and pairs of them where there is a structure; of a file, as if it were one chain."""
    length = inputs.length_of(row)
    return PER_RESIDUE_S * length + (PER_PAIR_S * length**2 if row["sequence"] is None else 0.0)


def open_head(run: Annotate, device: str) -> "tuple[Annotate, Annotator]":
    from protray.inference.heads import Annotator

    return run, Annotator.open(run.model, device)


def work(opened: "tuple[Annotate, Annotator]", spans: list[Span]) -> Done:
    """Annotations of the proteins of some rows."""
    run, annotator = opened
    rejected: list[InputError] = []
    found = []
    for span in spans:
        for start, (id, sequence, atoms_LA3, index_L) in enumerate(inputs.proteins_of(span.row, rejected)):
            try:
                score_T = annotator(sequence, atoms_LA3, index_L)
            except ValueError as error:
                rejected.append(InputError(span.row["file"], span.row["line"], str(error), id))
                continue
            labels = annotator.labels(score_T, run.least)
            found.append({
                "number": span.number, "start": start, "id": id, "file": span.row["file"], "sequence": sequence,
                "labels": [label for label, _ in labels], "scores": [score for _, score in labels],
            })  # fmt: skip
    return Done.of(found, schemas.ANNOTATED, rejected)


JOB = BatchJob(
    name="annotate", unit="proteins", table="annotations", source=inputs.SOURCE, identity=identity, rows=rows,
    cost=cost, open=open_head, work=work, schema=lambda run: schemas.ANNOTATED, memory=lambda run: MEMORY,
    amount=lambda run: inputs.amount_of(run, run.structures, rows(run), cost),
)  # fmt: skip
