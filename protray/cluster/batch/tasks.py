"""Many independent pieces of work with Ray Data, one piece a task."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from protray.cluster.runtime.start import setup_worker_logging

LONGEST_STALL_S = 24 * 3600  # between two pieces: one may be a packed file of 10^8 sequences


def run_tasks(
    task: Callable[..., Any], pieces: Sequence[Any], *, at_once: int | None = None, **shared: object
) -> Iterator[tuple[int, Any]]:
    """Call `task(piece, **shared)` for every piece; yields (number of the piece, result) as they finish.

    Pieces and results are what JSON can hold.  At most `at_once` tasks run together; default: one for each free CPU.

    Raises
    ------
    ValueError, OSError
        What a task raised, in its words; Ray Data would hide them in a traceback of its own.
    """
    if not pieces:
        return
    import ray.data

    texts = pa.array(map(json.dumps, pieces), pa.large_string())
    table = pa.table({"number": pa.array(range(len(pieces)), pa.int64()), "json": texts})
    dataset = (
        ray.data.from_arrow(table)
        .repartition(target_num_rows_per_block=1)  # Ray keeps small tables in one block, that is one task
        .map_batches(
            _run_one,  # type: ignore[arg-type]
            batch_size=1,
            batch_format="pyarrow",
            fn_kwargs={"task": task, "shared": shared},
            compute=ray.data.TaskPoolStrategy(size=min(at_once, len(pieces)) if at_once else None),
        )
    )
    dataset.context.execution_no_progress_timeout_s = LONGEST_STALL_S
    batches: Any = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    for batch in batches:
        for number, outcome in zip(
            batch["number"].to_pylist(), map(json.loads, batch["json"].to_pylist()), strict=True
        ):
            if "error" in outcome:
                raise (OSError if outcome["system"] else ValueError)(outcome["error"])
            yield number, outcome["result"]


def _run_one(batch: pa.Table, task: Callable[..., Any], shared: dict) -> pa.Table:
    setup_worker_logging()
    try:
        outcome = {"result": task(json.loads(batch["json"][0].as_py()), **shared)}
    except (ValueError, OSError) as error:
        outcome = {"error": str(error), "system": isinstance(error, OSError)}
    return pa.table({"number": batch["number"], "json": pa.array([json.dumps(outcome)], pa.large_string())})
