"""Probability maps on several nodes, one of which is killed while they are computed.  Run with `pytest -m cluster`."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from tiny_model import save_tiny_lm

from protray.cluster.batch.driver import run_batch
from protray.cluster.runtime.capacity import POOL
from protray.data.location import Location
from protray.pipelines.language_model.prob_maps import JOB, ProbMaps

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytestmark = pytest.mark.cluster
N, LENGTH = 400, 60


@pytest.fixture
def cluster(monkeypatch) -> "Iterator[Cluster]":
    """A head, which does no work."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def run_of(tmp_path: Path, proteins: int) -> ProbMaps:
    letters = "MKTAYIAKQRLEDWCHFGPNSV" * 4
    (tmp_path / "p.fasta").write_text("".join(f">p{n}\n{letters[n % 22 :][:LENGTH]}\n" for n in range(proteins)))
    lm = save_tiny_lm(tmp_path / "lm")
    return ProbMaps(data=Location(tmp_path / "p.fasta"), lm=str(lm), out=Location(tmp_path / "maps"))


def ids_in(out: Location) -> Counter[str]:
    return Counter(name for file in (out / "maps").files() for name in pq.read_table(file)["id"].to_pylist())


def test_a_node_that_is_killed_loses_no_protein_and_doubles_none(cluster: "Cluster", tmp_path, monkeypatch) -> None:
    from protray.cluster.batch import driver, folder

    cluster.add_node(num_cpus=2)
    doomed = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    monkeypatch.setattr(folder, "WORTH_AN_ACTOR_S", 1e-3)  # the work is small, and is to be on both nodes
    monkeypatch.setattr(driver, "ITEMS_PER_ACTOR", 40)
    run = run_of(tmp_path, N)
    killed_after = []

    def kill() -> None:
        """Once something is written, but not all."""
        while len(done := (run.work / "parts").files("item-*")) < 3:
            time.sleep(0.02)
        killed_after.append(len(done))
        cluster.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    summary = run_batch(JOB, run)
    killer.join(timeout=60)
    assert killed_after, "the maps were finished before the node could be killed"
    assert (summary["n_rows"], summary["n_rejected"]) == (N, 0)
    assert ids_in(run.out) == {f"p{n}": 1 for n in range(N)}
    print(f"killed after {killed_after[0]} parts", file=sys.stderr)


def test_work_stays_on_the_nodes_that_are_labelled_for_it(cluster: "Cluster", tmp_path: Path, monkeypatch) -> None:
    """The node of the other pool has more room."""
    from protray.cluster.batch import folder

    ours = cluster.add_node(num_cpus=3, labels={POOL: "cpu"})
    cluster.add_node(num_cpus=6, labels={POOL: "gpu"})
    cluster.wait_for_nodes()
    monkeypatch.setattr(folder, "WORTH_AN_ACTOR_S", 1e-3)

    def loads(run, device):  # noqa: ANN001, ANN202
        import ray

        from protray.pipelines.language_model.prob_maps import open_lm

        node = ray.get_runtime_context().get_node_id()
        (tmp_path / f"node-{node}").touch()
        return open_lm(run, device)

    run = run_of(tmp_path, 60)
    run_batch(replace(JOB, open=loads), run)
    assert {path.name for path in tmp_path.glob("node-*")} == {f"node-{ours.node_id}"}
    assert ids_in(run.out).total() == 60
