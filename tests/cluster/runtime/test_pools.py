"""Work that stays on the nodes that are labelled for it.  Run with `pytest -m cluster`."""

from pathlib import Path

import parabola as module
import pytest
from faults import SETTINGS, Letters, faulty, note_node
from parabola import STUDY, parabola
from ray import cloudpickle
from tracking_store import forget

from protray.cluster.runtime.capacity import POOL, cluster_nodes
from protray.cluster.runtime.resources import make_plan, trainer
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.sweep import run_sweep
from protray.data.location import Location

pytestmark = pytest.mark.cluster
cloudpickle.register_pickle_by_value(module)  # Ray's workers cannot import from the tests


@pytest.fixture
def ours(nodes) -> str:
    """The node of the pool ``cpu``; that of the other pool has more room."""
    node = nodes.add_node(num_cpus=3, labels={POOL: "cpu"})
    nodes.add_node(num_cpus=6, labels={POOL: "gpu"})
    nodes.wait_for_nodes()
    return node.node_id


def test_a_training(ours, tmp_path: Path) -> None:
    from protray.cluster.train.fit import train

    nodes = cluster_nodes(joined=True)
    assert sorted((node.cpus, node.pool) for node in nodes) == [(0, ""), (3, "cpu"), (6, "gpu")]
    stage = make_plan([trainer("train", 2, None, nodes)], nodes)["train"]
    loop = faulty(note_node(tmp_path))
    train(loop, SETTINGS, name="run", storage=Location(tmp_path), stage=stage, on_report=Letters())
    assert {(tmp_path / f"rank-{rank}").read_text() for rank in range(2)} == {ours}


def test_a_sweep(ours, database, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(STUDY)
    forget()
    run = SweepRun(
        space=str(tmp_path / "study.py"), out=Location(tmp_path) / "out", repeats=0,
        mlflow=f"sqlite:///{database}", experiment=tmp_path.name,
    )  # fmt: skip
    run_sweep(parabola(), run)
    assert {path.name for path in (tmp_path / "out").glob("node-*")} == {f"node-{ours}"}
