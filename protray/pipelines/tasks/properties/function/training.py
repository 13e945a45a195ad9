"""Functions of proteins, EC numbers or GO terms, or their folds, from embeddings; against simple baselines.

``OUT/model``                a folder for each head
``OUT/predictions.parquet``  ``schemas.FUNCTIONS``: labels of the test proteins
``OUT/tables.md``            Fmax and AUPR, or of folds accuracy and nearest neighbours, with intervals
``OUT/report.html``          the same with figures
``OUT/metrics.json``         all numbers
"""

from typing import TYPE_CHECKING

from protray.cluster.storage.identity import digest
from protray.cluster.train.job import Context, Stage, TrainingJob
from protray.pipelines.tasks.planned import protein_lines
from protray.pipelines.tasks.properties.function.inputs import (
    FunctionRun,
    data_digest,
    folder_of,
    identity,
    prepared,
    proteins_of,
)
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
from protray.pipelines.tasks.tuned.settings import tuned_settings, tuned_stages, tuned_trial

if TYPE_CHECKING:
    from protray.cluster.health.estimate import Line, Trials


def prepare(run: FunctionRun, context: Context) -> HeadInputs:
    return prepared(run)


def before(run: FunctionRun, trials: "Trials") -> "list[Line]":
    """The embeddings, in a plan."""
    return protein_lines(run.out, run.embeddings, proteins_of(run)[0].rows, folder_of(run), trials)


def stages(run: FunctionRun, inputs: HeadInputs | None) -> list[Stage]:
    of = digest(identity(run)), proteins_of(run)[0].sizes()[0], "proteins"
    return head_stages(run, *of) + tuned_stages(run, *of)


def settings(run: FunctionRun, inputs: HeadInputs) -> dict:
    return head_settings(run, inputs, "labels") | {"tuned": tuned_settings(run, inputs.of_tuned, run.kind)}


def trial(run: FunctionRun, stage: Stage) -> dict:
    if stage.name in run.tuned:
        tuned = tuned_trial(run, run.kind, stage, len(proteins_of(run)[0].labels))
        return {"vectors": {}, "kind": "labels", "net": run.net, "fit": run.fit, "tuned": tuned}
    width = sum(run.embeddings[name].width for name in run.rows[stage.name])
    return head_trial(run, "labels", stage, len(proteins_of(run)[0].labels), width)


def finish(run: FunctionRun, inputs: HeadInputs, state: dict, context: Context) -> dict:
    from protray.pipelines.tasks.properties.function.results import write_results  # draws: matplotlib is slow to import

    return write_results(run, inputs, state, context)


JOB = TrainingJob(
    name="function", seed=lambda run: run.fit.seed, digest=data_digest, identity=identity, prepare=prepare,
    stages=stages, settings=settings, loop=head_loop, finish=finish, show=head_show, note=head_note, trial=trial,
    step_of=head_step, before=before,
)  # fmt: skip
