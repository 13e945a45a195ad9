"""jobs/distil.py's driver is killed in every stage, in a folder and in a bucket.  Run with `pytest -m cluster`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bucket import KEYS, serve
from tiny import tiny_proteins
from tiny_model import save_tiny_lm

from protray.data import location
from protray.data.location import Location

pytestmark = pytest.mark.cluster
TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    with (Location(folder) / "data" / "proteins" / "part-0.parquet").writing() as partial:
        pq.write_table(tiny_proteins().table, partial)
    (Location(folder) / "data" / "dataset.json").write_json({"digest": "tiny"})
    save_tiny_lm(folder / "lm")
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """A Ray cluster of two nodes of one CPU that have each its own cache, and a bucket that both see."""
    from ray.cluster_utils import Cluster

    caches = tmp_path_factory.mktemp("caches")
    with serve() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": server, "PROTRAY_CACHE": str(caches / "one")}).items():
            patch.setenv(name, value)
        location._filesystem.cache_clear()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1, env_vars={"PROTRAY_CACHE": str(caches / "two")})
        yield cluster.address
        cluster.shutdown()
    location._filesystem.cache_clear()


def start(inputs: Path, out: Location, place: str, address: str) -> subprocess.CompletedProcess:
    """A driver of its own; with a `place`, it is killed there."""
    paths = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, str(TESTS / "die_job.py"), "distil", str(inputs), str(out), place],
        env=os.environ | {"RAY_ADDRESS": address, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def killed(inputs: Path, out: Location, place: str, address: str) -> None:
    done = start(inputs, out, place, address)
    assert done.returncode == -signal.SIGKILL, f"{place}: {done.returncode}\n{done.stderr[-3000:]}"
    assert not (out / "metrics.json").exists()


def finished(inputs: Path, out: Location, address: str) -> dict:
    done = start(inputs, out, "", address)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def unbroken(inputs, address, tmp_path_factory) -> Location:
    out = Location(tmp_path_factory.mktemp("runs")) / "unbroken"
    finished(inputs, out, address)
    return out


def same_results(out: Location, unbroken: Location) -> None:
    one, two = ((folder / "metrics.json").read_json()["table"] for folder in (unbroken, out))
    for a, b in zip(one, two, strict=True):
        assert {**a, "q3": None, "ci95": None} == {**b, "q3": None, "ci95": None}
        assert a["q3"] == b["q3"] or b["q3"] == pytest.approx(a["q3"], abs=1e-6)
    one, two = (pq.read_table((folder / "predictions.parquet").fetch()).to_pylist() for folder in (unbroken, out))
    for a, b in zip(one, two, strict=True):
        assert a["prob"] == pytest.approx(b["prob"], abs=1e-4)


def test_a_driver_that_is_killed_in_every_stage(inputs, address, unbroken, tmp_path) -> None:
    out = Location(tmp_path) / "out"
    trained = [file.read_json()["stage"]["name"] for file in (unbroken / "cache").files("stage.json")]
    real = ["Real", "Real + down-sampling", "Real (shallow only)", "Real + LM"]
    order = ["teacher", "protray", *real, "Bagging enhancer", "Bagging"]
    assert sorted(trained) == sorted(order)
    for place in ("maps", *order, "report", "end"):
        killed(inputs, out, place, address)
    finished(inputs, out, address)
    same_results(out, unbroken)
    assert not [file for file in out.files() if "checkpoint" in file.name or "work" in file[len(out) :].split("/")]


def test_in_a_bucket_nothing_else_is_shared(inputs, address, unbroken) -> None:
    """What was finished is read in place; predictions come from a worker on each node."""
    out = Location("s3://bucket/distil")
    for place in ("maps", "Real"):
        killed(inputs, out, place, address)
    assert len((out / "cache").files("stage.json")) >= 1
    finished(inputs, out, address)
    same_results(out, unbroken)
    assert len((out / "cache").files("predictions-1-of-2.parquet")) >= 1
    found = {file[len(out) + 1 :] for file in out.files()}
    assert {"report.html", "tables.md", "predictions.parquet", "model/config.json"} <= found
    assert not [name for name in found if "checkpoint" in name or "work" in name.split("/")]
