"""A sweep end to end: what the trials share, the trials, the best ones with other seeds, tables, report, MLflow.

``OUT/cache``          what the trials share: dataset, maps, teacher
``OUT/trials/KEY``     a trial: its record, weights and predictions
``OUT/model``          the best trial's networks
``OUT/report.html``    table, effects, pictures
``OUT/metrics.json``   all numbers of it; written last, it says "finished"
"""

import functools
import json
import logging
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from protray.cluster.health.doctor import check_shared
from protray.cluster.runtime import resources as plan
from protray.cluster.runtime.start import start_ray, stop_ray
from protray.cluster.storage import remote
from protray.cluster.tracking import run_info
from protray.cluster.tracking.tracker import Tracker
from protray.cluster.tuning.books import Books
from protray.cluster.tuning.space import replaced
from protray.cluster.tuning.sweep_plan import BEST, check_study, job_module, make_plan, trial_of
from protray.cluster.tuning.sweep_run import SweepRun
from protray.cluster.tuning.trial import STATE, Record, Trial, read_record
from protray.pipelines.secondary.distil_run import check_same_settings, digest

log = logging.getLogger(__name__)


@remote.kept("data", skip=STATE)
def sweep(run: SweepRun) -> dict:
    """Run whatever is missing in ``run.out`` and return the content of ``metrics.json``.

    Raises
    ------
    ValueError
        For a study with a setting that does not exist, naming the nearest; for a folder that belongs to another sweep;
        if every trial failed.
    """
    job = job_module(run.study.job)
    check_study(run, job)
    check_same_settings(run)
    if stored := stored_metrics(run):
        log.info("everything is cached in %s; nothing to compute", run.out)
        return stored
    cluster = start_ray()
    try:
        check_shared(cluster, run.out)
        job_plan = make_plan(run, cluster)
        log.info("%s", plan.describe(job_plan))
        with tracked(run) as (tracker, parent):
            shared = job.prepare(run, cluster, tracker, parent)
            runs = run_all(run, job, shared, job_plan, tracker, parent)
            from protray.cluster.tuning.results import write_results  # draws: matplotlib is slow to import

            return write_results(run, job, shared, records(run), runs, tracker, parent)
    finally:
        stop_ray(cluster)


def run_all(run: SweepRun, job: Any, shared: Any, job_plan: plan.Plan, tracker: Tracker, parent: str) -> dict[str, str]:
    """Run the trials that have no record, then the paper's point and the best with other seeds.

    Returns the MLflow runs of all trials that are done, by key.
    """
    from protray.cluster.tuning.tune import Tuning, Work, tune_optuna, tune_points

    base, stage = job.base(run), job_plan["trials"]
    deadline = None if run.budget_hours is None else time.monotonic() + 3600 * run.budget_hours
    work = Work(
        job=job, shared=shared, settings_of=functools.partial(settings_of, base),
        trial_of=functools.partial(trial_of, run.trial_keys(), run.study.paper, run.seed),
        folder=(run.out / "trials").resolve(), metric=run.study.metric, steps=shared.steps,
        threads=job_plan.threads("trials"), device="cuda" if stage.gpus_per_worker else "cpu",
    )  # fmt: skip
    tuning = Tuning(
        mode=run.study.mode, stage=stage,
        scheduler=run.scheduler, retries=run.retries, deadline=deadline,
    )  # fmt: skip

    def params_of(trial: Trial | Record) -> dict:
        return job.params(settings_of(base, trial), shared)

    points = run.points()
    storage = run.out / "cache" / "tune"
    total = (run.samples if points is None else len(points)) + (1 + BEST) * run.repeats
    books = Books(tracker, parent, params_of, run.study.metric, shared.steps, total)
    try:
        with books.progress:
            for record in records(run):
                books.end(record, cached=True)
            if points is None:
                first = [record for record in records(run) if record.role != "repeat"]
                tune_optuna(work, tuning, run.study, first, run.samples, books, storage, run.seed)
            else:
                trials = [work.trial_of(point) for point in points]
                tune_points(work, tuning, _missing(run, trials), books, storage)
            if deadline is None or time.monotonic() < deadline:
                again = replace(tuning, scheduler="none")  # ended early, a seed would say nothing of the others
                tune_points(work, again, _missing(run, repeats(run)), books, storage)
    finally:
        books.abandon()
    return {record.key: books.runs[record.key] for record in records(run)}


def settings_of(base: Any, trial: Trial | Record) -> Any:
    """The settings of a trial: the study's point and the trial's seed, all else as it is."""
    return replaced(base, trial.point | {"fit.seed": trial.seed})


def repeats(run: SweepRun) -> list[Trial]:
    """The paper's point and the best others with fresh seeds: the one that chose them would flatter them."""
    found = [record for record in records(run) if record.status == "finished" and record.role != "repeat"]
    paper = [record for record in found if record.role == "paper"]
    others = [record for record in found if record.role != "paper"]
    again = []
    for record in paper + best_first(others, run.study.mode)[:BEST]:
        for seed in range(run.seed + 1, run.seed + 1 + run.repeats):
            key = digest([run.trial_keys(), record.point, seed])
            again.append(
                Trial(key=key, point=record.point, seed=seed, role="repeat", name=f"{record.name} seed={seed}")
            )
    return again


def best_first(found: list[Record], mode: str) -> list[Record]:
    sign = -1 if mode == "max" else 1
    return sorted(found, key=lambda record: sign * (record.score or 0.0))


def records(run: SweepRun) -> list[Record]:
    """Of all trials that are done, the paper's first; a folder's trials all belong to one sweep."""
    found = [record for folder in sorted((run.out / "trials").glob("*")) if (record := read_record(folder))]
    return sorted(found, key=lambda record: (["paper", "trial", "repeat"].index(record.role), record.name))


def _missing(run: SweepRun, trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if read_record(run.out / "trials" / trial.key) is None]


def stored_metrics(run: SweepRun) -> dict | None:
    """``metrics.json``, if it answers this very command."""
    path = run.out / "metrics.json"
    if not path.is_file() or not (run.out / "report.html").is_file():
        return None
    stored = json.loads(path.read_text())
    return stored if stored["complete"] and stored["asked"] == asked(run) else None


def asked(run: SweepRun) -> dict:
    """What may change between runs in one folder, and changes what there is to compute."""
    return {"space": run.study.name, "search": run.search, "samples": run.samples, "repeats": run.repeats}


def tracked(run: SweepRun) -> AbstractContextManager[tuple[Tracker, str]]:
    """MLflow with the parent run of all trials."""
    return Tracker.job(
        run.mlflow,
        run.experiment,
        run.out,
        key="sweep-" + digest(run.fixed()),
        name=f"sweep {run.study.name}",
        params=run.fixed(),
        tags=run_info.common_tags(run.seed, run.fixed()["digest of the data"], 1) | {"role": "sweep"},
    )


def sweep_is_complete(run: SweepRun, found: list[Record]) -> bool:
    """Whether the same command would have nothing left to do."""
    if (points := run.points()) is None:
        trials_done = sum(record.role != "repeat" for record in found) >= run.samples
    else:
        trials = [trial_of(run.trial_keys(), run.study.paper, run.seed, point) for point in points]
        trials_done = not _missing(run, trials)
    return trials_done and not _missing(run, repeats(run))
