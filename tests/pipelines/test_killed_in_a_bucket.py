"""Drivers that are killed, and go on from a bucket alone: each has an empty cache.  Run with `pytest -m cluster`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bucket import KEYS, keys, serve, serve_gs
from faults import STEPS, same_curve, unbroken
from mlflow import MlflowClient
from tiny import tiny_proteins
from tiny_model import save_tiny_lm
from tracking_store import curve

from protray.data import location
from protray.data.location import Location

pytestmark = pytest.mark.cluster
TESTS = Path(__file__).parents[1]


@dataclass
class Nodes:
    """A cluster of two nodes with a CPU and a cache each, and the inputs of the jobs."""

    folder: Path
    address: str
    runs: int = 0

    def start(self, job: str, out: str, place: str = "") -> subprocess.CompletedProcess:
        """A driver, as on another machine; with a `place`, it is killed there."""
        self.runs += 1
        paths = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
        own = {"RAY_ADDRESS": self.address, "PYTHONPATH": paths, "PROTRAY_CACHE": f"{self.folder}/driver-{self.runs}"}
        return subprocess.run(
            [sys.executable, str(TESTS / "die_job.py"), job, str(self.folder), out, place],
            env=os.environ | own, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def killed(self, job: str, out: str, place: str) -> set[str]:
        """What is in the bucket then."""
        done = self.start(job, out, place)
        assert done.returncode == -signal.SIGKILL, f"{place}: {done.returncode}\n{done.stderr[-3000:]}"
        found = keys(Path(out))
        assert "metrics.json" not in found
        return found

    def finished(self, job: str, out: str) -> dict:
        done = self.start(job, out)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[Nodes]:
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("nodes")
    with (Location(folder) / "data" / "proteins" / "part-0.parquet").writing() as partial:
        pq.write_table(tiny_proteins().table, partial)
    (Location(folder) / "data" / "dataset.json").write_json({"digest": "tiny"})
    save_tiny_lm(folder / "lm")
    with serve() as server, serve_gs(folder) as google, pytest.MonkeyPatch.context() as patch:
        own = {"AWS_ENDPOINT_URL": server, "PROTRAY_CACHE": str(folder / "one")}
        for name, value in (KEYS | google | own).items():
            patch.setenv(name, value)
        location._filesystem.cache_clear()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1, env_vars={"PROTRAY_CACHE": str(folder / "two")})
        yield Nodes(folder, cluster.address)
        cluster.shutdown()
    location._filesystem.cache_clear()


def database(out: str) -> Path:
    """The folder of a copy of MLflow's database."""
    return (Location(out) / "mlflow.db").fetch().parent


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_the_score_network(nodes: Nodes, scheme: str) -> None:
    out = f"{scheme}://bucket/score"
    found = nodes.killed("score_net", out, "training")
    assert any(name.endswith("/state.pt") for name in found) and "model/model.safetensors" not in found
    found = nodes.killed("score_net", out, "end")
    numbers = [int(name.split("/")[-2].split("-")[1]) for name in found if name.endswith("/state.pt")]
    assert max(numbers) == STEPS // 5  # numbers go on: a training from the start would have come farther
    assert "model/model.safetensors" in found
    metrics = nodes.finished("score_net", out)
    same_curve(metrics["history"], unbroken())
    found = keys(Path(out))
    assert {"metrics.json", "report.html", "model/score_net.json", "mlflow.db", "run.json"} <= found
    assert not any(name.startswith("cache/") for name in found)
    logged = curve(database(out), "protray-score-net")
    assert sorted(step for step, _ in logged["train/loss"]) == list(range(5, STEPS + 1, 5))  # each point once
    assert nodes.finished("score_net", out)["history"] == metrics["history"]


def test_a_sweep(nodes: Nodes) -> None:
    """Killed while a trial trains and before its report; what is done is not done again."""
    out = "s3://bucket/sweep"
    found = nodes.killed("sweep", out, "trial")
    assert 1 <= len([name for name in found if name.endswith("trial.json")]) < 3
    found = nodes.killed("sweep", out, "report")
    records = {name: (Location(out) / name).stamp() for name in found if name.endswith("trial.json")}
    assert len(records) == 3
    metrics = nodes.finished("sweep", out)
    assert len(metrics["table"]) == 3 and not metrics["not_finished"] and metrics["complete"]
    assert {name: (Location(out) / name).stamp() for name in records} == records
    found = keys(Path(out))
    assert {"metrics.json", "report.html", "model/config.json", "mlflow.db"} <= found
    for name in records:
        result = name.replace("trial.json", "result")
        assert {f"{result}/stage.json", f"{result}/model.safetensors"} <= found
    assert not any(name.endswith("state.pt") or name.startswith("cache/tune") for name in found)
    client = MlflowClient(f"sqlite:///{database(out) / 'mlflow.db'}")
    [experiment] = [found for found in client.search_experiments() if found.name == "protray-tune"]
    trials = [run for run in client.search_runs([experiment.experiment_id]) if "trial" in run.data.tags]
    assert len(trials) == 3
    for run in trials:
        assert run.info.status == "FINISHED"
        assert sorted(point.step for point in client.get_metric_history(run.info.run_id, "validation/q3")) == [1, 2]
    assert nodes.finished("sweep", out)["table"] == metrics["table"]
