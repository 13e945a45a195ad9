"""The MLflow layer on a real SQLite store, without Ray.  A store is made to fail by a trigger in its own database."""

import json
import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protray.cluster import run_info, spool, store, tracking
from protray.cluster.store import connect, ui_command
from protray.cluster.tracking import SPOOLED, Tracker


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the module: MLflow takes some seconds to create one."""
    return tmp_path_factory.mktemp("my store") / "mlflow.db"  # a space on purpose


@pytest.fixture
def tracker(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """A fresh output folder on the module's store; the state of the process as if it had just begun."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    forget()
    return Tracker.open(f"sqlite:///{database}", "test", tmp_path / "out")


def forget() -> None:
    """Forget what this process knows, as a new process would."""
    tracking._warned.clear()
    tracking._resume_at.clear()
    tracking._logged_steps.cache_clear()
    tracking._run_id_of.cache_clear()


@contextmanager
def failing(database: Path, table: str) -> Iterator[None]:
    """Let the database refuse every new row of `table`."""

    def execute(statement: str) -> None:
        connection = sqlite3.connect(database)
        with connection:
            connection.execute(statement)
        connection.close()

    execute(f"CREATE TRIGGER outage BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    try:
        yield
    finally:
        execute("DROP TRIGGER outage")


def points(tracker: Tracker, run_id: str, metric: str) -> list[tuple[int, float]]:
    history = connect(tracker.uri).get_metric_history(run_id, metric)
    return sorted((point.step, point.value) for point in history)


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
    again = Tracker.open(tracker.uri, "test", tmp_path / "out")
    assert again.start_run("teacher", "teacher") == first
    assert connect(tracker.uri).get_run(first).info.status == "RUNNING"
    other = Tracker.open(tracker.uri, "test", tmp_path / "other")
    assert other.start_run("teacher", "teacher") != first


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What our tracking logs; kept by a handler of its own, as MLflow and Ray rearrange those of the root logger."""
    messages: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler, logger = Keep(), logging.getLogger("protray.cluster.tracking")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def test_params_are_flat_and_the_first_value_stays(tracker: Tracker, said: list[str]) -> None:
    run_id = tracker.start_run("a", "a", params={"lr": 0.01, "weights": {"alpha": 0.16, "deep": {"eta": 0.6}}})
    tracker.start_run("a", "a", params={"lr": 0.02, "epochs": 3})
    params = connect(tracker.uri).get_run(run_id).data.params
    assert params == {"lr": "0.01", "weights.alpha": "0.16", "weights.deep.eta": "0.6", "epochs": "3"}
    assert "run a has lr = 0.01 and is continued with 0.02" in "\n".join(said)


def test_more_params_than_one_request_takes(tracker: Tracker) -> None:
    run_id = tracker.start_run("many", "many", params={f"p{i}": i for i in range(250)})
    assert len(connect(tracker.uri).get_run(run_id).data.params) == 250


def test_long_values_are_cut_and_stay_distinct() -> None:
    first, second = ({"ids": "P" * 600 + end} for end in ("A", "B"))
    cut = run_info.flatten(first)["ids"]
    assert len(cut) == 500
    assert "[cut: 601 characters, sha256 " in cut
    assert cut != run_info.flatten(second)["ids"]
    assert run_info.flatten({"ids": "P" * 500})["ids"] == "P" * 500


@pytest.mark.parametrize("name", ["hf_token", "HF_TOKEN", "api_key", "apiKey", "db.password", "aws_secret_access_key"])
def test_secrets_are_withheld(name: str) -> None:
    assert run_info.flatten({"nested": {name: "hunter2"}}) == {f"nested.{name}": "(withheld)"}


@pytest.mark.parametrize("name", ["token_budget", "max_tokens", "tokenizer", "key", "author"])
def test_ordinary_names_are_not_secrets(name: str) -> None:
    assert run_info.flatten({name: 5}) == {name: "5"}


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


def test_an_outage_is_spooled_warned_of_once_and_replayed_once(
    tracker: Tracker, database: Path, said: list[str]
) -> None:
    run_id = tracker.start_run("a", "a")
    tracker.log(run_id, {"loss": 3.0}, 0)
    with failing(database, "metrics"):
        for step in (1, 2):
            tracking._resume_at.clear()
            tracker.log(run_id, {"loss": 3.0 - step}, step)
    tracking._resume_at.clear()
    tracker.log(run_id, {"loss": 0.0}, 3)
    forget()
    tracker.log(run_id, {"loss": 7.0}, 2)  # a restart repeats step 2 before the replay: this value is the first
    assert "\n".join(said).count("the job goes on") == 1
    assert len(spooled(tracker)) == 2
    assert tracker.replay() == 2
    assert tracker.replay() == 0
    assert points(tracker, run_id, "loss") == [(0, 3.0), (1, 2.0), (2, 7.0), (3, 0.0)]
    assert spooled(tracker) == []


def spooled(tracker: Tracker) -> list[dict]:
    path = tracker.out / "mlflow_spool.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def test_a_run_that_could_not_be_created_is_replayed_whole(tracker: Tracker, database: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure.svg"
    figure.write_text("<svg/>")
    with failing(database, "runs"):
        job = tracker.start_run("job", "distil")
        stage = tracker.start_run("stage", "teacher", parent=job, params={"lr": 0.1})
        tracker.log(stage, {"loss": 1.0}, 0)
        tracker.artifact(stage, figure, "figures")
        tracker.finish(stage)
    assert (job, stage) == (SPOOLED + "job", SPOOLED + "stage")
    assert tracker.replay() == 5
    tracker.log(stage, {"loss": 0.5}, 1)  # the old handle goes on working
    client = connect(tracker.uri)
    real_job, real_stage = (tracker.start_run(key, key) for key in ("job", "stage"))
    assert client.get_run(real_stage).data.tags["mlflow.parentRunId"] == real_job
    assert client.get_run(real_stage).data.params == {"lr": "0.1"}
    assert points(tracker, real_stage, "loss") == [(0, 1.0), (1, 0.5)]
    assert [file.path for file in client.list_artifacts(real_stage, "figures")] == ["figures/figure.svg"]


def test_one_bad_entry_does_not_hold_up_the_others(tracker: Tracker) -> None:
    run_id = tracker.start_run("a", "a")
    spool.append(tracker._spool, {"op": "log", "run_id": "0" * 32, "metrics": {"x": 1.0}, "step": 0, "time": 0})
    spool.append(tracker._spool, {"op": "log", "run_id": run_id, "metrics": {"x": 2.0}, "step": 0, "time": 0})
    assert tracker.replay() == 1
    assert points(tracker, run_id, "x") == [(0, 2.0)]
    assert [entry["run_id"] for entry in spooled(tracker)] == ["0" * 32]


def test_a_kill_in_the_middle_of_writing_or_draining_loses_one_entry_at_most(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    path.with_suffix(".replaying").write_text('{"n": 1}\n')  # a drain that was killed
    path.write_text('{"n": 2}\n{"n": ')  # an append that was killed
    spool.append(path, {"n": 4})
    seen = []
    assert spool.drain(path, lambda entry: seen.append(entry["n"]) is None) == (3, 0)
    assert seen == [1, 2, 4]
    assert not path.exists()
    assert not path.with_suffix(".replaying").exists()


def test_entries_that_come_during_a_drain_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    spool.append(path, {"n": 1})

    def refuse(entry: spool.Entry) -> bool:
        spool.append(path, {"n": 2})
        return False

    assert spool.drain(path, refuse) == (0, 1)
    assert [json.loads(line)["n"] for line in path.read_text().splitlines() if line] == [1, 2]


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "sqlite:////proc/no/such/folder/mlflow.db", "postgresql://u:hunter2@127.0.0.1:9/x"]
)
def test_a_store_that_was_never_there_stops_nothing(uri: str, tmp_path: Path, said: list[str]) -> None:
    forget()
    tracker = Tracker.open(uri, "test", tmp_path)
    run_id = tracker.start_run("a", "a")
    tracker.log(run_id, {"loss": 1.0}, 0)
    tracker.finish(run_id)
    assert tracker.reap() == []
    assert tracker.replay() == 0
    assert [entry["op"] for entry in spooled(tracker)] == ["start", "log", "finish"]
    assert "\n".join(said).count("the job goes on") == 1
    assert "hunter2" not in "\n".join(said)


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns", "sqlite://", "sqlite:///:memory:"])
def test_stores_that_cannot_work_are_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="use sqlite:////absolute/path/mlflow.db"):
        Tracker.open(uri, "test", tmp_path)


def test_the_environment_names_the_store_and_its_path_becomes_absolute(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(database.parent)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert Tracker.open(None, "test", tmp_path).uri == f"sqlite:///{database}"


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
    tracker.artifact(run_id, folder, "model")
    assert [path.name for path in (database.parent / "mlartifacts").rglob(f"{run_id}/artifacts/model/*")] == [
        "config.json"
    ]
    tracker.artifact(run_id, tmp_path / "nowhere")  # a warning, not an error
    assert spooled(tracker) == []


def test_a_deleted_experiment_comes_back(tracker: Tracker, tmp_path: Path) -> None:
    client = connect(tracker.uri)
    gone = Tracker.open(tracker.uri, "deleted by hand", tmp_path / "out")
    client.delete_experiment(gone._experiment_id())
    store.experiment_id.cache_clear()
    run_id = Tracker.open(tracker.uri, "deleted by hand", tmp_path / "out").start_run("a", "a")
    assert client.get_run(run_id).info.experiment_id == gone._experiment_id()


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


def test_common_tags_and_the_commit(tmp_path: Path) -> None:
    tags = run_info.common_tags(seed=3, data_digest="abc", world_size=2)
    assert (tags["seed"], tags["data_digest"], tags["world_size"]) == ("3", "abc", "2")
    assert {"version.protray", "version.torch", "version.ray", "version.transformers"} <= tags.keys()
    assert run_info.git_commit(tmp_path) is None  # outside a checkout


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", *identity, "-C", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    source = tmp_path / "run_info.py"
    source.write_text("1")
    git("init")
    assert run_info.git_commit(tmp_path) is None  # there, but not tracked
    git("add", ".")
    git("commit", "-m", "first")
    assert run_info.git_commit(tmp_path) == git("rev-parse", "HEAD")
    source.write_text("2")
    assert run_info.git_commit(tmp_path) == git("rev-parse", "HEAD") + "-dirty"


def test_many_steps_are_written_in_order_of_time(tracker: Tracker) -> None:
    """A spooled entry keeps the time at which it happened."""
    run_id = tracker.start_run("a", "a")
    before = int(time.time() * 1000)
    with failing(Path(tracker.uri.removeprefix("sqlite:///")), "metrics"):
        tracker.log(run_id, {"loss": 1.0}, 0)
    after = int(time.time() * 1000)
    tracker.replay()
    (point,) = connect(tracker.uri).get_metric_history(run_id, "loss")
    assert before <= point.timestamp <= after
