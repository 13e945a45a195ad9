"""A sweep on two nodes, one of which is killed while it trains.  Run with `pytest -m cluster`."""

import sys
import threading
import time
from pathlib import Path

import parabola as module
import pytest
from mlflow import MlflowClient
from parabola import STUDY, parabola
from ray import cloudpickle
from tracking_store import forget

from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.sweep import run_sweep
from protray.data.location import Location

pytestmark = pytest.mark.cluster
cloudpickle.register_pickle_by_value(module)  # Ray's workers cannot import from the tests


def test_the_trial_of_a_lost_node_goes_on_elsewhere(nodes, database, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(STUDY)
    nodes.add_node(num_cpus=1)
    doomed = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    forget()
    run = SweepRun(
        space=str(tmp_path / "study.py"), out=Location(tmp_path) / "out", repeats=0, max_concurrent=2,
        mlflow=f"sqlite:///{database}", experiment=tmp_path.name,
    )  # fmt: skip
    killed: list[float] = []

    def kill() -> None:
        """Once two trials train, one on each node, and each has an epoch behind it."""
        log = tmp_path / "out" / "trained.txt"
        while not log.is_file() or len(log.read_text().splitlines()) < 2:
            time.sleep(0.05)
        time.sleep(2.2)
        killed.append(time.monotonic())
        nodes.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    metrics = run_sweep(parabola(pause=1.5), run)
    assert killed, "the sweep had ended before the node could be killed"
    assert {row["point"]["x"] for row in metrics["table"]} == {0.0, 1.0, 2.0, 3.0}
    assert not metrics["not_finished"]
    begun = [line.split() for line in (tmp_path / "out" / "trained.txt").read_text().splitlines()]
    again = [line for line in begun if line[2] != "0"]
    assert len(begun) == 5 and len(again) == 1  # one trial twice: the second time from its last epoch
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name(tmp_path.name)
    assert experiment is not None
    for trial in client.search_runs([experiment.experiment_id]):
        assert trial.info.status == "FINISHED"
        if "x=" in trial.data.tags["mlflow.runName"]:
            steps = [point.step for point in client.get_metric_history(trial.info.run_id, "validation/q3")]
            assert sorted(steps) == [1, 2, 3]
    print(f"ended {time.monotonic() - killed[0]:.0f} s after the node was killed", file=sys.stderr)
