"""How fast an actor works: a job's own `work`, timed for some seconds; and the plan of a job that follows from it."""

import itertools
import logging
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from protray.cluster.batch.folder import checked, finished, is_stale, pool
from protray.cluster.batch.items import costs_of_items
from protray.cluster.batch.job import Amount, BatchJob, Row, Span, no_input
from protray.cluster.batch.results import parts_in, without_part
from protray.cluster.batch.worker import open_job
from protray.cluster.health.estimate import Estimate, Line, Process, Timed, Trials, mean_rate, seconds_for, timed
from protray.cluster.runtime.resources import Plan
from protray.data.location import Location
from protray.seq.errors import InputError

log = logging.getLogger(__name__)

SOME = 512  # rows, of which a trial takes as many as there is time for
CALL_S = 0.4  # of a call that is timed
LEAVES_OUT = "starting Ray and its processes (about 10 s on a free machine), writing the finished files"


def measured_rate(job: BatchJob, run: Any, plan: Plan) -> float | None:
    """Work that one actor does in a second, in what `job.cost` counts; None if nothing was done in time."""
    with Trials(run.work) as trials:
        return _rate(trials, job, run, plan)


def estimate(job: BatchJob, run: Any) -> Estimate:
    """What is missing in ``run.out`` and about how long it takes; writes nothing.

    Raises
    ------
    ValueError
        As the job itself does.
    """
    identity = checked(job, run)
    if finished(job, run, identity):
        return Estimate()
    amount = amount_of(job, run)
    if not amount.rows:
        raise no_input(job, run)
    with Trials(run.work) as trials:
        line = line_of(job, run, amount, trials, 0.0 if is_stale(run, identity) else share_done(run))
        return trials.estimate([line], LEAVES_OUT + (f"; {amount.note}" if amount.note else ""))


def line_of(job: BatchJob, run: Any, amount: Amount, trials: Trials, done: float) -> Line:
    """The line of a job's plan, of which the share `done` is there; also for a job that is a part of another."""
    plan = pool(job, run, trials.cluster, amount.cost * (1 - done))
    stage = plan[job.name]
    rate = _rate(trials, job, run, plan) if done < 1 else None
    return Line(
        name=job.name, unit=job.unit, rows=amount.rows, done=done * amount.rows, about=not amount.exact, stage=stage,
        seconds=seconds_for(amount.cost * (1 - done), rate, stage.workers),
    )  # fmt: skip


def amount_of(job: BatchJob, run: Any) -> Amount:
    """How many rows there are, and what they cost: as the job says, or all of them counted."""
    if job.amount:
        return job.amount(run)
    costs = [job.cost(run, row) for row in job.rows(run) if not isinstance(row, InputError)]
    return Amount(len(costs), sum(costs))


def share_done(run: Any) -> float:
    """Of the work that is cut into items already."""
    if not (run.work / "input.json").is_file():
        return 0.0
    cost = costs_of_items(run.work)
    left = sum(cost[name] for name in without_part(cost, parts_in(run.work)))
    total = sum(cost.values())
    return 1 - left / total if total else 1.0


def _rate(trials: Trials, job: BatchJob, run: Any, plan: Plan) -> float | None:
    if not job.timed:
        return 1.0
    usable = (row for row in job.rows(run) if not isinstance(row, InputError))
    rows = list(itertools.islice(usable, SOME))
    random.Random(0).shuffle(rows)
    return mean_rate(trials.run(plan[job.name], plan.threads(job.name), time_work, job, run, rows))


def time_work(process: Process, job: BatchJob, run: Any, rows: list[Row]) -> Timed:
    """Spans of rows that are worked on, in calls of about `CALL_S`; of a long row the first span."""

    def calls(opened: Any) -> Iterator[float]:
        first = process.rank % len(rows)
        spans, cost, budget = [], 0.0, 0.0
        for row in itertools.cycle(rows[first:] + rows[:first]):
            own = job.cost(run, row)
            bounds = job.cut(run, row, max(budget, own / 64)) if job.cut else [(0, 0)]
            spans.append(Span(0, row, *bounds[0]))
            cost += own / len(bounds)
            if cost >= budget:
                begun = time.monotonic()
                try:
                    job.work(opened, spans)
                except OSError:
                    raise
                except Exception as error:  # of a row: the job tries its rows one by one
                    log.warning("unexpected %s while a rate was measured: %s", type(error).__name__, error)
                    return
                budget = min(cost / max(time.monotonic() - begun, 1e-6) * CALL_S, 8 * max(budget, cost))
                yield cost
                spans, cost = [], 0.0

    with tempfile.TemporaryDirectory() as folder:  # for what `work` writes beside its rows
        elsewhere = replace(run, out=Location(folder) / run.out.name)
        return timed(calls(open_job(job, elsewhere, process.threads, process.device)), process.seconds)
