"""jobs/tune.py with a job that trains nothing, so that all time is Ray's: failures, restarts, MLflow."""

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import parabola as module
import pytest
from mlflow import MlflowClient
from parabola import STEPS, STUDY, Settings, parabola, value
from ray import cloudpickle
from tracking_store import forget

from protray.cluster.tuning import sweep
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.space import replaced
from protray.cluster.tuning.sweep import run_sweep
from protray.data.location import Location

pytestmark = pytest.mark.ray
cloudpickle.register_pickle_by_value(module)  # Ray's workers cannot import from the tests


@pytest.fixture(scope="module")
def finished(ray_local, database, tmp_path_factory) -> Path:
    """A sweep of four points, one of which takes its process down once, and one of which is never finite."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "study.py").write_text(STUDY)
    forget()
    metrics = run_sweep(parabola(crash=1.0, not_finite=3.0), run_of(folder, database))
    assert metrics == json.loads((folder / "out" / "metrics.json").read_text())
    return folder


def run_of(folder: Path, database: Path) -> SweepRun:
    return SweepRun(
        space=str(folder / "study.py"), out=Location(folder) / "out", repeats=2, max_concurrent=2,
        mlflow=f"sqlite:///{database}", experiment=folder.name,
    )  # fmt: skip


def trained(folder: Path) -> list[str]:
    """x, seed and first epoch of every training that was begun."""
    return sorted((folder / "out" / "trained.txt").read_text().splitlines())


def runs_of(folder: Path, database: Path) -> dict:
    """MLflow runs by name."""
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name(folder.name)
    assert experiment is not None
    return {run.data.tags["mlflow.runName"]: run for run in client.search_runs([experiment.experiment_id])}


def check_steps(folder: Path, database: Path) -> None:
    """Every run that finished has every step once."""
    client = MlflowClient(f"sqlite:///{database}")
    for name, run in runs_of(folder, database).items():
        if name not in ("sweep study", "x=3"):
            points = client.get_metric_history(run.info.run_id, "validation/q3")
            assert sorted(point.step for point in points) == [1, 2, 3], name


def test_goes_on_after_a_crash_and_a_loss_that_is_not_finite(finished) -> None:
    metrics = json.loads((finished / "out" / "metrics.json").read_text())
    scores = {row["point"]["x"]: row["score"] for row in metrics["table"]}
    assert scores == {x: pytest.approx(value(replaced(Settings(), {"x": x}), STEPS)) for x in (0.0, 1.0, 2.0)}
    assert [row["point"]["x"] for row in metrics["table"]] == [2.0, 1.0, 0.0]
    assert [row["paper"] for row in metrics["table"]] == [False, False, True]
    [failed] = metrics["not_finished"]
    assert (failed["name"], failed["status"]) == ("x=3", "failed") and "loss is nan in epoch 1" in failed["reason"]
    # the crash cost no epoch that was done; a loss that is not finite would be so again, and is not tried again
    first_seed = [line for line in trained(finished) if line.split()[1] == "0"]
    assert first_seed == ["0.0 0 0", "1.0 0 0", "1.0 0 2", "2.0 0 0", "3.0 0 0"]


def test_best_points_get_fresh_seeds(finished) -> None:
    metrics = json.loads((finished / "out" / "metrics.json").read_text())
    assert {row["name"] for row in metrics["repeats"]} == {"paper: x=0", "x=1", "x=2"}
    assert all(len(row["scores"]) == 2 for row in metrics["repeats"])
    assert metrics["repeats"][0]["better"] and "is better than the paper's" in metrics["conclusion"]
    assert "<html" in (finished / "out" / "report.html").read_text()


def test_mlflow_holds_parent_trials_and_champion(finished, database) -> None:
    runs = runs_of(finished, database)
    status = {name: run.info.status for name, run in runs.items() if "seed" not in name}
    assert status == dict.fromkeys(("sweep study", "paper: x=0", "x=1", "x=2"), "FINISHED") | {"x=3": "FAILED"}
    check_steps(finished, database)
    parent = runs.pop("sweep study").info.run_id
    assert all(run.data.tags["mlflow.parentRunId"] == parent for run in runs.values())
    assert runs["paper: x=0"].data.tags["paper"] == "true"
    assert runs["x=2"].data.params["x"] == "2.0"
    client = MlflowClient(f"sqlite:///{database}")
    version = client.get_model_version_by_alias("protray-distil", "champion")
    assert version.run_id == runs["x=2"].info.run_id
    assert (finished / "out" / "model" / "x.txt").read_text() == "2.0"
    page = unquote(json.loads((finished / "out" / "metrics.json").read_text())["mlflow_ui"])
    assert "#/compare-runs?runs=[" in page and all(
        (run.info.run_id in page) == ("seed" not in name) for name, run in runs.items()
    )


def test_the_same_command_again_starts_nothing(finished, database, monkeypatch) -> None:
    monkeypatch.setattr(sweep, "start_ray", lambda: pytest.fail("Ray was started"))
    again = run_sweep(parabola(), run_of(finished, database))
    assert again == json.loads((finished / "out" / "metrics.json").read_text())


def test_another_sweep_in_the_same_folder_is_refused(finished, database) -> None:
    with pytest.raises(ValueError, match="seed was 0, is 1"):
        run_sweep(parabola(), replace(run_of(finished, database), seed=1))


def test_restart_trains_only_what_is_missing(finished, database) -> None:
    """As after SIGKILL: a trial has no record yet, and its run still says RUNNING."""
    out = finished / "out"
    records = {path: json.loads(path.read_text()) for path in (out / "trials").glob("*/trial.json")}
    [lost] = [path for path, record in records.items() if record["name"] == "x=2"]
    lost.unlink()
    (out / "metrics.json").unlink()
    client = MlflowClient(f"sqlite:///{database}")
    client.update_run(runs_of(finished, database)["x=2"].info.run_id, status="RUNNING")
    before, names = trained(finished), set(runs_of(finished, database))
    metrics = run_sweep(parabola(), run_of(finished, database))
    assert trained(finished) == sorted([*before, "2.0 0 0"])
    assert len(metrics["table"]) == 3 and metrics["complete"]
    runs = runs_of(finished, database)
    assert set(runs) == names
    assert {run.info.status for name, run in runs.items() if name != "x=3"} == {"FINISHED"}
    check_steps(finished, database)
