"""Probability maps on a cluster that grows and shrinks.  Run with `pytest -m cluster`.

A node has one core of this machine, so that two compute twice as fast as one where there are two cores to be had.
"""

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_cloud import FakeCloud

from protray.seq.alphabet import AMINO_ACIDS

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
N, LENGTH = 150, 115  # some 35 s of a core with the packaged model, so three actors: one more than a node has CPUs


def test_nodes_come_for_the_work_and_go_after_it(tmp_path: Path) -> None:
    """Head, then two nodes more, then the head alone; the same with one node at most tells what the second is worth."""
    letters = np.random.default_rng(0).choice(list(AMINO_ACIDS), (N, LENGTH))
    fasta = tmp_path / "proteins.fasta"
    fasta.write_text("".join(f">p{n}\n{''.join(row)}\n" for n, row in enumerate(letters)))
    cloud = FakeCloud(cpus=2, most=1)
    try:
        cloud.wait_for(1, seconds=120)
        alone_s = submit(cloud, fasta, tmp_path / "one")
        cloud.wait_for(1, seconds=120)
        assert cloud.seen == [1, 2, 1], cloud.seen
        cloud.allow(2)
        time.sleep(3)  # the autoscaler looks every second
        together_s = submit(cloud, fasta, tmp_path / "two")
        cloud.wait_for(1, seconds=120)
    finally:
        cloud.stop()
    assert max(cloud.seen) == 3 and cloud.seen[-1] == 1
    for out in (tmp_path / "one", tmp_path / "two"):
        assert ids_in(out) == {f"p{n}": 1 for n in range(N)}
    print(
        f"nodes {cloud.seen}; {alone_s:.0f} s with one node beside the head, {together_s:.0f} s with two: "
        f"{alone_s / together_s:.2f} times as fast, on {len(cloud.cores)} cores", file=sys.stderr,
    )  # fmt: skip


def submit(cloud: FakeCloud, fasta: Path, out: Path) -> float:
    """Submit the job, wait for its success, and return the seconds that it says it took."""
    from ray.job_submission import JobStatus

    client, deadline = wait_for_client(cloud), time.monotonic() + 900
    command = f"{sys.executable} {ROOT}/jobs/prob_maps.py --data {fasta} --out {out}"
    # no working_dir: the fake nodes share one folder for it, and when the second node comes, Ray unpacks it anew, under
    # the feet of the first actor
    job = client.submit_job(entrypoint=command, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}})
    while not (status := client.get_job_status(job)).is_terminal():
        assert time.monotonic() < deadline, client.get_job_logs(job)
        time.sleep(0.5)
    logs = client.get_job_logs(job)
    assert status == JobStatus.SUCCEEDED, logs
    assert f"proteins   {N} done, 0 rejected" in logs
    return float(logs.partition("\ntime ")[2].split()[0])


def wait_for_client(cloud: FakeCloud):  # noqa: ANN201
    from ray.job_submission import JobSubmissionClient

    deadline = time.monotonic() + 120
    while True:
        try:
            return JobSubmissionClient(f"http://{cloud.dashboard}")
        except (ConnectionError, RuntimeError):
            assert time.monotonic() < deadline, "no dashboard"
            time.sleep(1)


def ids_in(out: Path) -> Counter:
    return Counter(name for part in (out / "maps").glob("*.parquet") for name in pq.read_table(part)["id"].to_pylist())
