"""A batch job inside of a training, which makes what its networks are trained on.

``OUT/TABLE/part-*.parquet``  the finished rows
``OUT/rejected.parquet``      what could not be used, if there is anything
``OUT/cache/TABLE``           the job's own records
"""

from dataclasses import dataclass

from protray.cluster.batch.job import BatchJob, BatchSettings
from protray.cluster.storage.rejects import check_rejected
from protray.data.location import Location


@dataclass(frozen=True, kw_only=True)
class InsideSettings(BatchSettings):
    """`out` is ``OUT/cache/TABLE`` of the training."""

    max_rejected: float = 1.0  # `run_inside` tells of rejects, and names no option

    def folder(self, table: str) -> Location:
        return self.out.parent.parent / table


def run_inside(job: BatchJob, run: InsideSettings, what: str) -> list[Location]:
    """Make what is missing, and anew what was made of an input that was then refused; returns the tables.

    Raises ValueError if more than a tenth of `what` is counted in them cannot be used.
    """
    from protray.cluster.batch.driver import run_batch
    from protray.cluster.batch.folder import is_stale

    if is_stale(run, job.identity(run)):
        run.start_over(job.table)
    summary, out = run_batch(job, run), run.out.parent.parent
    (out / "rejected.parquet").remove()
    if summary["n_rejected"]:
        (out / "rejected.parquet").write_bytes(run.rejected.read_bytes())
        check_rejected(out, what, summary["n_rows"])
    return run.folder(job.table).files("*.parquet")
