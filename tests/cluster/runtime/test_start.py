"""Ray as a job starts it, each time in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from protray.cluster.runtime.start import _check_answers

JOB = """
import json, logging, os, sys, time
from protray.cluster.runtime.logs import setup_logging
from protray.cluster.runtime.start import start_ray, stop_ray

setup_logging()
assert "ray" not in sys.modules
cluster = start_ray()
import ray

fails = sys.argv[1] == "fails"

def stage(batch):
    from protray.cluster.runtime.logs import setup_worker_logging
    setup_worker_logging()
    print("a print that nobody asked for")
    logging.getLogger("protray.stage").info("stage sees\\n%d rows", len(batch["id"]))
    logging.getLogger("ray.anything").warning("a warning of Ray")
    if fails:
        raise ValueError("protein 1abc has no CA")
    return batch

seen = []
logging.getLogger("protray.stage").addFilter(lambda record: seen.append(record) or True)
failure = None
try:
    ray.data.range(6).repartition(1).map_batches(stage).materialize()
except Exception as error:
    failure = str(error)
deadline = time.monotonic() + 60  # a busy machine delivers the lines late
while len(seen) < 2 and time.monotonic() < deadline:
    time.sleep(0.1)
again = start_ray()
stop_ray(again)
still_up = ray.is_initialized()
facts = {
    "cpus": sum(node.cpus for node in cluster.nodes),
    "nodes": [node["NodeID"] for node in ray.nodes()],
    "address": ray.get_runtime_context().gcs_address,
    "local": cluster.local,
    "ours": [cluster.ours, again.ours],
    "still_up": still_up,
    "token": os.environ.get("RAY_AUTH_TOKEN"),
    "failure": failure,
}
stop_ray(cluster)
print(json.dumps(facts | {"down": not ray.is_initialized()}))
"""


def start(job: str, argument: str, home: Path) -> subprocess.Popen:
    """Start `job` as a user would: no Ray settings in the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTEST_"))}
    command = [sys.executable, "-c", job, argument]
    environment |= {"HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true"}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with pytest.raises(ConnectionError, match="no Ray cluster answers at RAY_ADDRESS=127.0.0.1:9 .Connection refused"):
        _check_answers("127.0.0.1:9")
    _check_answers("auto")


def test_a_crash_while_ray_starts_is_not_silent() -> None:
    job = """
import os
from protray.cluster.runtime.logs import log_level_not_announced
with log_level_not_announced():
    os.write(2, b"crash\\n")
    os.write(2, b"Set ray log level from environment variable RAY_BACKEND_LOG_LEVEL to 3\\n")
    os._exit(3)
"""
    done = subprocess.run([sys.executable, "-c", job], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, b"crash\n")


@pytest.mark.ray
def test_two_local_jobs_at_once_are_quiet_and_apart(tmp_path: Path) -> None:
    jobs = [start(JOB, argument, tmp_path) for argument in ("works", "fails")]
    outputs = [job.communicate(timeout=240) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs
    works, fails = (json.loads(out) for out, _ in outputs)  # nothing else on stdout
    for facts in (works, fails):
        assert facts["cpus"] >= 2
        assert len(facts["nodes"]) == 1
        assert facts["local"]
        assert facts["ours"] == [True, False]
        assert facts["still_up"]  # the second start ends nothing that it did not start
        assert facts["down"]
    assert works["address"] != fails["address"]
    assert works["nodes"] != fails["nodes"]
    assert works["token"] != fails["token"]
    assert not (tmp_path / ".ray").exists()  # no token is left in the home folder
    assert works["failure"] is None
    assert "protein 1abc has no CA" in fails["failure"]
    for _, log in outputs:
        lines = log.splitlines()
        assert [line.split(maxsplit=1)[1] for line in lines] == ["INFO    stage sees", "INFO    6 rows"]


@pytest.mark.ray
def test_an_address_is_joined_and_not_ended(tmp_path: Path) -> None:
    """RAY_ADDRESS of a Ray that another process started; that process ends it."""
    owner = """
import subprocess, sys, os
from protray.cluster.runtime.start import start_ray, stop_ray
cluster = start_ray()
import ray
print(sum(node.cpus for node in cluster.nodes), flush=True)
job = '''
from protray.cluster.runtime.start import start_ray, stop_ray
cluster = start_ray()
print(sum(node.cpus for node in cluster.nodes), cluster.local, cluster.ours)
stop_ray(cluster)
'''
os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
subprocess.run([sys.executable, "-c", job], check=True)
print(ray.get(ray.remote(lambda: "alive").remote()))
"""
    process = start(owner, "", tmp_path)
    out, log = process.communicate(timeout=240)
    assert process.returncode == 0, log
    cpus, *lines = out.splitlines()
    assert lines == [f"{cpus} False True", "alive"]


@pytest.mark.ray
def test_sigterm_leaves_time_to_stop(tmp_path: Path) -> None:
    """Ray's own handler prints a stack and aborts the process after three seconds, whatever it still has to write."""
    job = """
import os, signal, time
from protray.cluster.runtime.start import start_ray, stop_ray
cluster = start_ray()
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
finally:
    time.sleep(4)
    stop_ray(cluster)
    print("ended")
"""
    process = start(job, "", tmp_path)
    out, log = process.communicate(timeout=240)
    assert (process.returncode, out, log) == (130, "ended\n", "")
