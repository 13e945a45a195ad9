"""From the parts of a batch job to its finished files, its list of rejects and its summary."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.folder import let_go, refuse
from protray.cluster.batch.job import BatchJob
from protray.cluster.batch.results import Part, groups_of, names_in, parts_in, write_group
from protray.cluster.runtime.progress import Progress
from protray.cluster.runtime.resources import Plan
from protray.cluster.storage.rejects import group_reasons, reason_lines, rejected_table
from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import WRITING, read_parquet
from protray.seq.errors import InputError


def finish(job: BatchJob, run: Any, identity: dict, found: dict, n_again: int, plan: Plan) -> dict:
    """Write finished files, rejects and summary; clear up unless something is to be tried again.

    Parameters
    ----------
    found : dict
        What was in the input, as `items.stage` counts it.
    n_again : int
        Spans that are given up for now.

    Raises
    ------
    ValueError
        If more of the input is unusable than ``run.max_rejected``, or all of it.
    """
    parts = parts_in(run.work)
    settled, by_choice, facts = _settle(job, run, parts)
    written = _write_groups(job, run, groups_of(parts), settled, plan)
    errors = [InputError(**error) for one in written for error in one["rejected"]]
    by_choice += [InputError(**error) for one in written for error in one["left_out"]]
    unusable = _each_once(pa.concat_tables([read_parquet(run.work / "unusable.parquet"), rejected_table(errors)]))
    table = pa.concat_tables([unusable, rejected_table(by_choice)])
    with run.rejected.writing() as partial:
        pq.write_table(table, partial, **WRITING)
    counts = sum((Counter(one["counts"]) for one in written), Counter[str]())
    n_rows = sum(one["rows"] for one in written)
    # where a row of the input is a file, there is any number of rows in what is made: such jobs count their files
    of_files = job.unit in counts
    n_done = found["rows"] + found["unusable"] - unusable.num_rows if of_files else n_rows
    total = n_done + (unusable if of_files else table).num_rows
    if not n_rows:
        let_go(run, job.table)
        raise _unusable(job, run, unusable, total, table, "and nothing is left")
    if unusable.num_rows > run.max_rejected * total:
        refuse(run, identity)
        more = f"more than --max-rejected {run.max_rejected:g}: correct them, or allow more"
        raise _unusable(job, run, unusable, total, unusable, more)
    summary = {
        "identity": identity, "n_rows": n_rows, "n_done": n_done, "n_rejected": table.num_rows,
        "n_left_out": len(by_choice), "n_again": n_again,
        "reasons": group_reasons(table["reason"].to_pylist()), "counts": dict(counts),
        "schema_version": schemas.VERSION,
        **({"digest": f"{sum(one['digest'] for one in written) % 2**128:032x}"} if settled else {}), **facts,
    }  # fmt: skip
    if job.conclude:
        summary |= job.conclude(run, [file_of(job, run, k) for k in range(len(written))], summary)
    run.summary.write_json(summary)
    if not n_again:
        run.work.remove()
    return summary


def file_of(job: BatchJob, run: Any, number: int) -> Location:
    """A finished file."""
    return run.folder(job.table) / f"part-{number:05d}.parquet"


def _settle(job: BatchJob, run: Any, parts: list[Part]) -> tuple[Location | None, list[InputError], dict]:
    """What all rows together decide: columns to add, in a file, what is left out by choice, and facts."""
    if not job.settle or all(part.kind == "lost" for part in parts):
        return None, [], {}
    settlement, file = job.settle(run, names_in(parts, job.names)), run.work / "settled.parquet"
    with file.writing() as partial:
        pq.write_table(settlement.columns, partial)
    return file, list(settlement.rejected), settlement.facts


def _write_groups(
    job: BatchJob, run: Any, groups: list[list[Part]], settled: Location | None, plan: Plan
) -> list[dict]:
    """Write the finished files, one task each; files of an earlier attempt go."""
    import ray

    run.folder(job.table).remove()
    write = ray.remote(num_cpus=1, label_selector=plan[job.name].labels)(write_group)
    tasks = [write.remote(job, run, parts, settled, file_of(job, run, number)) for number, parts in enumerate(groups)]
    with Progress("writing") as progress:
        for done in range(1, len(tasks) + 1):
            ray.wait(tasks, num_returns=done)
            progress(done, len(tasks))
    return ray.get(tasks)


def _each_once(rejected: pa.Table) -> pa.Table:
    """A protein of which several spans are lost is named once; in the order of files and lines."""
    rows = {tuple(row.values()): row for row in rejected.to_pylist()}
    table = pa.Table.from_pylist(list(rows.values()), schema=schemas.REJECTED)
    return table.sort_by([("file", "ascending"), ("line", "ascending")])


def _unusable(job: BatchJob, run: Any, unusable: pa.Table, total: int, told: pa.Table, more: str) -> ValueError:
    """How much of the input is unusable, where all of it is listed, the first, and the reasons of what is `told`."""
    share = f"{unusable.num_rows} of {total} {job.unit} in the input cannot be used"
    first = "".join(f", where the first is {InputError(**row)}" for row in told.slice(0, 1).to_pylist())
    reasons = reason_lines(group_reasons(told["reason"].to_pylist()))
    return ValueError(f"{share}, {more}; see {run.rejected}{first}{reasons}")
