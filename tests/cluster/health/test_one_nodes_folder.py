"""A folder that only one node sees: every job refuses it before it computes anything.  Run with `pytest -m cluster`."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from faults import RUN
from parabola import STUDY, parabola
from tiny import tiny_proteins
from tiny_model import save_tiny_lm

from protray.cluster.batch.driver import run_batch
from protray.cluster.train.driver import run_training
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.sweep import run_sweep
from protray.data.location import Location
from protray.pipelines.language_model import prob_maps
from protray.pipelines.secondary import distil
from protray.pipelines.structure import score_net

pytestmark = pytest.mark.cluster


@pytest.fixture
def own(tmp_path) -> Iterator[Path]:
    """A folder under whose name the second of two nodes has another one."""
    import ray
    from ray.cluster_utils import Cluster

    own = tmp_path / "own"
    own.mkdir()
    private = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(own)]
    if shutil.which("unshare") is None or subprocess.run([*private, "true"], capture_output=True).returncode:
        pytest.skip("a node with a folder of its own needs `unshare -m`")
    ray.shutdown()  # of `ray_local`
    with pytest.MonkeyPatch.context() as patch, (tmp_path / "second.log").open("wb") as log:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        patch.setenv("RAY_ADDRESS", cluster.address)
        command = [str(Path(sys.executable).with_name("ray")), "start", f"--address={cluster.address}", "--block"]
        second = subprocess.Popen(
            [*private, *command, "--num-cpus=1", f"--object-store-memory={200 << 20}"], stdout=log, stderr=log
        )
        try:
            ray.init(log_to_driver=False)
            deadline = time.monotonic() + 120
            while sum(node["Alive"] for node in ray.nodes()) < 2:
                assert time.monotonic() < deadline, (tmp_path / "second.log").read_text()
                time.sleep(0.2)
            yield own
        finally:
            second.send_signal(signal.SIGTERM)  # it ends the processes that it has started
            ray.shutdown()
            cluster.shutdown()
            second.wait(60)


def test_is_refused_before_anything_is_computed(own: Path, tmp_path: Path) -> None:
    data, lm, out = Location(tmp_path) / "data", str(save_tiny_lm(tmp_path / "lm")), Location(own)
    with (data / "proteins" / "part-0.parquet").writing() as partial:
        pq.write_table(tiny_proteins().table, partial)
    (data / "dataset.json").write_json({"digest": "tiny"})
    (tmp_path / "study.py").write_text(STUDY)
    jobs = {
        "a training": lambda: run_training(score_net.JOB, replace(RUN, out=out / "a")),
        "a training with maps": lambda: run_training(distil.JOB, distil.DistilRun(data=data, lm=lm, out=out / "b")),
        "a batch": lambda: run_batch(prob_maps.JOB, prob_maps.ProbMaps(data=data, lm=lm, out=out / "c")),
        "a sweep": lambda: run_sweep(parabola(), SweepRun(space=str(tmp_path / "study.py"), out=out / "d")),
    }
    for name, job in jobs.items():
        with pytest.raises(ValueError) as raised:
            job()
        told = str(raised.value)
        assert told.startswith(f"--out {own}/"), name
        assert "is another folder on " in told and "would write what nobody finds" in told
        assert "give --out an address, such as s3://bucket/folder, or mount one file system" in told
    assert {path.name for path in own.rglob("*") if path.is_file()} <= {"run.json"}
