"""The one MLflow layer: explicit runs, found again by key, and a store that may fail without stopping anything.

The driver does ``Tracker.open``, once, before any worker starts; the tracker is then pickled to whoever logs.  A run
has one writer at a time.  What the store refuses goes to ``mlflow_spool.jsonl`` in the output folder, and ``replay``
writes it later, each step once.  How an entry is written: ``entries.py``.
"""

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protray.cluster.storage.locks import locked
from protray.cluster.storage.secrets import is_secret, redact
from protray.cluster.tracking import spool
from protray.cluster.tracking.entries import SPOOLED, Writer
from protray.cluster.tracking.folder import folder_id, folder_of, lives, newest, this_driver
from protray.cluster.tracking.run_info import flatten, metric_name
from protray.cluster.tracking.store import absolute, all_runs, connect, runs_page, ui_command
from protray.data.location import Location

logger = logging.getLogger(__name__)

SPOOL = "mlflow_spool.jsonl"  # in the output folder
DATABASE = "mlflow.db"  # likewise, unless there is a server
KEPT = DATABASE, ".mlflow_out_id", SPOOL  # at an address: copied there at the end, and from there at the beginning
LONGEST_PAUSE_S = 600.0

_resume_at: dict[str, float] = {}  # tracking URI -> monotonic time before which nobody should try it again
_warned: set[str] = set()


