"""What runs in an actor: one work item at a time, from its pieces to its part file.

A part appears under its name when it is whole.  Its name is that of the item, so an item that is computed twice (its
actor died after the work) is there once.
"""

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.items import pieces_in
from protray.cluster.batch.job import BatchJob, Done, Piece
from protray.cluster.runtime.logs import setup_worker_logging
from protray.data.location import Location
from protray.data.parquet import WRITING
from protray.seq.msa import InputError

log = logging.getLogger(__name__)

FACTS = b"protray_facts"  # metadata of a part: rejects, pieces to try again, counts
PAUSES_S = (1.0, 5.0)  # before an OSError is tried again: a disk or an object store may come back
STATUS = pa.schema([("name", pa.string()), ("cost", pa.float64()), ("failed", pa.string()), ("fatal", pa.string())])


class Worker:
    """Opens what the job needs once, then turns items into parts; gives one row of ``STATUS`` for each."""

    def __init__(self, job: BatchJob, run: Any, parts: Location, prefix: str, threads: int, device: str) -> None:
        self.job, self.run, self.parts, self.prefix = job, run, parts, prefix
        self.threads, self.device, self.opened = threads, device, None

    def __call__(self, batch: pa.Table) -> pa.Table:
        status = {"name": batch["name"][0].as_py(), "cost": batch["cost"][0].as_py(), "failed": None, "fatal": None}
        try:
            if self.opened is None:
                setup_worker_logging()
                self.opened = (open_job(self.job, self.run, self.threads, self.device),)
        except (ValueError, OSError) as error:
            return pa.Table.from_pylist([status | {"fatal": str(error)}], schema=STATUS)
        try:
            done = _patient(self.job, self.opened[0], pieces_in(batch))
            write_part(done, self.parts / f"{self.prefix}-{status['name']}.parquet")
        except OSError as error:
            status["fatal"] = f"{error.filename or ''} {error.strerror or error}".strip()
        except Exception as error:  # a fault of ours, or a row that breaks a library: its pieces are tried alone
            alone = self.prefix == "alone"
            log.warning("%s: unexpected %s: %s", status["name"], type(error).__name__, error, exc_info=alone)
            if self.device != "cpu":
                os._exit(1)  # after an error on a GPU nothing works in this process any more
            status["failed"] = f"unexpected {type(error).__name__}: {error}"
        return pa.Table.from_pylist([status], schema=STATUS)


def open_job(job: BatchJob, run: Any, threads: int, device: str) -> Any:
    """What ``job.work`` needs, in this process."""
    if "OMP_NUM_THREADS" in os.environ:  # Ray has set it for libraries that read it when they are imported
        os.environ["OMP_NUM_THREADS"] = str(threads)
    opened = job.open(run, device)
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    return opened


def _patient(job: BatchJob, opened: Any, pieces: Sequence[Piece]) -> Done:
    """``job.work``, again after an OSError."""
    for pause_s in PAUSES_S:
        try:
            return job.work(opened, list(pieces))
        except OSError as error:
            log.warning("tried again in %g s: %s", pause_s, error)
            time.sleep(pause_s)
    return job.work(opened, list(pieces))


def write_part(done: Done, path: Location) -> None:
    """Write rows, and in the metadata what became of the others."""
    facts = {
        "rejected": [asdict_error(error) for error in done.rejected],
        "left_out": [asdict_error(error) for error in done.left_out],
        "again": [[asdict(piece), reason] for piece, reason in done.again],
        "counts": done.counts,
    }
    metadata = (done.rows.schema.metadata or {}) | {FACTS: json.dumps(facts).encode()}
    with path.writing() as partial:
        pq.write_table(done.rows.replace_schema_metadata(metadata), partial, **WRITING)


def asdict_error(error: InputError) -> dict:
    return {"file": error.file, "line": error.line, "reason": error.reason, "id": error.id}
