"""jobs/distil.py's pipeline on fourteen real chains with a tiny, random language model; its accuracies mean nothing."""

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from distil_here import run_of
from reuse import begin_with
from tiny import other_chains, tiny_networks, tiny_proteins
from train_here import train_here

from protray.cluster.train import driver
from protray.data.location import Location
from protray.losses.weights import TUNED
from protray.pipelines.language_model import prob_maps
from protray.pipelines.language_model.made_with import MadeWith
from protray.pipelines.secondary import distil
from protray.pipelines.secondary.distil import JOB, DistilRun
from protray.plm.reading import Reading

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory) -> Location:
    """The output folder of a run with one worker."""
    out = Location(tmp_path_factory.mktemp("runs")) / "one"
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        patch.setattr("protray.training.secondary.stages.SMALL", tiny_networks())
        driver.run_training(JOB, run_of(inputs, out))
    return out


# ---- a run


def test_writes_what_it_promises(finished) -> None:
    metrics = (finished / "metrics.json").read_json()
    row = metrics["table"][0]
    assert {"by", "max", "n", "method", "q3", "ci95"} <= row.keys()
    methods = {row["method"] for row in metrics["table"]}
    real = {"Real", "Real + down-sampling", "Real (shallow only)", "Real + LM"}
    assert {"protray", "Bagging", "teacher"} | real <= methods
    predictions = pq.read_table(finished / "predictions.parquet")
    assert predictions.num_rows == 3  # the test split
    for row in predictions.to_pylist():
        assert len(row["ss3"]) == len(row["sequence"]) == len(row["prob"]) // 3 == len(row["pssm_enhanced"]) // 20
    report = (finished / "report.html").read_bytes().decode()
    assert "<html" in report and "float32, 16 passes for a protein" in report
    assert {path.name for path in (finished / "model").files()} == {
        "config.json", "enhancer.safetensors", "student.safetensors", "teacher.safetensors",
    }  # fmt: skip
    card = (finished / "model" / "config.json").read_json()
    assert Reading(**card["reading"]) == Reading(passes=16)


def test_the_model_reads_maps_as_it_was_trained_on_them(finished) -> None:
    """Predicted from the bare alignments, a test protein comes out as in the predictions of the run."""
    from protray.inference.secondary.predict import Predictor, Query

    proteins = distil.read_inputs(distil.folder_of(run := run_like(finished), distil.maps_of(run)))
    row = proteins.of_split("test")[0]
    [found] = Predictor.open((finished / "model").path).predict([Query(proteins.ids[row], proteins.msa(row))])
    written = {each["id"]: each for each in pq.read_table(finished / "predictions.parquet").to_pylist()}[found.id]
    np.testing.assert_allclose(found.prob_L3.ravel(), written["prob"], atol=1e-4)


def run_like(out: Location) -> DistilRun:
    """The settings of `finished`, read back from where its model says that it came from."""
    lm = (out / "model" / "config.json").read_json()["lm"]
    return run_of((Location(lm).parent / "data", lm), out)


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
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    assert driver.run_training(JOB, run_of(inputs, finished)) == (finished / "metrics.json").read_json()


def test_a_plan_takes_off_what_is_there(finished, inputs) -> None:
    """14 proteins, of which 7 train in batches of 3: 3 steps an epoch, 2 epochs; 4 of them are deep, 3 shallow."""
    run = replace(run_of(inputs, finished), ablate=("mse",))
    found = {stage.name: stage for stage in distil.stages(run, None)}
    assert {name: (stage.of, stage.of - stage.done) for name, stage in found.items()} == {
        "teacher": (4, 0), "protray": (6, 0), "Real": (6, 0), "Real + down-sampling": (6, 0),
        "Real (shallow only)": (2, 0), "Real + LM": (6, 0), "Bagging enhancer": (4, 0), "Bagging": (6, 0),
        "w/o MSE": (6, 6),
    }  # fmt: skip
    assert found["Real"].alike == found["teacher"].alike == found["Real (shallow only)"].alike
    assert len({stage.alike for stage in found.values()}) == 7
    assert distil.before(run, None) == []  # type: ignore[arg-type]


def test_a_trial_ends_before_it_writes(finished, inputs, tmp_path) -> None:
    from protray.cluster.health.estimate import Process
    from protray.cluster.train.measure import time_loop

    run = run_of(inputs, Location(tmp_path) / "out")
    stages = {stage.name: stage for stage in distil.stages(run, None)}
    for name in ("teacher", "protray", "Real + LM", "Bagging enhancer", "Bagging"):
        timed = time_loop(Process(seconds=0.02), distil.loop, distil.trial(run, stages[name]))
        assert timed.work > 0 and timed.seconds > 0
    assert not run.out.exists()