@dataclass(frozen=True)
class Tracker(Writer):
    """A handle on one experiment for one output folder, which survives what the store does; small, safe to pickle."""

    @classmethod
    def open(cls, uri: str | None, experiment: str, out: Location) -> "Tracker":
        """Create the store and the experiment if they are missing, and write what an earlier job could not.

        Parameters
        ----------
        uri : str, optional
            Default: ``MLFLOW_TRACKING_URI``, and without it a SQLite file ``mlflow.db`` in `out`.
        experiment : str
            Name of the experiment.
        out : Location
            The job's output folder.

        Raises
        ------
        ValueError
            If `uri` is a folder (MLflow gave up file stores) or a database in memory.
        """
        folder = folder_of(out)
        folder.mkdir(parents=True, exist_ok=True)
        uri = absolute(uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / DATABASE}")
        with locked(folder / "mlflow_spool.lock"):
            for name in KEPT if out.is_address else ():
                newest(out / name, folder / name)
            tracker = cls(uri, experiment, out, folder, folder_id(folder / KEPT[1]))
            try:  # under the lock: of several processes on a fresh database all but one die
                tracker.experiment_id()
            except Exception as error:
                tracker._warn(error)
        tracker.replay()
        return tracker

    @classmethod
    @contextmanager
    def job(
        cls, uri: str | None, experiment: str, out: Location, *, key: str, name: str, params: Mapping, tags: Mapping
    ) -> "Iterator[tuple[Tracker, str]]":
        """Open the store and the run of a whole job, or the one of a job that was killed; gives tracker and run id.

        An error marks the run as failed and goes on.
        """
        tracker = cls.open(uri, experiment, out)
        tracker.reap()
        run_id = tracker.start_run(key=key, name=name, params=params, tags=tags)
        try:
            yield tracker, run_id
        except BaseException:
            tracker.finish(run_id, "FAILED")
            tracker.keep()
            raise
        tracker.finish(run_id)
        tracker.replay()
        tracker.keep()

    @classmethod
    def catch_up(cls, uri: str | None, experiment: str, out: Location) -> None:
        """Write what MLflow missed of a job that has finished."""
        if (folder_of(out) / SPOOL).exists():
            cls.open(uri, experiment, out)

    def start_run(
        self, key: str, name: str, parent: str | None = None, params: Mapping | None = None, tags: Mapping | None = None
    ) -> str:
        """Start the run `key` of this output folder, or go on with it, and return its id.

        A parameter that was logged before keeps its first value; a different one is an error in the log.
        """
        if not key or "'" in key:
            raise ValueError(f"run key {key!r} must not be empty or contain a quote")
        entry: spool.Entry = {"op": "start", "key": key, "name": name, "parent": parent, "time": _now()}
        entry["params"] = flatten(params or {})
        entry["tags"] = {tag: redact(str(value)) for tag, value in (tags or {}).items() if not is_secret(tag)}
        return self._write_or_spool(entry) or SPOOLED + key

    def log(self, run_id: str, metrics: Mapping[str, float], step: int) -> None:
        """Log `metrics` at `step`; the first value of a metric at a step stays.

        NaN and infinite values are left out; ``nonfinite`` counts them.
        """
        values = {metric_name(name): float(value) for name, value in metrics.items()}
        bad = sorted(name for name, value in values.items() if not math.isfinite(value))
        if bad:
            logger.warning("step %d: %s not finite", step, ", ".join(bad))
            values = {name: value for name, value in values.items() if name not in bad}
            values["nonfinite"] = float(len(bad))
        self._write_or_spool({"op": "log", "run_id": run_id, "metrics": values, "step": int(step), "time": _now()})

    def artifact(self, run_id: str, what: Location, folder: str | None = None) -> None:
        """Store a file, or all files below a folder, with the run."""
        self._write_or_spool({"op": "artifact", "run_id": run_id, "path": str(what.fetch()), "folder": folder})

    def keep(self) -> None:
        """Put this node's database and spool, where there are such, beside the results at an address."""
        for name in KEPT if self.out.is_address else ():
            if (self.folder / name).is_file():
                (self.out / name).write_bytes((self.folder / name).read_bytes())

    def finish(self, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """End the run; ``start_run`` with the same key opens it again."""
        self._write_or_spool({"op": "finish", "run_id": run_id, "status": status, "time": _now()})

    def reap(self) -> list[str]:
        """End the runs that a dead driver of this output folder left behind; returns their ids.

        A driver that is alive on this machine keeps its runs.  One on another machine counts as dead: the caller sees
        to it that only one driver at a time works on a folder.
        """
        try:
            client = connect(self.uri)
            where = f"attributes.status = 'RUNNING' and tags.`protray.out_id` = '{self.out_id}'"
            ended = []
            for run in all_runs(client, self.experiment_id(), where):
                driver = run.data.tags.get("protray.driver", "")
                if driver == this_driver():
                    continue
                if lives(driver):
                    logger.warning("run %s is still written by %s; left alone", run.info.run_id, driver)
                    continue
                client.set_terminated(run.info.run_id, "KILLED")
                ended.append(run.info.run_id)
            return ended
        except Exception as error:
            self._warn(error)
            return []

    def replay(self) -> int:
        """Write what was spooled, as far as the store takes it now; returns how many entries were written."""
        alive = True

        def taken(entry: spool.Entry) -> bool:
            nonlocal alive
            if not alive:
                return False
            try:
                self.write(entry)
                _resume_at.pop(self.uri, None)
                return True
            except Exception as error:
                self._warn(error)
                alive = self._answers()  # if it does, this one entry is at fault: go on with the others
                return False

        written, left = spool.drain(self._spool, taken)
        if written:
            logger.info("wrote %d spooled entries to MLflow", written)
        if left:
            logger.warning("MLflow did not take %d entries; they stay in %s", left, self._spool)
        return written

    def ui(self) -> str:
        """Say how to look at the runs: the command that starts the UI, and the page to open."""
        try:
            page = runs_page(self.uri, self.experiment_id())
        except Exception as error:
            self._warn(error)
            return ui_command(self.uri)
        return page if self.uri.startswith("http") else f"{ui_command(self.uri)}\nthen open {page}"

    @property
    def _spool(self) -> Path:
        return self.folder / SPOOL

    def _write_or_spool(self, entry: spool.Entry) -> str | None:
        begun = time.monotonic()
        if begun >= _resume_at.get(self.uri, 0.0):
            try:
                return self.write(entry)
            except Exception as error:
                self._warn(error)
                # A store that fails at once may be tried at every step; one that hangs must not cost more than a tenth.
                lost_s = time.monotonic() - begun
                _resume_at[self.uri] = time.monotonic() + min(LONGEST_PAUSE_S, 10 * lost_s)
        try:
            spool.append(self._spool, entry)
        except OSError as error:
            logger.error("MLflow does not answer and %s cannot be written (%s): an entry is lost", self._spool, error)
        return None

    def _answers(self) -> bool:
        try:
            connect(self.uri).search_experiments(max_results=1)
            return True
        except Exception:
            return False

    def _warn(self, error: Exception) -> None:
        if self.uri not in _warned:
            _warned.add(self.uri)
            reason = " ".join(redact(str(error)).split())
            logger.warning(
                "MLflow at %s failed (%s: %.300s); the job goes on, and what MLflow misses is kept in %s",
                redact(self.uri), type(error).__name__, reason, self._spool,
            )  # fmt: skip


def _now() -> int:
    return int(time.time() * 1000)
