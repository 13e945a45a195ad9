"""What the MLflow layer does while its store fails: spool, warn once, go on, replay once."""

import json
import time
from pathlib import Path

import pytest
from tracking_store import failing, forget, points, spooled

from protray.cluster.tracking import spool
from protray.cluster.tracking import tracker as tracking
from protray.cluster.tracking.entries import SPOOLED
from protray.cluster.tracking.store import connect
from protray.cluster.tracking.tracker import Tracker
from protray.data.location import Location


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


def test_a_run_that_could_not_be_created_is_replayed_whole(tracker: Tracker, database: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure.svg"
    figure.write_text("<svg/>")
    with failing(database, "runs"):
        job = tracker.start_run("job", "distil")
        stage = tracker.start_run("stage", "teacher", parent=job, params={"lr": 0.1})
        tracker.log(stage, {"loss": 1.0}, 0)
        tracker.artifact(stage, Location(figure), "figures")
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
    tracker = Tracker.open(uri, "test", Location(tmp_path))
    run_id = tracker.start_run("a", "a")
    tracker.log(run_id, {"loss": 1.0}, 0)
    tracker.finish(run_id)
    assert tracker.reap() == []
    assert tracker.replay() == 0
    assert [entry["op"] for entry in spooled(tracker)] == ["start", "log", "finish"]
    assert "\n".join(said).count("the job goes on") == 1
    assert "hunter2" not in "\n".join(said)


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