def test_other_weights_train_what_they_enter_and_no_more(finished, inputs, tmp_path, monkeypatch) -> None:
    """Maps, teacher and rivals stay as they are; tables, model and report are made anew, and so on the way back."""
    train_here(monkeypatch)
    out = Location(shutil.copytree(finished, tmp_path / "out"))
    before = {path: path.stamp() for path in (out / "cache").files()}
    trained: list[str] = []
    train_stages = driver.train_stages

    def heard(job, run, inputs, context):  # noqa: ANN001, ANN202
        trained.extend(stage.name for stage in job.stages(run, inputs) if stage.done < stage.of)
        return train_stages(job, run, inputs, context)

    monkeypatch.setattr(driver, "train_stages", heard)
    monkeypatch.setattr("protray.cluster.batch.driver.run_batch", lambda *_: pytest.fail("maps were computed again"))
    run = run_of(inputs, out, weights=replace(TUNED, alpha=0.5), mlflow=f"sqlite:///{tmp_path / 'other.db'}")
    metrics = driver.run_training(JOB, run)
    assert trained == ["protray"]
    assert {path: path.stamp() for path in before} == before
    assert json.loads(metrics["facts"]["weights"])["alpha"] == 0.5
    first = (finished / "metrics.json").read_json()
    assert rows(metrics, "Real") == rows(first, "Real")
    trained.clear()
    again = driver.run_training(JOB, replace(run, weights=TUNED))
    assert trained == [] and rows(again, "protray") == rows(first, "protray")


def rows(metrics: dict, method: str) -> list[dict]:
    return [row for row in metrics["table"] if row["method"] == method]


@pytest.mark.ray
def test_two_workers_and_a_crash_give_the_same_table(finished, ray_local, inputs, tmp_path, monkeypatch) -> None:
    """The driver dies when the second stage begins; the same command then ends with the numbers of the other run."""
    from protray.cluster.train import fit

    out = begin_with(finished, Location(tmp_path) / "two", "run.json", "cache/maps-*")
    run, train = run_of(inputs, out, workers=2), fit.train

    def interrupted(loop, config, **settings: Any) -> None:  # noqa: ANN001
        settings["name"] = "cut"
        train(loop, config | {"stages": config["stages"][:1]}, **settings)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            driver.run_training(JOB, run)
    assert not (run.out / "metrics.json").exists()
    found = driver.run_training(JOB, run)
    expected = (finished / "metrics.json").read_json()
    assert found["facts"]["workers of the trainings"] == "2"
    for one, two in zip(expected["table"], found["table"], strict=True):
        assert (one["method"], one["by"], one["max"], one["n"]) == (two["method"], two["by"], two["max"], two["n"])
        assert one["q3"] == two["q3"] if one["q3"] is None else two["q3"] == pytest.approx(one["q3"], abs=1e-6)
    one, two = (pq.read_table(out / "predictions.parquet").to_pylist() for out in (finished, run.out))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a["prob"], b["prob"], atol=1e-4)


# ---- maps that are there


def test_unlabelled_families_and_no_language_model(finished, inputs, tmp_path, monkeypatch) -> None:
    """Nothing is asked of a language model, here and in the predictions; four families are learnt from the teacher."""
    from protray.inference.secondary.predict import Predictor, Query
    from protray.plm import masked

    train_here(monkeypatch)
    monkeypatch.setattr("protray.cluster.batch.driver.run_batch", lambda *_: pytest.fail("maps were computed"))
    monkeypatch.setattr(masked, "load", lambda *_: pytest.fail("a language model was loaded"))
    families = Location(tmp_path) / "families"
    table = other_chains(4)
    with (families / "proteins" / "part-0.parquet").writing() as partial:
        pq.write_table(table, partial)
    (families / "dataset.json").write_json({"digest": "families"})
    run = DistilRun(data=inputs[0], unlabelled=families, lm="none", rivals="plain", out=Location(tmp_path) / "out")
    planned = {stage.name: stage.of for stage in distil.stages(run, None)}
    assert planned == {"teacher": 4, "protray": 8, "Real": 6}  # protray learns from 11 proteins in batches of 3
    metrics = driver.run_training(JOB, run)
    assert metrics["facts"]["without labels"] == f"4 deep training proteins, of {families}"
    assert metrics["facts"]["probability maps"] == "none"
    proteins = distil.prepare_inputs(run).proteins
    assert proteins.maps is None and len(proteins) == 14 + 4
    row = proteins.of_split("test")[0]
    [found] = Predictor.open((run.out / "model").path).predict([Query(proteins.ids[row], proteins.msa(row))])
    written = {each["id"]: each for each in pq.read_table(run.out / "predictions.parquet").to_pylist()}[found.id]
    np.testing.assert_allclose(found.prob_L3.ravel(), written["prob"], atol=1e-4)
    assert len(pq.read_table(run.out / "predictions.parquet")) == 3
    alone = {name: folder.name for name, folder in folders(replace(run, unlabelled=None)).items()}
    together = {name: folder.name for name, folder in folders(run).items()}
    assert {name for name in alone if alone[name] != together[name]} == {"protray"}


