"""The Ray Data expression that works items off: read -> one item a block -> a pool of actors -> parts.

Why parts are written by the actors, and Ray Data's own checkpoint is not used, stands in this room's README.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import ray.data
from ray.data.expressions import col
from ray.exceptions import ActorDiedError, ActorUnavailableError

from protray.cluster.batch.job import BatchJob
from protray.cluster.batch.worker import Worker
from protray.cluster.runtime.capacity import Node, cluster_nodes
from protray.cluster.runtime.resources import Plan, Stage, fitting
from protray.data.location import Location

log = logging.getLogger(__name__)

RETRIES = 2  # of an item whose process died, with a new one
LOST = 20  # items that may be lost in a pass for a reason of their own ...
LOST_SHARE = 0.01  # ... or this share of them; with more the machine, the model or the memory is at fault
LONGEST_STALL_S = 6 * 3600.0  # without any item done: one of a very large model takes a CPU hours


def work_off(
    job: BatchJob,
    run: Any,
    items: list[Location] | pa.Table,
    missing: Collection[str] | None,
    plan: Plan,
    number: int,
) -> Iterator[dict]:
    """Compute the items named in `missing`, or all, out of files; yields a row of ``worker.STATUS`` for each.

    Out of a table: items of one span each, which are tried alone.  Those whose process died `RETRIES` + 1 times have
    no row.  `number`: how many there are.

    Raises
    ------
    ChildProcessError
        If more processes died than single rows explain.
    """
    stage = plan[job.name]
    arguments = [
        job,
        run,
        run.work / "parts",
        isinstance(items, pa.Table),
        plan.threads(job.name),
        "cuda" if stage.gpus_per_worker else "cpu",
    ]
    with ray.data.DataContext.current(context_for(stage, number)):
        if isinstance(items, pa.Table):
            dataset = ray.data.from_arrow(items)
        else:
            dataset = ray.data.read_parquet([str(file) for file in items])
    if missing is not None:
        dataset = dataset.filter(expr=col("name").is_in(list(missing)))
    dataset = dataset.repartition(target_num_rows_per_block=1).map_batches(
        Worker,  # type: ignore[arg-type]
        fn_constructor_args=arguments,
        batch_size=None,
        batch_format="pyarrow",
        **stage.options,
        compute=ray.data.ActorPoolStrategy(
            min_size=ready(stage, cluster_nodes(joined=False), plan.nodes),
            max_size=stage.workers,
            max_tasks_in_flight_per_actor=1,  # others would share the fate of the first
        ),
        max_restarts=-1,
        max_task_retries=RETRIES,
    )
    try:
        batches: Any = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for batch in batches:
            yield from batch.to_pylist()
    except (ActorDiedError, ActorUnavailableError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ChildProcessError(f"more than {LOST} processes died; the last: {lines[-1][:300]}") from None


def context_for(stage: Stage, number: int) -> ray.data.DataContext:
    """How Ray Data runs a pass over so many items."""
    context = ray.data.DataContext.get_current().copy()
    # Ray 2.60's newer reader starts up to 32 actors to read the footers of files.  They ask for a CPU each, and heed no
    # labels, so an autoscaler adds nodes for them; a pass over one file took 2 to 6 s more.
    context.use_datasource_v2 = False
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0  # one more actor when all are busy
    context.execution_options.label_selector = stage.labels or None  # of its reading, too
    context.max_errored_blocks = max(LOST, int(LOST_SHARE * number))
    context.execution_no_progress_timeout_s = LONGEST_STALL_S
    return context


def ready(stage: Stage, up: Sequence[Node], nodes: Sequence[Node]) -> int:
    """Actors to begin with: those that fit on the nodes that are `up`, beside the CPU that reads; at least one.

    The pool grows with the cluster.  Were it of its full size at once, actors would take every CPU of the first nodes,
    and no item would be read until the last node is there.  Where GPUs leave a CPU free on each of the `nodes` there
    may be, it is: actors that wait for a GPU tell an autoscaler how many nodes are wanted.
    """
    own = [node for node in stage.nodes(nodes) if node.gpus]
    if stage.gpus_per_worker and all(
        node.gpus / stage.gpus_per_worker * stage.cpus_per_worker + 1 <= node.cpus for node in own
    ):
        return stage.workers
    return max(1, min(stage.workers, fitting(stage, up)))
