"""jobs/distil.py's pipeline on fourteen real chains with a tiny, random language model; its accuracies mean nothing."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny import tiny_networks, tiny_proteins
from tiny_model import save_tiny_lm

from protray.pipelines.secondary.distil_run import DistilRun

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[Path, Path]:
    """A prepared dataset and a language model."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "data" / "proteins").mkdir(parents=True)
    pq.write_table(tiny_proteins().table, folder / "data" / "proteins" / "part-0.parquet")
    (folder / "data" / "dataset.json").write_text(json.dumps({"digest": "tiny"}))
    return folder / "data", save_tiny_lm(folder / "lm")


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    import protray.training.secondary.stages

    monkeypatch.setattr(protray.training.secondary.stages, "SMALL", tiny_networks())


@pytest.fixture(scope="module")
def finished(ray_local, inputs, tmp_path_factory) -> Path:
    """The output folder of a run with one worker."""
    from protray.pipelines.secondary.distil import distil

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("protray.training.secondary.stages.SMALL", tiny_networks())
        folder = tmp_path_factory.mktemp("runs")
        patch.chdir(folder)  # a relative --out, as in the README: workers have another working directory
        distil(run_of(inputs, Path("one")))
    return folder / "one"


def run_of(inputs: tuple[Path, Path], out: Path, **settings: object) -> DistilRun:
    return DistilRun(data=inputs[0], lm=str(inputs[1]), out=out, lm_features="hidden", **settings)  # type: ignore[arg-type]


def test_writes_what_it_promises(finished) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    row = metrics["table"][0]
    assert {"by", "max", "n", "method", "q3", "ci95"} <= row.keys()
    methods = {row["method"] for row in metrics["table"]}
    assert {"protray", "Real", "Real (shallow only)", "Real + LM", "Bagging", "teacher"} <= methods
    predictions = pq.read_table(finished / "predictions.parquet")
    assert predictions.num_rows == 3  # the test split
    for row in predictions.to_pylist():
        assert len(row["ss3"]) == len(row["sequence"]) == len(row["prob"]) // 3 == len(row["pssm_enhanced"]) // 20
    assert "<html" in (finished / "report.html").read_text()
    assert {path.name for path in (finished / "model").iterdir()} == {
        "config.json", "enhancer.safetensors", "student.safetensors", "teacher.safetensors",
    }  # fmt: skip


def test_tracks_parent_and_stages(finished) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}")
    [experiment] = [found for found in client.search_experiments() if found.name == "protray-distil"]
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert len(parents) == 1
    assert {run.data.tags["stage"] for run in children} >= {"teacher", "protray", "Real", "Bagging"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    for child in children:
        steps = [point.step for point in client.get_metric_history(child.info.run_id, "train/loss")]
        assert steps == [1, 2]
    assert {file.path for file in client.list_artifacts(parents[0].info.run_id)} >= {"report.html", "model"}


def test_second_run_computes_nothing(finished, inputs, monkeypatch) -> None:
    from protray.pipelines.secondary import distil as module

    monkeypatch.setattr(module, "start_ray", lambda: pytest.fail("Ray was started"))
    again = module.distil(run_of(inputs, finished))
    assert again == json.loads((finished / "metrics.json").read_text())


def test_other_settings_in_the_same_folder_are_refused(finished, inputs) -> None:
    from protray.pipelines.secondary.distil import distil

    with pytest.raises(ValueError, match="seed = 0, now seed = 1"):
        distil(run_of(inputs, finished, seed=1))


def test_two_workers_and_a_crash_give_the_same_table(finished, inputs, tmp_path, monkeypatch) -> None:
    """The driver dies when the second stage begins; the same command then ends with the numbers of the other run."""
    from protray.pipelines.secondary import distil as module

    run = run_of(inputs, tmp_path / "two", workers=2)
    with monkeypatch.context() as patch:
        patch.setattr(module.StageBars, "__call__", lambda *_: None)
        patch.setattr(module, "train", interrupted(module.train))
        with pytest.raises(KeyboardInterrupt):
            module.distil(run)
    assert not (run.out / "metrics.json").exists()
    found = module.distil(run)
    expected = json.loads((finished / "metrics.json").read_text())
    for one, two in zip(expected["table"], found["table"], strict=True):
        assert (one["method"], one["by"], one["max"], one["n"]) == (two["method"], two["by"], two["max"], two["n"])
        assert one["q3"] == two["q3"] if one["q3"] is None else two["q3"] == pytest.approx(one["q3"], abs=1e-6)
    one, two = (pq.read_table(out / "predictions.parquet").to_pylist() for out in (finished, run.out))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a["prob"], b["prob"], atol=1e-4)


def interrupted(train):  # noqa: ANN001, ANN201
    """`train` that stops as a killed driver does, once the first stage is finished."""

    def stop(loop, config, **settings):  # noqa: ANN001, ANN003, ANN202
        first = config["stages"][0]
        train(loop, config | {"stages": [first]}, **settings | {"name": "cut"})
        raise KeyboardInterrupt

    return stop
