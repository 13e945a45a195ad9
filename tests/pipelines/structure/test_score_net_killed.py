"""jobs/score_net.py's driver is killed in every stage.  Run with `pytest -m cluster`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import same_curve, unbroken
from tracking_store import curve

from protray.data.location import Location

pytestmark = pytest.mark.cluster
TESTS = Path(__file__).parents[2]


@pytest.fixture
def address() -> Iterator[str]:
    """A Ray that outlives the drivers."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield cluster.address
    cluster.shutdown()


def start(out: Location, place: str, address: str) -> subprocess.CompletedProcess:
    """A driver of its own; with a `place`, it is killed there."""
    paths = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(TESTS / "die_job.py"), "score_net", "nothing", str(out), place],
        env=os.environ | {"RAY_ADDRESS": address, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if "MEASURED" in line or "goes on from" in line]
    print(f"killed: {place or 'never'}; {told}", file=sys.stderr)
    return done


def test_a_driver_that_is_killed_in_every_stage(address, tmp_path) -> None:
    out = Location(tmp_path) / "out"
    for place in ("training", "model", "report", "end"):
        done = start(out, place, address)
        assert done.returncode == -signal.SIGKILL, f"{place}: {done.returncode}\n{done.stderr[-3000:]}"
        assert not (out / "metrics.json").exists()
    done = start(out, "", address)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = unbroken()
    same_curve(json.loads(done.stdout.splitlines()[-1])["history"], expected)
    logged = curve(out.path, "protray-score-net")
    for name in ("train/loss", "validation/loss", "train/world_size"):
        # each once; what no driver heard of, as the workers outlived it by a moment, is logged last
        assert sorted(step for step, _ in logged[name]) == [point["step"] for point in expected]
    assert (out / "cache").files() == []
