"""An MLflow server that is switched off while a network trains.  Run with `pytest -m cluster`."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from faults import FIT, RUN, STEPS, faulty
from tracking_store import forget

from protray.cluster.train import driver
from protray.data.location import Location
from protray.pipelines.structure.score_net import JOB

pytestmark = pytest.mark.cluster


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    """A real server on loopback, up when this returns and gone after it, as a machine that is switched off."""
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'server.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    quiet = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(command, env=quiet, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (folder / "server.log").read_text()[-2000:]
                time.sleep(0.2)
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # the processes that it has started
        server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("back", ["during the training", "after the job"])
def test_an_mlflow_server_that_is_away_for_a_while(ray_local, tmp_path, monkeypatch, back: str) -> None:
    """It goes after the first point of the curve; no step is missing in the end, and none is there twice."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    forget()
    port, seen, track = free_port(), threading.Event(), driver.track_point

    def hear(tracker, run_id, metrics):  # noqa: ANN001, ANN202
        track(tracker, run_id, metrics)
        if "train/loss" in metrics:
            seen.set()

    monkeypatch.setattr(driver, "track_point", hear)
    uri = f"http://127.0.0.1:{port}"
    job = replace(JOB, loop=faulty(lambda *_: None, pause=1.0))
    run = replace(RUN, out=Location(tmp_path) / "out", mlflow=uri)
    results: list[dict] = []
    training = threading.Thread(target=lambda: results.append(driver.run_training(job, run)), daemon=True)
    with mlflow_server(tmp_path, port):
        training.start()
        assert seen.wait(timeout=240)
    spool = run.out / "mlflow_spool.jsonl"
    while training.is_alive() and not spool.exists():
        time.sleep(0.1)
    assert spool.exists()
    if back == "after the job":
        training.join(timeout=400)
        assert len(results) == 1
    with mlflow_server(tmp_path, port):
        training.join(timeout=400)
        assert results and results[0]["steps"] == STEPS
        if back == "after the job":
            forget()
            driver.run_training(job, run)  # finished: only what MLflow missed is left to do
        client = MlflowClient(uri)
        [experiment] = [found for found in client.search_experiments() if found.name == "protray-score-net"]
        [logged] = client.search_runs([experiment.experiment_id])
        assert logged.info.status == "FINISHED"
        for name in ("train/loss", "validation/loss", "train/world_size"):
            points = client.get_metric_history(logged.info.run_id, name)
            assert sorted(point.step for point in points) == list(range(FIT.validate_every, STEPS + 1, 5))
        assert {file.path for file in client.list_artifacts(logged.info.run_id)} == {"report.html", "model"}
    assert not spool.exists()
