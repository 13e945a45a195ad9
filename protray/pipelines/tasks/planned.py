"""Lines of a plan for what a task computes before it trains: decoys, labels of complexes, embeddings.

Embeddings are timed on proteins of the package: the task's own table is written only when it runs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from protray.cluster.batch.job import Amount, BatchJob
from protray.data.location import Location
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.embeddings import JOB, EmbedProteins, in_cache
from protray.pipelines.tasks.inside import InsideSettings
from protray.pipelines.tasks.properties.mutants import JOB as MUTANTS
from protray.pipelines.tasks.properties.mutants import EmbedMutants
from protray.pipelines.tasks.properties.mutants import seconds_of as seconds_of_look

if TYPE_CHECKING:
    from protray.cluster.health.estimate import Line, Trials
    from protray.data.tasks.mutations import Mutant
    from protray.data.tasks.tables import TaskRow


def inside_line(job: BatchJob, run: InsideSettings, trials: "Trials") -> "Line":
    """Of a batch job whose rows are known before."""
    from protray.cluster.batch.folder import finished
    from protray.cluster.batch.measure import amount_of, line_of, share_done

    done = 1.0 if finished(job, run, job.identity(run)) else share_done(run)
    return line_of(job, run, amount_of(job, run), trials, done)


def amount_of_proteins(by: Embedding, lengths: Iterable[int]) -> Amount:
    """Of proteins to embed."""
    costs = [by.seconds(length) for length in lengths]
    return Amount(len(costs), sum(costs))


def embedding_line(
    name: str, job: BatchJob, run: EmbedProteins | EmbedMutants, tables: Sequence[Location], amount: Amount,
    trials: "Trials",
) -> "Line":  # fmt: skip
    """Of the proteins or mutants in some tables, as far as they are not embedded yet, by an embedding of some name."""
    from protray.cluster.batch.folder import finished
    from protray.cluster.batch.measure import line_of, share_done
    from protray.data.sample import SAMPLE

    done = 0.0
    if all(table.is_file() for table in tables):
        own = in_cache(job, run)
        done = 1.0 if finished(job, own, job.identity(own)) else share_done(own)
    sample = EmbedProteins(out=run.out, proteins=(Location(SAMPLE),), by=run.by, level="residue")
    return replace(line_of(JOB, sample, amount, trials, done), name=f"{job.name}, {name}", unit=job.unit)


def protein_lines(
    out: Location, embeddings: dict[str, Embedding], rows: "Sequence[TaskRow]", folder: Location, trials: "Trials"
) -> "list[Line]":
    """Of the rows of a task's table, which are written to a folder: their sequences, or the structures they have."""
    lines = []
    for name, by in embeddings.items():
        table = folder / ("structures.parquet" if by.of_structures else "examples.parquet")
        sequences = [row.observed and row.observed.sequence if by.of_structures else row.sequence for row in rows]
        amount = amount_of_proteins(by, [len(sequence) for sequence in sequences if sequence])
        run = EmbedProteins(out=out, proteins=(table,), by=by, level="statistics")
        lines.append(embedding_line(name, JOB, run, [table], amount, trials))
    return lines


def mutant_lines(
    out: Location, embeddings: dict[str, Embedding], mutants: "Sequence[Mutant]", table: Location, trials: "Trials"
) -> "list[Line]":
    """Of mutants, which are written to a table; a model of structures reads those with one."""
    lines = []
    for name, by in embeddings.items():
        read = [one for one in mutants if one.row.observed or not by.of_structures]
        cost = sum(2 * seconds_of_look(by, len(one.row.sequence)) for one in read)
        run = EmbedMutants(out=out, mutants=table, by=by)
        lines.append(embedding_line(name, MUTANTS, run, [table], Amount(len(read), cost), trials))
    return lines
