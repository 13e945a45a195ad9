"""What runs in an actor: one work item at a time, from its spans to its part file.

A part appears under its name when it is whole.  Its name is that of the item, so an item that is computed twice (its
actor died after the work) is there once.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.items import spans_in
from protray.cluster.batch.job import BatchJob, Done, Span, placed
from protray.cluster.runtime.logs import setup_worker_logging
from protray.cluster.storage.rejects import rejected_row
from protray.data.location import Location
from protray.data.parquet import writing

log = logging.getLogger(__name__)

FACTS = b"protray_facts"  # metadata of a part: rejects, spans to try again, counts
NO_ROWS = placed(pa.schema([])).empty_table()
PAUSES_S = (1.0, 5.0)  # before an OSError is tried again: a disk or an object store may come back
STATUS = pa.schema(
    [("name", pa.string()), ("cost", pa.float64()), ("failed", pa.string()), ("refused", pa.string()),
     ("fatal", pa.string())]
)  # fmt: skip


class Worker:
    """Opens what the job needs once, then turns items into parts; gives one row of ``STATUS`` for each.

    ``failed``: the span of an item that was tried `alone` cannot be done; ``refused``: the settings are unusable;
    ``fatal``: so is the machine, its disk or its network.
    """

    def __init__(self, job: BatchJob, run: Any, parts: Location, alone: bool, threads: int, device: str) -> None:
        self.job, self.run, self.parts, self.alone = job, run, parts, alone
        self.device, self.broken = device, False
        self.opened: tuple[Any] | None = None
        self.hopeless: dict[str, str] = {}
        setup_worker_logging()
        try:
            self.opened = (_patient(open_job, job, run, threads, device),)
        except ValueError as error:
            self.hopeless = {"refused": str(error)}
        except Exception as error:  # an error here would have Ray start this actor again, for ever
            named = isinstance(error, OSError) and error.filename
            log.warning("nothing can be opened: %s: %s", type(error).__name__, error, exc_info=not named)
            self.hopeless = {"fatal": _sentence(error)}

    def __call__(self, batch: pa.Table) -> pa.Table:
        if self.broken:
            os._exit(1)
        status: dict[str, Any] = dict.fromkeys(STATUS.names)
        status |= {name: batch[name][0].as_py() for name in ("name", "cost")}
        if self.opened is None:
            return pa.Table.from_pylist([status | self.hopeless], schema=STATUS)
        try:
            status["failed"] = self.make_part(self.opened[0], status["name"], spans_in(batch))
        except OSError as error:
            status["fatal"] = _sentence(error)
        return pa.Table.from_pylist([status], schema=STATUS)

    def make_part(self, opened: Any, name: str, spans: list[Span]) -> str | None:
        """Write a part; gives the reason where the one span of an item cannot be done."""
        try:
            done = _patient(self.job.work, opened, spans)
        except OSError:
            raise
        except Exception as error:  # a fault of ours, or a row that breaks a library
            reason = f"unexpected {type(error).__name__}: {error}"
            log.warning("%s: %s", name, reason, exc_info=self.alone)
            self.broken = self.device != "cpu"  # after an error on a GPU nothing may work in this process any more
            if self.alone:
                return reason
            done = Done(NO_ROWS, again=[(span, reason) for span in spans])
            if not self.broken:
                done = _each(self.job, opened, spans)
        if self.alone and done.again:
            return done.again[0][1]
        kind = "alone" if self.alone else "partly" if done.again else "item"
        _patient(write_part, done, self.parts / f"{kind}-{name}.parquet")
        return None


def open_job(job: BatchJob, run: Any, threads: int, device: str) -> Any:
    """What ``job.work`` needs, in this process."""
    if "OMP_NUM_THREADS" in os.environ:  # Ray has set it for libraries that read it when they are imported
        os.environ["OMP_NUM_THREADS"] = str(threads)
    opened = job.open(run, device)
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    return opened


def _patient(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function, again after an OSError."""
    for pause_s in PAUSES_S:
        try:
            return function(*args)
        except OSError as error:
            log.warning("tried again in %g s: %s", pause_s, error)
            time.sleep(pause_s)
    return function(*args)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or ''} {error.strerror or error}".strip()
    return f"unexpected {type(error).__name__}: {error}"


def _each(job: BatchJob, opened: Any, spans: Sequence[Span]) -> Done:
    """One call of ``job.work`` for each span; those that break it are to be tried again."""
    whole = Done(NO_ROWS)
    for span in spans:
        try:
            done = _patient(job.work, opened, [span])
        except OSError:
            raise
        except Exception as error:
            whole.again.append((span, f"unexpected {type(error).__name__}: {error}"))
            continue
        whole.rows = pa.concat_tables([whole.rows, done.rows]) if len(whole.rows) else done.rows
        whole.rejected += done.rejected
        whole.again += done.again
        whole.counts += done.counts
    return whole


def write_part(done: Done, path: Location) -> None:
    """Write rows, and in the metadata what became of the others."""
    facts = {
        "rejected": [rejected_row(error) for error in done.rejected],
        "left_out": [rejected_row(error) for error in done.left_out],
        "again": [[asdict(span), reason] for span, reason in done.again],
        "counts": done.counts,
    }
    metadata = (done.rows.schema.metadata or {}) | {FACTS: json.dumps(facts).encode()}
    schema = done.rows.schema.with_metadata(metadata)
    with path.writing() as partial, pq.ParquetWriter(partial, schema, **writing(schema)) as writer:
        for batch in done.rows.to_batches():
            writer.write_batch(batch.cast(schema))
