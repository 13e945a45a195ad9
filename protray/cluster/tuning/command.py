"""The command of a sweep: its plan, or its run and what came out."""

from collections.abc import Mapping
from functools import partial

from protray.cluster.runtime.command import run_command
from protray.cluster.tuning.job import Sweepable
from protray.cluster.tuning.settings import SweepRun


def sweep_command(jobs: Mapping[str, str], description: str | None, argv: list[str] | None = None) -> int:
    """Run a sweep of one of `jobs` (name in a study -> module that has its `SWEEP`); returns the exit status."""
    return run_command(SweepRun, partial(_work, jobs), description, argv)


def sweepable(jobs: Mapping[str, str], name: str) -> Sweepable:
    """What a trial of the job `name` trains; ValueError if there is none of that name."""
    import importlib

    if name not in jobs:
        raise ValueError(f"the study's JOB is {name!r}; it must be one of {', '.join(jobs)}")
    return importlib.import_module(jobs[name]).SWEEP


def _work(jobs: Mapping[str, str], run: SweepRun) -> None:
    from protray.cluster.tuning.summary import print_plan, print_sweep
    from protray.cluster.tuning.sweep import plan_sweep, run_sweep

    job = sweepable(jobs, run.study.job)
    if run.plan:
        print_plan(run, plan_sweep(job, run))
    else:
        print_sweep(run, run_sweep(job, run))
