"""A sweep end to end: what the trials share, the trials, the best ones with other seeds, tables, report, MLflow.

``OUT/cache``          what the trials share: dataset, maps, teacher
``OUT/trials/KEY``     a trial: its record, weights and predictions
``OUT/model``          the best trial's networks
``OUT/report.html``    table, effects, pictures
``OUT/metrics.json``   all numbers of it; written last
"""

import functools
import importlib.util
import logging
import statistics
import time
from dataclasses import replace
from typing import Any

from protray.cluster.health.doctor import check_shared
from protray.cluster.runtime import resources
from protray.cluster.runtime.resources import Plan, describe, make_plan
from protray.cluster.runtime.start import Cluster, start_ray, stop_ray
from protray.cluster.storage.identity import belongs, claim, digest
from protray.cluster.tracking import run_info
from protray.cluster.tracking.tracker import Tracker
from protray.cluster.train.job import Context
from protray.cluster.tuning.job import Sweepable
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.space import replaced
from protray.cluster.tuning.trial import Trial
from protray.cluster.tuning.trials import (
    base_of,
    missing,
    n_repeats,
    n_trials,
    records,
    repeats,
    settings_of,
    stored_metrics,
    trial_of,
)

log = logging.getLogger(__name__)


def run_sweep(job: Sweepable, run: SweepRun) -> dict:
    """Run whatever is missing in ``run.out`` and return the content of ``metrics.json``.

    Raises
    ------
    ValueError
        For a study with a setting that does not exist, naming the nearest; for a folder that belongs to another sweep;
        if every trial failed.
    """
    identity = checked(job, run)
    if stored := stored_metrics(run):
        log.info("everything is there in %s; nothing to compute", run.out)
        Tracker.catch_up(run.mlflow, run.experiment, run.out)
        return stored
    claim(run.out, identity)
    cluster = start_ray()
    try:
        check_shared(cluster, run.out)
        plan = trial_resources(run, cluster)
        log.info("%s", describe(plan))
        tags = run_info.common_tags(run.seed, str(identity.get("digest of the data")), 1) | {"role": "sweep"}
        with Tracker.job(
            run.mlflow, run.experiment, run.out, key=f"sweep-{digest(identity)}", name=f"sweep {run.study.name}",
            params=identity, tags=tags,
        ) as (tracker, parent):  # fmt: skip
            shared = job.prepare(run, Context(job.plan(run, cluster), tracker, parent))
            runs = run_all(job, run, identity, shared, plan, tracker, parent)
            from protray.cluster.tuning.results import write_results  # draws: matplotlib is slow to import

            return write_results(job, run, identity, shared, runs, tracker, parent)
    finally:
        stop_ray(cluster)


def checked(job: Sweepable, run: SweepRun) -> dict:
    """What trials have in common; ValueError, before anything is computed, for a study or a folder of no use."""
    if run.search == "optuna" and importlib.util.find_spec("optuna") is None:
        raise ValueError("--search optuna needs Optuna: pip install 'protray[optuna]'")
    base = base_of(job, run)
    for point in [run.study.paper, *run.study.grid(), *(run.points() or [])]:
        replaced(base, point)
    identity = run.identity() | job.identity(run)
    belongs(run.out, identity)
    return identity


def trial_resources(run: SweepRun, cluster: Cluster) -> Plan:
    """As many trials at a time as the cluster holds, unless the user says how many."""
    gpus = resources.gpus_each(run.gpus_per_trial, cluster.nodes)
    count = run.max_concurrent
    if count == "auto":
        most = resources.trials_at_once(run.cpus_per_trial, gpus, cluster.nodes)
        count = max(1, min(n_trials(run), most))
    stage = resources.Stage(
        name="trials", kind="trial", workers=count, cpus_per_worker=run.cpus_per_trial, gpus_per_worker=gpus
    )
    return make_plan([stage], cluster.nodes)


def run_all(
    job: Sweepable, run: SweepRun, identity: dict, shared: Any, plan: Plan, tracker: Tracker, parent: str
) -> dict[str, str]:
    """Run the trials that have no record, then the paper's point and the best with other seeds.

    Returns the MLflow runs of all trials that are done, by key.
    """
    from protray.cluster.tuning.trial_runs import TrialRuns
    from protray.cluster.tuning.tune import Tuning, Work, tune_optuna, tune_points

    base, stage = base_of(job, run), plan["trials"]
    deadline = None if run.budget_hours is None else time.monotonic() + 3600 * run.budget_hours
    work = Work(
        job=job, shared=shared, settings_of=functools.partial(settings_of, base),
        trial_of=functools.partial(trial_of, identity, run),
        folder=run.out / "trials", metric=run.study.metric, steps=shared.steps,
        threads=plan.threads("trials"), device="cuda" if stage.gpus_per_worker else "cpu",
    )  # fmt: skip
    tuning = Tuning(mode=run.study.mode, stage=stage, scheduler=run.scheduler, retries=run.retries, deadline=deadline)

    def params_of(trial: Trial) -> dict:
        return job.params(settings_of(base, trial), shared)

    points = run.points()
    total = n_trials(run) + n_repeats(run)
    runs = TrialRuns(tracker, parent, params_of, run.study.metric, shared.steps, total)
    try:
        with runs.progress:
            for record in records(run):
                runs.end(record, cached=True)
            if points is None:
                first = [record for record in records(run) if record.role != "repeat"]
                tune_optuna(work, tuning, run.study, first, run.samples, runs, run.seed)
            else:
                tune_points(work, tuning, missing(run, [work.trial_of(point) for point in points]), runs)
            if deadline is None or time.monotonic() < deadline:
                again = replace(tuning, scheduler="none")  # ended early, a seed would say nothing of the others
                tune_points(work, again, missing(run, repeats(identity, run)), runs)
    finally:
        runs.abandon()
    return {record.key: runs.runs[record.key] for record in records(run)}


def plan_sweep(job: Sweepable, run: SweepRun) -> dict:
    """Say what a sweep would do: its ``trials``, its ``plan``, what is ``done``, and about how many ``hours``."""
    identity = checked(job, run)
    cluster = start_ray()
    try:
        plan = trial_resources(run, cluster)
    finally:
        stop_ray(cluster)
    points, found = run.points(), records(run)
    names = [trial_of(identity, run, point).name for point in points or [run.study.paper]]
    if points is None:
        names += ["what Optuna makes up"] * (run.samples - 1)
    left = max(0, n_trials(run) + n_repeats(run) - len(found))
    if measured := [record.seconds for record in found if record.seconds]:
        seconds = statistics.fmean(measured)
        based_on = f"the {len(measured)} that are done took {seconds:.0f} s each"
    else:
        seconds = job.guess_seconds(run) / run.cpus_per_trial
        based_on = (
            f"a guess from the size of networks and data, {seconds:.0f} s a trial on one of our CPU cores; what the "
            "trials share comes first"
        )
    return {
        "trials": names, "plan": describe(plan), "count": n_trials(run),
        "done": sum(record.role != "repeat" for record in found), "repeats": n_repeats(run),
        "hours": left * seconds / plan["trials"].workers / 3600, "based_on": based_on,
    }  # fmt: skip
