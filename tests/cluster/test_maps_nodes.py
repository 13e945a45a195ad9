"""Probability maps on several nodes, one of which is killed while they are computed.  Run with `pytest -m cluster`."""

import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_model import save_tiny_lm

from protray.pipelines.language_model.prob_maps import ProbMapsRun, prob_maps

pytestmark = pytest.mark.cluster
N, LENGTH = 400, 60


def test_a_node_that_is_killed_loses_no_protein_and_doubles_none(tmp_path: Path, monkeypatch) -> None:
    import ray
    from ray.cluster_utils import Cluster

    letters = "MKTAYIAKQRLEDWCHFGPNSV" * 4
    fasta = tmp_path / "proteins.fasta"
    fasta.write_text("".join(f">p{n}\n{letters[n % 22 :][:LENGTH]}\n" for n in range(N)))
    lm = save_tiny_lm(tmp_path / "lm")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    doomed = cluster.add_node(num_cpus=3)
    cluster.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    run = ProbMapsRun(data=fasta, lm=str(lm), out=tmp_path / "maps", shard=N)
    killed_after = []

    def kill() -> None:
        """Once the node's actors have written something, but not all."""
        while len(done := list((run.out / "work").glob("parts-*/*.arrow"))) < 3:
            time.sleep(0.02)
        killed_after.append(len(done))
        cluster.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        summary = prob_maps(run)
        killer.join(timeout=60)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed_after, "the maps were finished before the node could be killed"
    assert (summary["n_computed"], summary["n_rejected"]) == (N, 0)
    found = Counter(
        name for part in (run.out / "maps").glob("*.parquet") for name in pq.read_table(part)["id"].to_pylist()
    )
    assert found == {f"p{n}": 1 for n in range(N)}
    print(f"killed after {killed_after[0]} parts", file=sys.stderr)
