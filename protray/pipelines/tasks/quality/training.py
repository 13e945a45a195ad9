"""Quality assessment of protein models: GraphQA with and without embeddings, against simple baselines.

``OUT/decoys``         the decoys and their true scores (`decoys.py`)
``OUT/model``          a folder for each network
``OUT/predictions.parquet``  true and predicted scores of the test decoys
``OUT/tables.md``      Table 1 of Guo et al. (AAAI 2022), with intervals
``OUT/report.html``    the same with figures
``OUT/metrics.json``   all numbers
"""

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from protray.cluster.batch.job import Amount
from protray.cluster.storage.identity import digest
from protray.cluster.train.job import Context, Report, Stage, TrainingJob
from protray.data.location import Location
from protray.pipelines.tasks.embeddings import JOB as EMBEDDINGS
from protray.pipelines.tasks.embeddings import EmbedProteins
from protray.pipelines.tasks.planned import embedding_line, inside_line
from protray.pipelines.tasks.quality.decoys import JOB as DECOYS
from protray.pipelines.tasks.quality.decoys import PER_DECOY_S, decoys_run, make_decoys, sample_rows, targets_of
from protray.pipelines.tasks.quality.inputs import QualityRun, data_digest, identity, opener, settings
from protray.pipelines.tasks.tuned.settings import TunedInputs, tuned_settings, tuned_stages, tuned_trial
from protray.pipelines.tasks.tuned.training import tuned_trainings

if TYPE_CHECKING:
    from protray.cluster.health.estimate import Line, Trials
    from protray.training.world import World

TRIED_TARGETS = 16  # of a plan's trial
TYPICAL = 100  # residues of a decoy, for a plan


@dataclass(frozen=True)
class QualityInputs:
    """What is trained on."""

    decoys: Location
    tuned: TunedInputs | None


def prepare(run: QualityRun, context: Context) -> QualityInputs:
    """Make the decoys, and what encoders are trained on with."""
    from protray.pipelines.tasks.quality.tuned import prepare_tuned

    decoys = make_decoys(run.out, run.data, run.decoys)
    return QualityInputs(decoys, prepare_tuned(run, decoys))


def before(run: QualityRun, trials: "Trials") -> "list[Line]":
    """The decoys, and the embeddings of encoders that are trained on, in a plan."""
    from protray.cluster.batch.measure import amount_of
    from protray.pipelines.tasks.quality.tuned import tuned_structures

    make = decoys_run(run.out, run.data, run.decoys)
    count, lines = amount_of(DECOYS, make).cost / PER_DECOY_S, [inside_line(DECOYS, make, trials)]
    for net in run.tuned.values():
        by, table = run.embeddings[net], tuned_structures(run)
        amount = Amount(count, count * by.seconds(TYPICAL), exact=False)
        embed = EmbedProteins(out=run.out, proteins=(table,), by=by, level="statistics")
        lines.append(embedding_line(net, EMBEDDINGS, embed, [table], amount, trials))
    return lines


def stages(run: QualityRun, inputs: QualityInputs | None) -> list[Stage]:
    count = sum(split == "train" for _, split in targets_of(run.data, run.decoys))
    unit = f"steps of {run.fit.batch} decoys, {run.fit.epochs} epochs of {count} targets"
    key = digest(identity(run))
    return [
        Stage(name, digest([key, name]), run.fit.steps(count), unit, params={"row": name, "net": asdict(run.net)})
        for name in run.rows
    ] + tuned_stages(run, key, count * run.decoys.each, "decoys, about")


def settings_of(run: QualityRun, inputs: QualityInputs) -> dict:
    return settings(run, inputs.decoys) | {"tuned": tuned_settings(run, inputs.tuned, "value")}


def trial(run: QualityRun, stage: Stage) -> dict:
    """Steps of one batch an epoch, with a decoy of each of a few targets, and little validation."""
    few = replace(run.decoys, targets=(TRIED_TARGETS, 1, 1), each=2)
    if stage.name in run.tuned:
        return settings(run, Location("")) | {"decoys": [], "rows": [], "tuned": tuned_trial(run, "value", stage, 1)}
    return settings(run, Location("")) | {
        "decoys": [row | {"split": "train"} for row in sample_rows(targets_of(None, few), few)], "rows": [stage.name]
    }  # fmt: skip


def loop(settings: dict, report: Report, resume: dict | None, world: "World") -> None:
    """Train the networks one after another, then encoders with heads."""
    from protray.data.decoys.table import decoy_from_row, read_decoys
    from protray.training.tasks.quality.fit import row_trainings
    from protray.training.tasks.turns import in_turn

    where = settings["decoys"]
    if isinstance(where, list):
        train = [decoy_from_row(row) for row in where]
        validation = train[:4]
    else:
        train, validation = (read_decoys(where.files("*.parquet"), split) for split in ("train", "validation"))
    rows = {name: partial(opener, name, settings, world.device) for name in settings["rows"]}
    trainings = row_trainings(rows, settings["net"], train, validation, settings["fit"], world)
    in_turn(trainings | tuned_trainings(settings.get("tuned"), world), report, resume)


def note(metrics: dict) -> str:
    error = metrics.get("validation/gdt_ts_rmse")
    if error is None and "validation/quality" in metrics:  # minus the mean squared error
        error = (-metrics["validation/quality"]) ** 0.5
    return "" if error is None else f"validation: GDT_TS off by {error:.3f}"


def finish(run: QualityRun, inputs: QualityInputs, state: dict, context: Context) -> dict:
    from protray.pipelines.tasks.quality.results import write_results  # draws: matplotlib is slow to import

    return write_results(run, inputs.decoys, inputs.tuned, state, context)


def show(run: QualityRun, facts: dict) -> None:
    print((run.out / "tables.md").read_bytes().decode())
    if run.data is None:
        print("The decoys are derived from natives, and no predictions of any program.")
    print(f"models  {run.out / 'model'}\nreport  {run.out / 'report.html'}\nMLflow  {facts['mlflow_ui']}")


JOB = TrainingJob(
    name="quality", seed=lambda run: run.fit.seed, digest=data_digest, identity=identity, prepare=prepare,
    stages=stages, settings=settings_of, loop=loop, finish=finish, show=show, note=note, trial=trial,
    step_of=lambda state: state["fit"]["position"]["step"], before=before,
)  # fmt: skip
