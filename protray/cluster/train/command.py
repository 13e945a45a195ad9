"""The command of a job on Ray Train: its plan, or its run and what came out."""

from functools import partial
from typing import Any

from protray.cluster.runtime.command import run_command
from protray.cluster.train.job import TrainingJob


def training_command(job: TrainingJob, settings: type, description: str | None, argv: list[str] | None = None) -> int:
    """Run `job` from the command line; returns the exit status."""
    return run_command(settings, partial(_work, job), description, argv)


def _work(job: TrainingJob, run: Any) -> None:
    if run.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.cluster.train.measure import estimate

        print_estimate(run.out, estimate(job, run))
        return
    from protray.cluster.train.driver import run_training

    job.show(run, run_training(job, run))
