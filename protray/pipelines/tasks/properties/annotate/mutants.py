"""Effects of mutations, by a finished head of jobs/stability.py --task ddg or msp.

``OUT/annotations/*.parquet``  ``schemas.EFFECTS``: a row for each mutant, in the order of the input

A row of the input is one of a table of mutations, with all that its vector is made of; or a protein, a FASTA record or
a structure file with any number of chains, of which every single mutant is predicted: 19 for each residue.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

from protray.cluster.batch.job import BatchJob, Done, Row, Span
from protray.cluster.storage.identity import content_digest
from protray.data import schemas
from protray.data.location import Location
from protray.data.tasks.tables import rows_digest
from protray.pipelines.structure import inputs
from protray.pipelines.tasks.properties.annotate.inputs import (
    Annotate,
    check_least,
    facts_of,
    memory,
    protein_digests,
    protein_rows,
    read_by,
)
from protray.pipelines.tasks.properties.mutants import STORED, input_of, seconds_of, stored
from protray.plm.shipped import fingerprint
from protray.seq.alphabet import N_AA
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.data.tasks.mutations import Mutant
    from protray.inference.tasks.heads import MutationEffects
    from protray.inference.tasks.mutants import MutantInput

SOURCE = pa.struct([*inputs.SOURCE, ("mutation", pa.string()), *list(STORED)[2:]])
EMPTY: Row = dict.fromkeys(field.name for field in SOURCE)


@cache
def _read(table: Location, complexes: bool) -> "tuple[list[Mutant], list[InputError]]":
    from protray.data.tasks.mutations import read_mutants

    return read_mutants(table, complexes=complexes, measured=False)


def identity(run: Annotate) -> dict:
    from protray.training.tasks.properties.head_export import load_head

    _, facts = load_head(run.model)  # once here, where an error is short
    check_least(run)
    found = {"model": fingerprint(str(run.model.fetch()))}
    if run.mutations:
        mutants, errors = _read(run.mutations, facts.task == "msp")
        if facts.noise is not None and mutants and not any(one.row.observed for one in mutants):
            if errors:
                raise ValueError(
                    f"no row of {run.mutations} with a structure can be used; the first error: {errors[0]}"
                )
            raise ValueError(
                f"{run.model} reads the embeddings of a model of structures, but no row of {run.mutations} has one: "
                "give it a column `structure`, a PDB or mmCIF file of the wild type"
            )
        return found | {"mutations": [content_digest([run.mutations]), rows_digest([one.row for one in mutants])]}
    if facts.task == "msp":
        raise ValueError(
            f"{run.model} predicts what mutations of complexes change (task msp): give --mutations, a table with the "
            "columns id, structure, mutation (such as L:A42G, residue 42 of chain L)"
        )
    return found | {"proteins": protein_digests(run)}


def rows(run: Annotate) -> Iterator[Row | InputError]:
    """Mutants of a table, or proteins, with an error for each that cannot be used."""
    if not run.mutations:
        yield from (one if isinstance(one, InputError) else EMPTY | one for one in protein_rows(run))
        return
    mutants, errors = _read(run.mutations, facts_of(run.model).task == "msp")
    yield from errors
    for one in mutants:
        found = {"file": one.row.file, "line": one.row.line, "length": len(one.row.sequence)}
        yield EMPTY | found | {"mutation": str(one.row.more["mutation"])} | stored(one)


def cost(run: Annotate, row: Row) -> float:
    """A look at each mutant and one at its wild type, which those of one site share."""
    length = inputs.length_of(row)
    each = sum(seconds_of(by, length) for by in read_by(run.model))
    return each * (2 if row["mutation"] is not None else N_AA * length)


def cut(run: Annotate, row: Row, seconds: float) -> list[tuple[int, int]]:
    """Some residues at a time of a FASTA record; a file is not cut, since its chains are not known yet."""
    if row["sequence"] is None:
        return [(0, 0)]
    length = row["length"]
    some = max(1, int(length * seconds / cost(run, row)))
    return [(start, min(start + some, length)) for start in range(0, length, some)]


def work(effect_of: "MutationEffects", spans: list[Span]) -> Done:
    """Effects of some mutants; a protein whose mutants cannot be predicted is named once.  Of a scan, inputs count."""
    found: list[dict] = []
    rejected: list[InputError] = []
    for span in spans:
        for start, id, mutation, residue, one in _inputs(span, rejected, effect_of.facts.side_chains):
            try:
                predicted = effect_of(one)
            except ValueError as error:
                rejected.append(InputError(span.row["file"], span.row["line"], str(error), id))
                continue
            found.append({
                "number": span.number, "start": start, "id": id, "file": span.row["file"], "sequence": one.sequence,
                "mutation": mutation, "residue": residue, "predicted": predicted,
            })  # fmt: skip
    done = Done.of(found, schemas.EFFECTS, rejected)
    done.counts[SCAN.unit] += sum(span.row["mutation"] is None for span in spans)
    return done


def _inputs(
    span: Span, rejected: list[InputError], side_chains: bool
) -> "Iterator[tuple[int, str, str, str | None, MutantInput]]":
    """Mutants of a span: their place in its row, id, name, residue in the file, and what is predicted from."""
    from protray.inference.tasks.mutants import single_mutants

    row, before = span.row, 0  # residues of the chains before
    if row["mutation"] is not None:
        yield 0, row["id"], row["mutation"], None, input_of(row)
        return
    for protein in inputs.proteins_of(row, rejected, side_chains):
        scanned = single_mutants(protein.sequence, protein.index_L, protein.atoms_LA3, span.start, span.stop or None)
        for n, one in enumerate(scanned):
            residue = protein.numbers[one.sites[0]] if protein.numbers else None
            yield N_AA * (before + span.start) + n, protein.id, one.name, residue, one
        before += len(protein.sequence)


def open_head(run: Annotate, device: str) -> "MutationEffects":
    from protray.inference.tasks.heads import MutationEffects

    return MutationEffects.open(run.model, device)


def conclude(run: Annotate, files: list[Location], summary: dict) -> dict:
    return {"mutants": summary["n_rows"]}


def shown(run: Annotate, summary: dict) -> dict[str, object]:
    return {"mutants": f"{summary['mutants']:,}"}


JOB = BatchJob(
    name="annotate", unit="mutants", table="annotations", source=SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_head, work=work, schema=lambda run: schemas.EFFECTS, memory=memory,
)  # fmt: skip
SCAN = replace(
    JOB, unit="proteins", cut=cut, conclude=conclude, shown=shown,
    amount=lambda run: inputs.amount_of(run, run.structures, rows(run), cost, exact=not run.structures),
)  # fmt: skip
