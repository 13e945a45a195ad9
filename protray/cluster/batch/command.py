"""The command of a job on Ray Data: its plan, or its run and what became of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from protray.cluster.batch.job import BatchJob
from protray.cluster.runtime.command import run_command


def batch_command(
    job: BatchJob | Callable[[Any], BatchJob], settings: type, description: str | None, argv: list[str] | None = None
) -> int:
    """Run `job`, or the one that it picks by the settings, from the command line; returns the exit status."""
    return run_command(settings, partial(_work, job), description, argv)


def _work(job: BatchJob | Callable[[Any], BatchJob], run: Any) -> None:
    job = job if isinstance(job, BatchJob) else job(run)
    if run.plan:
        from protray.cluster.batch.measure import estimate
        from protray.cluster.health.plan_table import print_estimate

        print_estimate(run.out, estimate(job, run))
        return
    from protray.cluster.batch.driver import run_batch

    show(job, run, run_batch(job, run))


def show(job: BatchJob, run: Any, summary: dict) -> None:
    """Print what became of the input."""
    if summary["cached"]:
        print(f"{run.out} is complete and was made with the same inputs and settings: nothing to do")
    n_left_out = summary.get("n_left_out", 0)  # by choice, such as chains of files that are done
    told = f"{summary.get('n_done', summary['n_rows'])} done, {summary['n_rejected'] - n_left_out} rejected"
    print(f"{job.unit:<10} {told}" + (f", {n_left_out} left out" if n_left_out else ""))
    for reason, count in summary["reasons"].items():
        print(f"           {count} x {reason}")
    if summary["n_again"]:
        print(f"           {summary['n_again']} of these are not to blame: the same command tries them again")
    for name, value in job.shown(run, summary).items() if job.shown else ():
        print(f"{name:<10} {value}")
    print(f"time       {summary['seconds']:.0f} s")
    print(f"written    {run.result(job.table)}")
    if summary["n_rejected"]:
        print(f"rejected   {run.rejected}")
