"""PSSM-Distil end to end: probability maps, one training after another, tables, model, predictions and report.

``OUT/model``                the networks for jobs/predict.py
``OUT/predictions.parquet``  of the test split: ``schemas.PREDICTIONS``
``OUT/report.html``          tables, figures, curves;  ``OUT/tables.md``  Tables 2 and 3
``OUT/metrics.json``         all numbers
``OUT/cache``                maps, and a folder of every finished training, named by the hash of all that it depends on:
                             other settings in the same --out compute what they change, and no more
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from protray.cluster.storage.identity import dataset_digest, digest
from protray.cluster.train.job import Context, Report, Stage, TrainingJob
from protray.data.location import Location
from protray.pipelines.language_model import prob_maps
from protray.pipelines.language_model.made_with import MadeWith
from protray.pipelines.secondary.distil_inputs import (
    DistilRun,
    Inputs,
    folder_of,
    is_prepared,
    maps_of,
    maps_runs,
    prepare_inputs,
    read_inputs,
    unlabelled_digest,
)

if TYPE_CHECKING:
    from protray.cluster.health.estimate import Line, Trials
    from protray.training.secondary.stages import Stage as Training
    from protray.training.world import World

ENDLESS = 10**6  # epochs of a training that is timed


def identity(run: DistilRun) -> dict:
    made = maps_of(run)
    return {
        "digest of the data": made.proteins,
        "unlabelled": unlabelled_digest(run),
        "fingerprint of the language model": made.fingerprint,
        **asdict(made.reading),
        "float16": made.float16,
        "model": run.model,
        "train_on": run.train_on,
        "teacher_on": run.teacher_on,
        "lm_features": run.lm_features,
        "background": run.background,
        "drawing": run.drawing,
        "weights": asdict(run.weights),
        "epochs": run.networks.fit.epochs,
        "seed": run.seed,
        "ablate": run.ablate,
        "rivals": run.rivals,
        "enhance_net": run.enhance_net,
    }


def stages_of(run: DistilRun) -> "list[Training]":
    """All trainings of a run, each after the one whose network it takes."""
    from protray.training.secondary.stages import plan_stages

    channels = hidden_width(run) if run.hidden else 0
    return plan_stages(
        run.networks, run.weights, run.train_on, channels, run.ablate, run.rivals, run.enhance_net, run.teacher_on
    )


def hidden_width(run: DistilRun) -> int:
    """Channels of the language model's hidden state."""
    if run.maps is not None:
        from protray.data.parquet import read_batches
        from protray.data.secondary.dataset import parquet_files

        columns = ["sequence", "lm_hidden"]
        row = next(read_batches(parquet_files(run.maps / "maps")[0], columns, 1)).to_pylist()[0]
        return len(row["lm_hidden"]) // len(row["sequence"])
    from protray.plm.hub.loading import read_config

    return int(read_config(run.lm).hidden_size)


def folders_of(run: DistilRun, trainings: "Sequence[Training]", made: MadeWith) -> dict[str, Location]:
    """Where each training is kept when it is finished."""
    from protray.training.secondary.stage_features import stage_keys

    keys = stage_keys(list(trainings), made.proteins, made.key, run.features, unlabelled_digest(run))
    return {one.name: run.out / "cache" / f"{slug(one.name)}-{keys[one.name]}" for one in trainings}


