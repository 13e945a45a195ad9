"""A tracking store for tests: what it holds, and how it is made to fail by a trigger in its own database."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protray.cluster.tracking import entries
from protray.cluster.tracking import tracker as tracking
from protray.cluster.tracking.store import connect
from protray.cluster.tracking.tracker import Tracker


def forget() -> None:
    """Forget what this process knows, as a new process would."""
    tracking._warned.clear()
    tracking._resume_at.clear()
    entries._logged_steps.cache_clear()
    entries._run_id_of.cache_clear()


@contextmanager
def failing(database: Path, table: str) -> Iterator[None]:
    """Let the database refuse every new row of `table`."""

    def execute(statement: str) -> None:
        connection = sqlite3.connect(database)
        with connection:
            connection.execute(statement)
        connection.close()

    execute(f"CREATE TRIGGER outage BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    try:
        yield
    finally:
        execute("DROP TRIGGER outage")


def points(tracker: Tracker, run_id: str, metric: str) -> list[tuple[int, float]]:
    history = connect(tracker.uri).get_metric_history(run_id, metric)
    return sorted((point.step, point.value) for point in history)


def spooled(tracker: Tracker) -> list[dict]:
    path = tracker.folder / "mlflow_spool.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def curve(out: Path, experiment: str) -> dict[str, list[tuple[int, float]]]:
    """Metric -> (step, value) of the only MLflow run of an experiment in a folder; it has finished."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    [found] = [found for found in client.search_experiments() if found.name == experiment]
    [run] = client.search_runs([found.experiment_id])
    assert run.info.status == "FINISHED"
    history = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return {name: [(point.step, point.value) for point in points] for name, points in history.items()}
