"""Functions, or melting temperatures, of many proteins, by a finished head of jobs/function.py or jobs/stability.py.

``OUT/annotations/*.parquet``  ``schemas.ANNOTATED``: a row for each protein or chain, in the order of the input

A row of the input is a record of a FASTA file, or a structure file with any number of chains, which is read where it is
worked on.  Heads of mutations have a job of their own, `mutants`.
"""

from typing import TYPE_CHECKING

from protray.cluster.batch.job import BatchJob, Done, Row, Span
from protray.data import schemas
from protray.pipelines.structure import inputs
from protray.pipelines.tasks.properties.annotate import mutants
from protray.pipelines.tasks.properties.annotate.inputs import (
    Annotate,
    check_least,
    facts_of,
    memory,
    of_mutations,
    protein_digests,
    protein_rows,
    read_by,
)
from protray.plm.shipped import fingerprint
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.inference.tasks.heads import Annotator


def job_of(run: Annotate) -> BatchJob:
    """The job on proteins, or where the head is of mutations, on those of a table, or all single ones of proteins."""
    if not of_mutations(run):
        return JOB
    return mutants.JOB if run.mutations else mutants.SCAN


def identity(run: Annotate) -> dict:
    from protray.training.tasks.properties.head_export import load_head

    load_head(run.model)  # once here, where an error is short
    check_least(run)
    if run.mutations:
        raise ValueError(
            f"{run.model} is of whole proteins (task {facts_of(run.model).task}) and predicts nothing of mutations: "
            "give --fasta or --structures, or a head of jobs/stability.py --task ddg or msp"
        )
    return {"model": fingerprint(str(run.model.fetch())), "proteins": protein_digests(run), "least": run.least}


def cost(run: Annotate, row: Row) -> float:
    """By what the head reads; of a file, as if it were one chain."""
    length = max(inputs.length_of(row), 1)
    return sum(by.seconds(length) for by in read_by(run.model))


def open_head(run: Annotate, device: str) -> "tuple[Annotate, Annotator]":
    from protray.inference.tasks.heads import Annotator

    return run, Annotator.open(run.model, device)


def work(opened: "tuple[Annotate, Annotator]", spans: list[Span]) -> Done:
    """Annotations of the proteins of some rows."""
    run, annotator = opened
    rejected: list[InputError] = []
    found = []
    for span in spans:
        for start, one in enumerate(inputs.proteins_of(span.row, rejected, annotator.facts.side_chains)):
            try:
                score_T = annotator(one.sequence, one.atoms_LA3, one.index_L)
            except ValueError as error:
                rejected.append(InputError(span.row["file"], span.row["line"], str(error), one.id))
                continue
            labels = annotator.labels(score_T, run.least)
            found.append({
                "number": span.number, "start": start, "id": one.id, "file": span.row["file"], "sequence": one.sequence,
                "labels": [label for label, _ in labels], "scores": [score for _, score in labels],
            })  # fmt: skip
    return Done.of(found, schemas.ANNOTATED, rejected)


JOB = BatchJob(
    name="annotate", unit="proteins", table="annotations", source=inputs.SOURCE, identity=identity, rows=protein_rows,
    cost=cost, open=open_head, work=work, schema=lambda run: schemas.ANNOTATED, memory=memory,
    amount=lambda run: inputs.amount_of(run, run.structures, protein_rows(run), cost),
)  # fmt: skip