def folders(run: DistilRun) -> dict[str, Location]:
    return distil.folders_of(run, distil.stages_of(run), distil.maps_of(run))


def test_maps_of_unlabelled_families_are_computed_beside_those_that_are_given(finished, inputs, tmp_path) -> None:
    maps = next(Location(path.parent) for path in (finished / "cache").path.glob("maps-*/summary.json"))
    (families := Location(tmp_path) / "families").path.mkdir()
    (families / "dataset.json").write_json({"digest": "families"})
    run = run_of(inputs, Location(tmp_path) / "out", unlabelled=families)
    made = distil.maps_of(run)
    assert [one.data for one in distil.maps_runs(run, made)] == [inputs[0], families]
    given = replace(run, maps=maps, lm=DistilRun().lm)
    [own] = distil.maps_runs(given, distil.maps_of(given))
    assert (own.data, own.reading, own.hidden) == (families, Reading(passes=16), True)
    assert own.lm == made.lm != given.lm  # the model of the maps, and not the default


def test_maps_that_are_there_are_read(finished, inputs, tmp_path, monkeypatch) -> None:
    """Made by jobs/prob_maps.py with a hidden state; no language model is opened, and none need be there."""
    maps = next(Location(path.parent) for path in (finished / "cache").path.glob("maps-*/summary.json"))
    made = MadeWith.of(maps)
    assert made == distil.maps_of(run_of(inputs, finished))
    monkeypatch.setattr("protray.cluster.batch.driver.run_batch", lambda *_: pytest.fail("maps were computed"))
    run = DistilRun(data=inputs[0], maps=maps, out=Location(tmp_path) / "out", lm_features="hidden")
    assert distil.identity(run) == distil.identity(run_of(inputs, finished))
    assert distil.hidden_width(run) == distil.hidden_width(run_of(inputs, finished)) == 16
    found = distil.prepare_inputs(run)
    own = distil.read_inputs(distil.folder_of(run_like(finished), made))
    assert found.proteins.maps == own.maps and found.proteins.table == own.table
    bare = distil.prepare_inputs(replace(run, lm_features="none"))
    assert bare.folder != found.folder and bare.proteins.maps["lm_hidden"].null_count == 14  # type: ignore[index]


def test_proteins_without_a_map_are_left_out_and_named(ray_local, inputs, tmp_path) -> None:
    """Of fourteen maps one is missing, a training protein's."""
    import pyarrow as pa

    from protray.cluster.storage.rejects import rejected_table
    from protray.seq.errors import InputError

    proteins, maps = tiny_proteins(), Location(tmp_path) / "maps"
    lost = proteins.ids[proteins.of_split("train")[0]]
    kept = proteins.maps.filter(pa.array([name != lost for name in proteins.ids]))  # type: ignore[union-attr]
    for name, table in (
        ("maps/part-0.parquet", kept),
        ("rejected.parquet", rejected_table([InputError("f", 3, "too long", lost)])),
    ):
        with (maps / name).writing() as partial:
            pq.write_table(table, partial)
    identity = prob_maps.identity(prob_maps.ProbMaps(data=inputs[0], lm=inputs[1], out=maps, hidden=True))
    (maps / "summary.json").write_json({"identity": identity, "n_again": 0})
    run = DistilRun(data=inputs[0], maps=maps, out=Location(tmp_path) / "out", lm_features="hidden")
    found = distil.prepare_inputs(run)
    assert found.left_out == {"n_rejected": 1, "reasons": {"too long": 1}}
    assert found.proteins.ids == [name for name in proteins.ids if name != lost]
    assert pq.read_table(run.out / "rejected.parquet")["id"].to_pylist() == [lost]