def slug(name: str) -> str:
    """A training's name as part of a file name."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")


def stages(run: DistilRun, inputs: Inputs | None) -> list[Stage]:
    return planned(run, stages_of(run), inputs)


def planned(run: DistilRun, trainings: "Sequence[Training]", inputs: Inputs | None) -> list[Stage]:
    """What the driver knows of some trainings."""
    from protray.data.secondary.collate import order
    from protray.pipelines.secondary.distil_few import counted
    from protray.training.secondary.finished import is_finished
    from protray.training.secondary.stages import check_splits, rows_of, training_rows

    proteins = inputs.proteins if inputs else counted(run.data, run.unlabelled)
    check_splits(proteins)
    folders = folders_of(run, trainings, inputs.made if inputs else maps_of(run))
    mean = proteins.lengths[training_rows(proteins, "all")].mean()
    found = []
    for one, folder in zip(trainings, folders.values(), strict=True):
        lengths, fit = proteins.lengths[rows_of(one, proteins)], one.networks.fit
        steps = fit.epochs * len(order(lengths, fit.per_batch, fit.seed, 0))
        unit = f"steps of {fit.per_batch} proteins, {fit.epochs} epochs of {len(lengths)}"
        found.append(
            Stage(
                one.name, folder.name, steps, unit,
                done=steps if is_finished(folder) else 0, alike=digest(asdict(_alike(one))),
                cost=float(lengths.mean() / mean), params=asdict(one),
            )
        )  # fmt: skip
    return found


def settings(run: DistilRun, inputs: Inputs) -> dict:
    return settings_of(run, stages_of(run), inputs)


def settings_of(run: DistilRun, trainings: "Sequence[Training]", inputs: Inputs) -> dict:
    folders = folders_of(run, trainings, inputs.made)
    return {"stages": list(trainings), "folders": folders, "inputs": inputs.folder, "features": run.features}


def loop(settings: dict, report: Report, resume: dict | None, world: "World") -> None:
    """Train what is not finished; `known` has weights of trainings that have no folder."""
    from protray.training.secondary.session import run_stages

    inputs = settings["inputs"]
    proteins = read_inputs(inputs) if isinstance(inputs, Location) else inputs
    run_stages(
        settings["stages"], settings["folders"], proteins, settings["features"], report, resume, world,
        settings.get("known"),
    )  # fmt: skip


def train_some(run: DistilRun, trainings: "Sequence[Training]", inputs: Inputs, context: Context) -> None:
    """Train some of a run's trainings, where they are not finished, each in a run of its own in MLflow."""
    from protray.cluster.train.driver import start_runs, train_stages, training_name

    job = replace(
        JOB,
        stages=lambda run, inputs: planned(run, trainings, inputs),
        settings=lambda run, inputs: settings_of(run, trainings, inputs),
    )
    context = replace(context, runs=start_runs(job, job.stages(run, inputs), context))
    train_stages(job, run, inputs, context)
    log_histories(folders_of(run, trainings, inputs.made), context)
    for own in context.runs.values():
        context.tracker.finish(own)
    (run.out / "cache" / training_name(job, job.stages(run, inputs))).remove()  # checkpoints of what is finished


def log_histories(folders: dict[str, Location], context: Context) -> None:
    """Log what MLflow may have missed of each training."""
    from protray.cluster.train.driver import track_history
    from protray.training.secondary.finished import read_history

    for name, folder in folders.items():
        track_history(context, context.runs[name], read_history(folder))


def finish(run: DistilRun, inputs: Inputs, state: dict, context: Context) -> dict:
    from protray.pipelines.secondary.distil_results import write_results  # draws: matplotlib is slow to import

    trainings = stages_of(run)
    folders = folders_of(run, trainings, inputs.made)
    log_histories(folders, context)
    return write_results(run, inputs, trainings, folders, context)


def show(run: DistilRun, facts: dict) -> None:
    from protray.pipelines.secondary.distil_results import print_summary

    print_summary(run, facts)


def note(metrics: dict) -> str:
    score = metrics.get("validation/q3")
    return "" if score is None else f"validation Q3 {score:.3f}"


def before(run: DistilRun, trials: "Trials") -> "list[Line]":
    """The maps, in a plan."""
    from protray.cluster.batch.measure import line_of, share_done

    made = maps_of(run)
    return [
        line_of(prob_maps.JOB, of_maps, prob_maps.amount(of_maps), trials, share_done(of_maps))
        for of_maps in ([] if is_prepared(folder_of(run, made)) else maps_runs(run, made))
    ]


def trial(run: DistilRun, stage: Stage) -> dict:
    """A training without end on few proteins, with made-up maps, and beside a teacher that has learnt nothing."""
    from protray.pipelines.secondary.distil_few import few_proteins
    from protray.training.secondary.stages import build

    trainings = {one.name: one for one in stages_of(run)}
    one = trainings[stage.name]
    known = {one.after: build(trainings[one.after], {}).state_dict()} if one.after else {}
    endless = replace(one.networks, fit=replace(one.networks.fit, epochs=ENDLESS))
    return {
        "stages": [replace(one, networks=endless, train_on="all")], "folders": {one.name: run.out / "cache" / "none"},
        "inputs": few_proteins(run.data, one.networks.fit.per_batch, hidden_width(run) if run.hidden else 0),
        "features": run.features, "known": known,
    }  # fmt: skip


def _alike(one: "Training") -> "Training":
    """The same for trainings whose steps take equally long for each residue."""
    return replace(one, name="", train_on="all", after=one.after and "")


JOB = TrainingJob(
    name="distil", seed=lambda run: run.seed, digest=lambda run: dataset_digest(run.data), identity=identity,
    prepare=lambda run, context: prepare_inputs(run), stages=stages, settings=settings, loop=loop, finish=finish,
    show=show, note=note, trial=trial,
    step_of=lambda state: state["fit"]["history"][-1]["step"], before=before, reuses=True,
)  # fmt: skip
