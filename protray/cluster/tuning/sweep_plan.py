"""What a sweep will do, before it does anything: trials, how many at a time, and about how long."""

import importlib.util
import statistics
from typing import Any

from protray.cluster.runtime import resources as plan
from protray.cluster.runtime.start import Cluster, start_ray, stop_ray
from protray.cluster.storage import remote
from protray.cluster.tuning.space import Point, point_name, replaced
from protray.cluster.tuning.sweep_run import SweepRun
from protray.cluster.tuning.trial import STATE, Trial, read_record
from protray.pipelines.secondary.distil_run import belongs, digest

BEST = 3  # trials that are repeated with other seeds, beside the paper's point


def job_module(job: str) -> Any:
    """What a trial of this job trains."""
    if job == "distil":
        from protray.pipelines.secondary import sweep_distil

        return sweep_distil
    from protray.pipelines.structure import sweep_score

    return sweep_score


def check_study(run: SweepRun, job: Any) -> None:
    """Raise ValueError, before anything is computed, for a setting that the job lacks, or if Optuna is missing."""
    if run.search == "optuna" and importlib.util.find_spec("optuna") is None:
        raise ValueError("--search optuna needs Optuna: pip install 'protray[optuna]'")
    base = job.base(run)
    for point in [run.study.paper, *run.study.grid(), *(run.points() or [])]:
        replaced(base, point)


def trial_of(fixed: str, paper: Point, seed: int, point: Point) -> Trial:
    """The trial of a point with the sweep's own seed; `fixed` is the digest of all that is the same for all trials."""
    role = "paper" if point == paper else "trial"
    name = point_name(point)
    return Trial(
        key=digest([fixed, point, seed]), point=point, seed=seed, role=role,
        name=f"paper: {name}" if role == "paper" else name,
    )  # fmt: skip


def make_plan(run: SweepRun, cluster: Cluster) -> plan.Plan:
    """As many trials at a time as the cluster holds, unless the user says how many."""
    gpus = plan.gpus_each(run.gpus_per_trial, cluster.nodes)
    count = run.max_concurrent
    if count == "auto":
        most = plan.trials_at_once(run.cpus_per_trial, gpus, cluster.nodes)
        count = max(1, min(_count(run), most))
    stage = plan.Stage(
        name="trials", kind="trial", workers=count, cpus_per_worker=run.cpus_per_trial, gpus_per_worker=gpus
    )
    return plan.make_plan([stage], cluster.nodes)


@remote.kept("data", skip=STATE)
def dry_run(run: SweepRun) -> dict:
    """Say what a sweep would do: its ``trials``, its ``plan``, what is ``done``, and about how many ``hours``."""
    job = job_module(run.study.job)
    check_study(run, job)
    belongs(run)
    cluster = start_ray()
    try:
        job_plan = make_plan(run, cluster)
    finally:
        stop_ray(cluster)
    points = run.points()
    trials = [trial_of(run.trial_keys(), run.study.paper, run.seed, point) for point in points or [run.study.paper]]
    names = [trial.name for trial in trials]
    if points is None:
        names += ["what Optuna makes up"] * (run.samples - 1)
    found = [record for folder in (run.out / "trials").glob("*") if (record := read_record(folder))]
    repeats = run.repeats * (1 + min(BEST, _count(run) - 1))
    left = max(0, _count(run) + repeats - len(found))
    seconds, based_on = _seconds_per_trial(run, job, [record.seconds for record in found if record.seconds])
    return {
        "trials": names,
        "plan": plan.describe(job_plan),
        "count": _count(run),
        "done": sum(record.role != "repeat" for record in found),
        "repeats": repeats,
        "hours": left * seconds / job_plan["trials"].workers / 3600,
        "based_on": based_on,
    }


def _seconds_per_trial(run: SweepRun, job: Any, measured: list[float]) -> tuple[float, str]:
    if measured:
        mean = statistics.fmean(measured)
        return mean, f"the {len(measured)} that are done took {mean:.0f} s each"
    seconds = job.guess_seconds(run) / run.cpus_per_trial
    return seconds, (
        f"a guess from the size of networks and data, {seconds:.0f} s a trial on one of our CPU cores; what the trials "
        "share comes first"
    )


def _count(run: SweepRun) -> int:
    points = run.points()
    return run.samples if points is None else len(points)
