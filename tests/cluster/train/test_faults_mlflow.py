"""Drivers that are killed in every stage of a job, and an MLflow server that is.  Run with `pytest -m cluster`."""

import json
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
from faults import FIT, NET, STEPS, same_curve, unbroken
from tracking_store import curve, forget

pytestmark = pytest.mark.cluster
TESTS = Path(__file__).parents[1]


def start(job: str, inputs: Path, out: Path, place: str, address: str) -> subprocess.CompletedProcess:
    """A driver of its own; with a `place`, it is killed there."""
    paths = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, str(TESTS / "die_job.py"), job, str(inputs), str(out), place],
        env=os.environ | {"RAY_ADDRESS": address, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def killed(job: str, inputs: Path, out: Path, place: str, address: str) -> None:
    done = start(job, inputs, out, place, address)
    assert done.returncode == -signal.SIGKILL, f"{place}: {done.returncode}\n{done.stderr[-3000:]}"
    tell(job, place, done)


def finished(job: str, inputs: Path, out: Path, address: str) -> dict:
    done = start(job, inputs, out, "", address)
    assert done.returncode == 0, done.stderr[-3000:]
    tell(job, "never", done)
    return json.loads(done.stdout.splitlines()[-1])


def tell(job: str, place: str, done: subprocess.CompletedProcess) -> None:
    said = [line for line in done.stderr.splitlines() if "MEASURED" in line or "goes on at" in line]
    print(f"{job}, killed: {place}; {said}", file=sys.stderr)


def test_score_net_whose_driver_is_killed_in_every_stage(nodes, tmp_path) -> None:
    nodes.add_node(num_cpus=2)
    out = tmp_path / "out"
    for place in ("training", "model", "report", "end"):
        killed("score_net", tmp_path, out, place, nodes.address)
        assert not (out / "metrics.json").exists()
    metrics = finished("score_net", tmp_path, out, nodes.address)
    expected = unbroken()
    same_curve(metrics["history"], expected)
    logged = curve(out, "protray-score-net")
    for name in ("train/loss", "validation/loss", "train/world_size"):
        assert [step for step, _ in logged[name]] == [point["step"] for point in expected]
    assert not (out / "cache").exists()


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
    from protray.pipelines.structure.score_net_run import ScoreRun

    from protray.evaluation.denoising import DenoisingConfig
    from protray.pipelines.structure import score_net as job

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    forget()
    port, seen, steps = free_port(), threading.Event(), []
    track = job.track_point

    def hear(tracker, run_id, metrics):  # noqa: ANN001, ANN202
        track(tracker, run_id, metrics)
        steps.append(metrics["step"])
        seen.set()

    loop = job._loop

    def slow(settings, report, resume, world):  # noqa: ANN001, ANN202
        def slowly(metrics, state):  # noqa: ANN001, ANN202
            report(metrics, state)
            time.sleep(1.0)

        loop(settings, slowly, resume, world)

    monkeypatch.setattr(job, "track_point", hear)
    monkeypatch.setattr(job, "_loop", slow)
    denoising = DenoisingConfig(chains=3, longest=60, every=16, sampled=2, stop=2.0, shown=1)
    uri = f"http://127.0.0.1:{port}"
    run = replace(ScoreRun(net=NET, fit=FIT, denoising=denoising), out=tmp_path / "out", mlflow=uri)
    results: list[dict] = []
    training = threading.Thread(target=lambda: results.append(job.score_net(run)), daemon=True)
    with mlflow_server(tmp_path, port):
        training.start()
        assert seen.wait(timeout=120)
    spool = run.out / "mlflow_spool.jsonl"
    while training.is_alive() and not spool.exists():
        time.sleep(0.1)
    assert spool.exists()
    if back == "after the job":
        training.join(timeout=240)
        assert len(results) == 1
    with mlflow_server(tmp_path, port):
        training.join(timeout=240)
        assert results and results[0]["steps"] == STEPS
        if back == "after the job":
            forget()
            job.score_net(run)  # finished: only what MLflow missed is left to do
        client = MlflowClient(uri)
        [experiment] = [found for found in client.search_experiments() if found.name == "protray-score-net"]
        [logged] = client.search_runs([experiment.experiment_id])
        assert logged.info.status == "FINISHED"
        for name in ("train/loss", "validation/loss", "train/world_size"):
            points = client.get_metric_history(logged.info.run_id, name)
            assert sorted(point.step for point in points) == list(range(FIT.validate_every, STEPS + 1, 5))
        assert {file.path for file in client.list_artifacts(logged.info.run_id)} == {"report.html", "model"}
    assert not spool.exists()
