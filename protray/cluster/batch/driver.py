"""Run a `BatchJob`: the one way from an input to a finished table, for every job on Ray Data.

``OUT/work``              items and parts; removed at the end (`batch.items`, `batch.results`)
``OUT/TABLE/*.parquet``   the finished rows, in the order of the input
``OUT/rejected.parquet``  what could not be used: id, file, line, reason
``OUT/summary.json``      what the folder was made from, and counts; written last

A killed run loses the items in flight.  Of an item whose process died three times every span is tried alone, and so is
a span that raised something unexpected; what fails alone, too, is given up, and the next run tries it again.
"""

import itertools
import logging
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from protray.cluster.batch.finish import finish
from protray.cluster.batch.folder import checked, finished, let_go, pool, recorded
from protray.cluster.batch.items import Item, costs_of_items, spans_in, stage, table_of
from protray.cluster.batch.job import BatchJob, Done, Span, no_input
from protray.cluster.batch.measure import amount_of, measured_rate
from protray.cluster.batch.results import (
    Part,
    parts_in,
    to_try_alone,
    without_part,
)
from protray.cluster.batch.worker import NO_ROWS, write_part
from protray.cluster.health.doctor import check_shared
from protray.cluster.runtime.progress import Progress
from protray.cluster.runtime.resources import Plan, describe
from protray.cluster.runtime.start import Cluster, start_ray, stop_ray
from protray.cluster.storage.identity import difference
from protray.data.location import Location
from protray.data.parquet import read_batches, read_parquet

log = logging.getLogger(__name__)

ITEM_S = 15.0  # of one actor: what a crash loses, and some hundred times what an item costs the driver
ITEMS_PER_ACTOR = 8  # at least, so that none waits long for the last one ...
MOST_ITEMS_PER_ACTOR = 1000  # ... and of a job of days no more: every item is a file, and a name in the driver's memory
DIED = "its process died three times (out of memory, or a crash in a library)"


def run_batch(job: BatchJob, run: Any) -> dict:
    """Do what is missing in ``run.out`` and return the content of ``summary.json``.

    Raises
    ------
    ValueError
        When nothing can be done (settings, input or folder are unusable), or when more of the input is rejected than
        ``run.max_rejected``.
    OSError
        When a disk or an object store failed three times.
    """
    started = time.monotonic()
    identity = checked(job, run)
    if summary := finished(job, run, identity):
        return summary | {"cached": True, "seconds": time.monotonic() - started}
    _, before = recorded(run)
    if before is None:
        run.work.remove()  # parts of which no record says what they were made from
    elif difference(before, identity):
        log.info("%s have changed since: %s is brought up to date", " and ".join(job.grows) or "inputs", run.out)
        run.start_over(job.table)
        (run.work / "run.json").write_json(identity)  # what stays belongs to it, whatever comes now
    cluster = start_ray()
    try:
        check_shared(cluster, run.work)
        (run.work / "run.json").write_json(identity)
        summary = _compute(job, run, identity, cluster)
    except ValueError:
        if not parts_in(run.work):
            let_go(run, job.table)  # nothing is done yet: a corrected input may come
        raise
    finally:
        stop_ray(cluster)
    return summary | {"cached": False, "seconds": time.monotonic() - started}


def _compute(job: BatchJob, run: Any, identity: dict, cluster: Cluster) -> dict:
    found = _staged(job, run, cluster)
    plan = pool(job, run, cluster, found["cost"])
    log.info("%s", describe(plan))
    for part in parts_in(run.work):
        if part.kind == "lost":  # what was given up is tried again
            part.file.remove()
    before = len(parts_in(run.work))
    with Progress(job.name) as progress:
        _work_off_items(job, run, found, plan, progress)
        n_again = _work_off_alone(job, run, plan)
    if before:
        log.info("%d items were done already, in %s", before, run.work)
    return finish(job, run, identity, found, n_again, plan)


def _staged(job: BatchJob, run: Any, cluster: Cluster) -> dict:
    """Cut the input into items, by the rate of this cluster's own actors, unless an earlier run has done it."""
    record = run.work / "input.json"
    if record.is_file():
        return record.read_json()
    (run.work / "parts").remove()
    cost = amount_of(job, run).cost
    plan = pool(job, run, cluster, cost)
    each = cost / plan[job.name].workers
    rate = 1.0
    if each > ITEM_S * ITEMS_PER_ACTOR:  # a large job: the items of a GPU hold a thousand times those of a core
        rate = measured_rate(job, run, plan) or 1.0
    found = stage(job, run, item_cost(each, rate))
    if not found["rows"] and not found["unusable"]:
        raise no_input(job, run)
    return found


def item_cost(each: float, rate: float) -> float:
    """Of an item, where an actor has work of `each`, and does `rate` in a second (1 unless the job is large)."""
    return min(each / ITEMS_PER_ACTOR, max(ITEM_S * rate, each / MOST_ITEMS_PER_ACTOR))


def _work_off_items(job: BatchJob, run: Any, found: dict, plan: Plan, progress: Progress) -> None:
    """Compute all items without a part."""
    from protray.cluster.batch.passes import work_off

    cost = costs_of_items(run.work)
    missing = without_part(cost, parts_in(run.work))
    done = found["cost"] - sum(cost[name] for name in missing)
    progress(done, found["cost"])
    if missing:
        some = missing if len(missing) < len(cost) else None
        for status in work_off(job, run, (run.work / "items").files("*.parquet"), some, plan, len(missing)):
            _raise_if_hopeless(status)
            done += status["cost"]
            progress(done, found["cost"])


def _work_off_alone(job: BatchJob, run: Any, plan: Plan) -> int:
    """Try each span alone of items that have no part, or that could not do it; returns how many are given up."""
    from protray.cluster.batch.passes import work_off

    parts = parts_in(run.work)
    tried = {part.name for part in parts if part.kind == "alone"}
    candidates = itertools.chain(to_try_alone(parts), _spans_of_lost_items(run.work, parts))
    left = {span.name: span for span in candidates if span.name not in tried}
    if not left:
        return 0
    log.warning("%d %s are tried again, alone", len(left), job.unit)
    items = table_of((Item((span,), job.cost(run, span.row)) for span in left.values()), job.source)
    reasons = dict.fromkeys(left, DIED)
    for status in work_off(job, run, items, None, plan, len(left)):
        _raise_if_hopeless(status)
        if status["failed"]:
            reasons[status["name"]] = status["failed"]
    done = {part.name for part in parts_in(run.work) if part.kind == "alone"}
    for name, span in left.items():
        if name not in done:
            log.warning("%s is given up: %s", span.row.get("id") or span.row.get("file"), reasons[name])
            write_part(Done(NO_ROWS, again=[(span, reasons[name])]), run.work / "parts" / f"lost-{name}.parquet")
    return len(left.keys() - done)


def _spans_of_lost_items(work: Location, parts: list[Part]) -> Iterator[Span]:
    """Spans of the items that have no part."""
    there = {part.name for part in parts if part.of_item}
    for file in (work / "items").files("*.parquet"):
        if there.issuperset(read_parquet(file, ["name"])["name"].to_pylist()):
            continue
        for batch in read_batches(file, ["name", "spans"], 64):
            table = pa.Table.from_batches([batch])
            for row, name in enumerate(table["name"].to_pylist()):
                if name not in there:
                    yield from spans_in(table, row)


def _raise_if_hopeless(status: dict) -> None:
    if status["refused"]:
        raise ValueError(status["refused"])
    if status["fatal"]:
        raise OSError(f"{status['fatal']}; what is done is kept, and the same command goes on with it")
