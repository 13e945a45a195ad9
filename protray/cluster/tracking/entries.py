"""How an entry is written to MLflow: the start of a run, metrics, an artifact, the end; twice the same is once."""

import functools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from protray.cluster.tracking.folder import this_driver
from protray.cluster.tracking.store import all_runs, connect, experiment_id
from protray.data.location import Location

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

SPOOLED = "spooled:"  # then the key: stands for the id of a run that could not be created yet
MOST_PARAMS, MOST_METRICS = 100, 1000  # per request, MLflow's limits


@dataclass(frozen=True)
class Writer:
    """Writes what becomes of the runs of one output folder, in one experiment; raises whatever the store does."""

    uri: str
    experiment: str
    out: Location
    folder: Path  # where the spool and, by default, the database are: `out`, or for an address a folder of this node
    out_id: str  # of the output folder: two folders may use the same keys on one server

    def experiment_id(self) -> str:
        """That of the experiment, which is made if there is none."""
        return experiment_id(self.uri, self.experiment, self.folder)

    def write(self, entry: Mapping[str, Any]) -> str | None:
        """Write an entry, and give the id of a run that it starts; raises whatever the store does."""
        if entry["op"] == "start":
            return self._start(entry)
        client, run_id = connect(self.uri), self._resolved(entry["run_id"])
        if entry["op"] == "log":
            _log(client, self.uri, run_id, entry)
        elif entry["op"] == "finish":
            client.set_terminated(run_id, entry["status"], end_time=entry["time"])
        elif not os.path.exists(entry["path"]):
            logger.warning("%s does not exist (any more) and is not stored with run %s", entry["path"], run_id)
        elif os.path.isdir(entry["path"]):
            client.log_artifacts(run_id, entry["path"], entry["folder"])
        else:
            client.log_artifact(run_id, entry["path"], entry["folder"])
        return None

    def _start(self, entry: Mapping[str, Any]) -> str:
        client = connect(self.uri)
        own = {"key": entry["key"], "out": str(self.out), "out_id": self.out_id, "driver": this_driver()}
        tags = dict(entry["tags"]) | {f"protray.{name}": value for name, value in own.items()}
        if entry["parent"]:
            tags["mlflow.parentRunId"] = self._resolved(entry["parent"])
        run = self.find(entry["key"])
        if run is None:
            run = client.create_run(self.experiment_id(), start_time=entry["time"], tags=tags, run_name=entry["name"])
            known: Mapping[str, str] = {}
        else:
            client.update_run(run.info.run_id, status="RUNNING")
            client.log_batch(run.info.run_id, tags=_entities("RunTag", tags))
            known = run.data.params
        for name in sorted(entry["params"].keys() & known.keys()):
            if known[name] != entry["params"][name]:
                told = (entry["name"], name, known[name], entry["params"][name])
                logger.error("run %s has %s = %s and is continued with %s; MLflow keeps the first", *told)
        new = {name: value for name, value in entry["params"].items() if name not in known}
        for part in _parts(_entities("Param", new), MOST_PARAMS):
            client.log_batch(run.info.run_id, params=part)
        return run.info.run_id

    def _resolved(self, run_id: str) -> str:
        return _run_id_of(self, run_id.removeprefix(SPOOLED)) if run_id.startswith(SPOOLED) else run_id

    def find(self, key: str) -> Any | None:
        """The run of a key; None if there is none yet."""
        where = f"tags.`protray.key` = '{key}' and tags.`protray.out_id` = '{self.out_id}'"
        return next(all_runs(connect(self.uri), self.experiment_id(), where), None)


@functools.cache
def _run_id_of(writer: Writer, key: str) -> str:
    run = writer.find(key)
    if run is None:
        raise LookupError(f"run {key!r} is not created yet")
    return run.info.run_id


def _log(client: "MlflowClient", uri: str, run_id: str, entry: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric

    step = entry["step"]
    done = {name: _logged_steps(uri, run_id, name) for name in entry["metrics"]}
    new = {name: value for name, value in entry["metrics"].items() if step not in done[name]}
    for part in _parts([Metric(name, value, entry["time"], step) for name, value in new.items()], MOST_METRICS):
        client.log_batch(run_id, metrics=part)
        for metric in part:
            done[metric.key].add(step)


@functools.cache
def _logged_steps(uri: str, run_id: str, metric: str) -> set[int]:
    """Steps at which `metric` was logged, by whichever process; asked once, then kept up to date by the caller."""
    return {point.step for point in connect(uri).get_metric_history(run_id, metric)}


def _entities(kind: Literal["Param", "RunTag"], values: Mapping[str, str]) -> list[Any]:
    import mlflow.entities

    return [getattr(mlflow.entities, kind)(name, value) for name, value in values.items()]


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
