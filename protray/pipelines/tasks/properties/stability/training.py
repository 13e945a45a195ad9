"""Stability of proteins and of mutants, from embeddings; against simple baselines.

``OUT/model``                a folder for each head
``OUT/predictions.parquet``  true and predicted values of the test split
``OUT/tables.md``            correlations, or AUROC and AUPR, with intervals
``OUT/report.html``          the same with figures
``OUT/metrics.json``         all numbers
"""

from typing import TYPE_CHECKING

from protray.cluster.storage.identity import digest
from protray.cluster.train.job import Context, Stage, TrainingJob
from protray.pipelines.tasks.planned import mutant_lines, protein_lines
from protray.pipelines.tasks.properties.heads import (
    HeadInputs,
    head_loop,
    head_note,
    head_settings,
    head_show,
    head_stages,
    head_step,
    head_trial,
)
from protray.pipelines.tasks.properties.stability.inputs import (
    StabilityRun,
    data_digest,
    folder_of,
    identity,
    measurements_of,
    prepared,
    width,
)
from protray.pipelines.tasks.tuned.settings import tuned_settings, tuned_stages, tuned_trial

if TYPE_CHECKING:
    from protray.cluster.health.estimate import Line, Trials


def prepare(run: StabilityRun, context: Context) -> HeadInputs:
    return prepared(run)


def before(run: StabilityRun, trials: "Trials") -> "list[Line]":
    """The embeddings of proteins, or the vectors of mutants, in a plan."""
    found, folder = measurements_of(run)[0], folder_of(run)
    if run.of_mutations:
        return mutant_lines(run.out, run.embeddings, found.mutants, folder / "mutants.parquet", trials)
    return protein_lines(run.out, run.embeddings, found.rows, folder, trials)


def stages(run: StabilityRun, inputs: HeadInputs | None) -> list[Stage]:
    of = digest(identity(run)), measurements_of(run)[0].sizes()[0], "measurements"
    return head_stages(run, *of) + tuned_stages(run, *of)


def settings(run: StabilityRun, inputs: HeadInputs) -> dict:
    return head_settings(run, inputs, run.kind) | {"tuned": tuned_settings(run, inputs.of_tuned, run.kind)}


def trial(run: StabilityRun, stage: Stage) -> dict:
    if stage.name in run.tuned:
        tuned = tuned_trial(run, run.kind, stage, 1, run.of_mutations)
        return {"vectors": {}, "kind": run.kind, "net": run.net, "fit": run.fit, "tuned": tuned}
    return head_trial(run, run.kind, stage, 1, sum(width(run, name) for name in run.rows[stage.name]))


def finish(run: StabilityRun, inputs: HeadInputs, state: dict, context: Context) -> dict:
    # draws: matplotlib is slow to import
    from protray.pipelines.tasks.properties.stability.results import write_results

    return write_results(run, inputs, state, context)


JOB = TrainingJob(
    name="stability", seed=lambda run: run.fit.seed, digest=data_digest, identity=identity, prepare=prepare,
    stages=stages, settings=settings, loop=head_loop, finish=finish, show=head_show, note=head_note, trial=trial,
    step_of=head_step, before=before,
)  # fmt: skip
