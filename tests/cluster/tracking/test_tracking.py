"""The MLflow layer on a real SQLite store, without Ray."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from tracking_store import forget, points, spooled

from protray.cluster.tracking import store
from protray.cluster.tracking.store import connect, ui_command
from protray.cluster.tracking.tracker import Tracker
from protray.data.location import Location


def test_a_job_with_two_stages_is_a_tree(tracker: Tracker) -> None:
    job = tracker.start_run("job", "distil", tags={"seed": 7})
    stages = [tracker.start_run(name, name, parent=job) for name in ("teacher", "student")]
    for run_id in (*stages, job):
        tracker.finish(run_id)
    client = connect(tracker.uri)
    runs = [client.get_run(run_id) for run_id in stages]
    assert [run.data.tags["mlflow.parentRunId"] for run in runs] == [job, job]
    assert [run.info.run_name for run in runs] == ["teacher", "student"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert client.get_run(job).data.tags["seed"] == "7"


def test_the_same_key_is_the_same_run_in_one_folder_only(tracker: Tracker, tmp_path: Path) -> None:
    first = tracker.start_run("teacher", "teacher")
    tracker.finish(first, "FAILED")
    again = Tracker.open(tracker.uri, "test", Location(tmp_path) / "out")
    assert again.start_run("teacher", "teacher") == first
    assert connect(tracker.uri).get_run(first).info.status == "RUNNING"
    other = Tracker.open(tracker.uri, "test", Location(tmp_path) / "other")
    assert other.start_run("teacher", "teacher") != first


def test_params_are_flat_and_the_first_value_stays(tracker: Tracker, said: list[str]) -> None:
    run_id = tracker.start_run("a", "a", params={"lr": 0.01, "weights": {"alpha": 0.16, "deep": {"eta": 0.6}}})
    tracker.start_run("a", "a", params={"lr": 0.02, "epochs": 3})
    params = connect(tracker.uri).get_run(run_id).data.params
    assert params == {"lr": "0.01", "weights.alpha": "0.16", "weights.deep.eta": "0.6", "epochs": "3"}
    assert "run a has lr = 0.01 and is continued with 0.02" in "\n".join(said)


def test_more_params_than_one_request_takes(tracker: Tracker) -> None:
    run_id = tracker.start_run("many", "many", params={f"p{i}": i for i in range(250)})
    assert len(connect(tracker.uri).get_run(run_id).data.params) == 250


def test_no_secret_reaches_the_store(tracker: Tracker) -> None:
    address = "postgresql://me:hunter2@db/x"
    run_id = tracker.start_run(
        "s", "s", params={"data": address, "hf_token": "hunter2"}, tags={"auth_token": "hunter2"}
    )
    tracker.start_run("s", "s", tags={"store": address})
    data = connect(tracker.uri).get_run(run_id).data
    assert "hunter2" not in str(data.params) + str(data.tags)
    assert data.params["data"] == data.tags["store"] == "postgresql://***@db/x"


def test_no_step_twice_even_after_a_restart(tracker: Tracker) -> None:
    run_id = tracker.start_run("a", "a")
    for step, loss in enumerate([3.0, 2.0, 1.0]):
        tracker.log(run_id, {"train/loss": loss}, step)
    forget()
    for step, loss in enumerate([9.0, 0.5], start=2):  # restarted from the checkpoint after step 1
        tracker.log(run_id, {"train/loss": loss}, step)
        tracker.log(run_id, {"train/loss": 99.0}, step)
    tracker.log(run_id, {"validation/q3": 0.7}, 2)  # another metric at a step that is taken
    assert points(tracker, run_id, "train/loss") == [(0, 3.0), (1, 2.0), (2, 1.0), (3, 0.5)]
    assert points(tracker, run_id, "validation/q3") == [(2, 0.7)]


def test_nonfinite_values_are_counted_not_stored(tracker: Tracker) -> None:
    run_id = tracker.start_run("a", "a")
    tracker.log(run_id, {"loss": float("nan"), "norm": float("inf"), "q3": 0.5}, 4)
    assert points(tracker, run_id, "nonfinite") == [(4, 2.0)]
    assert points(tracker, run_id, "q3") == [(4, 0.5)]
    assert points(tracker, run_id, "loss") == points(tracker, run_id, "norm") == []


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns", "sqlite://", "sqlite:///:memory:"])
def test_stores_that_cannot_work_are_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="use sqlite:////absolute/path/mlflow.db"):
        Tracker.open(uri, "test", Location(tmp_path))


def test_the_environment_names_the_store_and_its_path_becomes_absolute(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(database.parent)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert Tracker.open(None, "test", Location(tmp_path)).uri == f"sqlite:///{database}"


CHILD = """
import os, pickle, sys
tracker, run_id = pickle.loads(bytes.fromhex(sys.argv[1]))
tracker.log(run_id, {"loss": 5.0}, 0)
tracker.log(run_id, {"loss": 4.0}, 1)
tracker.start_run("left", "left behind")
os._exit(1)
"""


def test_another_process_logs_and_what_it_left_running_is_reaped(tracker: Tracker) -> None:
    mine = tracker.start_run("a", "a")
    tracker.log(mine, {"loss": 5.5}, 0)
    handle = pickle.dumps((tracker, mine))
    assert len(handle) < 1000
    child = subprocess.run([sys.executable, "-c", CHILD, handle.hex()], check=False, env=os.environ)
    assert child.returncode == 1
    forget()
    assert points(tracker, mine, "loss") == [(0, 5.5), (1, 4.0)]
    (left,) = tracker.reap()
    client = connect(tracker.uri)
    assert client.get_run(left).info.status == "KILLED"
    assert client.get_run(left).info.run_name == "left behind"
    assert client.get_run(mine).info.status == "RUNNING"
    assert tracker.start_run("left", "left behind") == left


def test_artifacts_lie_beside_the_database(tracker: Tracker, database: Path, tmp_path: Path) -> None:
    run_id = tracker.start_run("a", "a")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    tracker.artifact(run_id, Location(folder), "model")
    assert [path.name for path in (database.parent / "mlartifacts").rglob(f"{run_id}/artifacts/model/*")] == [
        "config.json"
    ]
    tracker.artifact(run_id, Location(tmp_path) / "nowhere")  # a warning, not an error
    assert spooled(tracker) == []


def test_a_deleted_experiment_comes_back(tracker: Tracker, tmp_path: Path) -> None:
    client = connect(tracker.uri)
    gone = Tracker.open(tracker.uri, "deleted by hand", Location(tmp_path) / "out")
    client.delete_experiment(gone.experiment_id())
    store.experiment_id.cache_clear()
    run_id = Tracker.open(tracker.uri, "deleted by hand", Location(tmp_path) / "out").start_run("a", "a")
    assert client.get_run(run_id).info.experiment_id == gone.experiment_id()


def test_ui_command() -> None:
    command = ui_command("sqlite:////data/my runs/mlflow.db")
    assert f"{sys.executable} -m mlflow ui" in command
    assert "--host 127.0.0.1" in command
    assert "--backend-store-uri 'sqlite:////data/my runs/mlflow.db'" in command
    assert "--default-artifact-root file:///data/my%20runs/mlartifacts" in command
    assert ui_command("https://mlflow.lab") == f"{sys.executable} -m webbrowser https://mlflow.lab"
    assert "hunter2" not in ui_command("postgresql://u:hunter2@db/x")


def test_the_page_of_the_runs(tracker: Tracker) -> None:
    command, page = tracker.ui().splitlines()
    assert command == ui_command(tracker.uri)
    run = connect(tracker.uri).get_run(tracker.start_run("a", "a"))
    assert f"http://127.0.0.1:5000/#/experiments/{run.info.experiment_id}/runs" in page
