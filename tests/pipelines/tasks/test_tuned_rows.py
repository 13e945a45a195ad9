"""Encoders that are trained on, in jobs/function.py and jobs/stability.py; jobs/annotate.py with what they leave."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_here import plan_here, use_no_ray
from joint_encoders import save_random_joint
from safetensors.torch import load_file
from score_nets import save_random_net
from tiny_model import save_tiny_lm
from train_here import train_here

from protray.cluster.train import driver
from protray.cluster.train.measure import estimate
from protray.data.location import Location
from protray.data.sample import ENZYMES
from protray.data.structure.structures import stored_atoms
from protray.inference.tasks.heads import Annotator
from protray.models.structure.gvp_config import GvpConfig
from protray.models.tasks.head_config import HeadConfig
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.properties.function.inputs import CathSettings, FunctionRun
from protray.pipelines.tasks.properties.function.training import JOB
from protray.pipelines.tasks.properties.heads import WITH_LM
from protray.pipelines.tasks.properties.stability import training as stability
from protray.pipelines.tasks.properties.stability.inputs import StabilityRun
from protray.pipelines.tasks.tuned.models import save_joint
from protray.pipelines.tasks.tuned.settings import tuned_trial
from protray.pipelines.tasks.tuned.training import network
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.properties.head_steps import HeadFitConfig

JOINT, RANDOM = "joint encoder", "random GVP"
TUNED = [f"{JOINT}, fine-tuned", f"{RANDOM}, fine-tuned"]
COUNTS = (("train", 36), ("validation", 10), ("test", 14))


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """The shortest enzymes of each split that have one fold; one of the test split has no structure."""
    table = [row for row in pq.read_table(ENZYMES).to_pylist() if len(row["cath"] or []) == 1]
    found = []
    for split, count in COUNTS:
        mine = [row for row in table if row["split"] == split]
        found += sorted(mine, key=lambda row: (len(row["sequence"]), row["id"]))[:count]
    found[-1]["backbone_cA"] = None
    return found


def write(file: Path, rows: list[dict], names: tuple[str, ...]) -> Location:
    kinds = {"backbone_cA": pa.list_(pa.int16()), "cath": pa.list_(pa.string())}
    pq.write_table(pa.table({name: pa.array([row[name] for row in rows], kinds.get(name)) for name in names}), file)
    return Location(file)


def run_of(tmp_path: Path, rows: list[dict]) -> FunctionRun:
    data = write(tmp_path / "t.parquet", rows, ("id", "sequence", "cath", "split", "cluster", "backbone_cA"))
    model = (save_random_joint(tmp_path / "model"),)
    return FunctionRun(
        task="cath", data=data, lm="none", model=model, random=("gvp",), fine_tune=True, out=Location(tmp_path / "out"),
        cath=CathSettings(level="class", least=3),
        net=HeadConfig(hidden=8), fit=HeadFitConfig(epochs=2, batch=8, micro_batch=4),
        fine=FineTuneConfig(epochs=2, batch=16, micro_batch=4, crop=60, learning_rate=1e-3),
    )  # fmt: skip


def test_rows_follow_from_what_is_given(tmp_path, rows) -> None:
    run = run_of(tmp_path, rows)
    run.check()
    assert list(run.nets) == [JOINT, RANDOM] and list(run.tuned) == TUNED
    assert list(run.rows) == [JOINT, RANDOM] and list(replace(run, lm="shipped").rows)[3:] == [
        f"language model + {JOINT}"
    ]
    assert not replace(run, fine_tune=False).tuned
    assert "fine" in JOB.identity(run) and "fine" not in JOB.identity(replace(run, fine_tune=False))


def test_unusable_settings_are_refused(tmp_path, rows) -> None:
    net = Location(save_random_net(tmp_path / "net"))
    with pytest.raises(ValueError, match=r"--fine-tune has nothing to train on: give a joint encoder .* model to"):
        FunctionRun(lm="none", model=(net,), fine_tune=True).check()
    with pytest.raises(ValueError, match="3 workers cannot share"):
        replace(run_of(tmp_path, rows), workers=3, fit=HeadFitConfig(batch=48)).check()
    with pytest.raises(ValueError, match="or --random; language models learn no mutations"):
        StabilityRun(task="ddg", data=run_of(tmp_path, rows).data, model=(), fine_tune=True).check()  # not of mutations


def test_a_plan_has_their_stages(tmp_path, rows, monkeypatch) -> None:
    plan_here(monkeypatch)
    run = replace(run_of(tmp_path, rows), random=())
    line = estimate(JOB, run).lines[-1]
    assert line.name == TUNED[0] and line.rows == run.fine.steps(36) and line.seconds
    assert tuned_trial(run, "class", JOB.stages(run, None)[-1], 3).tried == 3


@pytest.mark.ray
def test_folds_by_encoders_that_are_trained_on(ray_local, tmp_path, rows, monkeypatch) -> None:
    use_no_ray(monkeypatch)
    run = run_of(tmp_path, rows)
    driver.run_training(JOB, run)
    metrics = (run.out / "metrics.json").read_json()
    found = {row["method"]: row for row in metrics["table"]}
    for net, tuned in zip((JOINT, RANDOM), TUNED, strict=True):
        assert found[tuned]["read_out"] == "fine-tuned" and f"{net}, linear" in found
        history = metrics["histories"][tuned]
        assert [point["epoch"] for point in history] == [0, 1, 2]
    assert found[TUNED[1]]["gain"] == pytest.approx(found[TUNED[1]]["accuracy"] - found[TUNED[0]]["accuracy"])
    for row, name in zip(metrics["tuned"], TUNED, strict=True):
        assert row["method"] == name and row["after"] >= row["before"] and row["parameters"] > 500
    assert "| joint encoder, fine-tuned |" in (run.out / "tables.md").read_bytes().decode()

    kept = [row for row in pq.read_table((run.out / "predictions.parquet").path).to_pylist() if row["method"] in TUNED]
    for name, folder in zip(TUNED, ("joint-encoder-fine-tuned", "random-GVP-fine-tuned"), strict=True):
        annotate = Annotator.open(run.out / "model" / folder)
        predicted = {row["id"]: dict(zip(row["labels"], row["scores"], strict=True)) for row in kept
                     if row["method"] == name}  # fmt: skip
        for row in rows[-4:-1]:
            index_L = np.arange(len(row["sequence"]))
            score_T = annotate(row["sequence"], stored_atoms(np.array(row["backbone_cA"], np.int16)), index_L)
            assert score_T.sum() == pytest.approx(1, abs=1e-5)
            for label, score in annotate.labels(score_T, 0.01):
                assert predicted[row["id"]][label] == pytest.approx(score, abs=1e-3)


def test_melting_temperatures(tmp_path, rows, monkeypatch) -> None:
    train_here(monkeypatch)
    numbers = [row | {"value": 40.0 + len(row["sequence"]) % 20} for row in rows]
    run = run_of(tmp_path, rows)
    data = write(tmp_path / "tm.parquet", numbers, ("id", "sequence", "value", "split", "cluster", "backbone_cA"))
    run = StabilityRun(
        task="thermostability", data=data, lm=str(save_tiny_lm(tmp_path / "lm")), model=run.model, fine_tune=True,
        out=run.out, net=run.net, fit=run.fit, fine=replace(run.fine, epochs=1),
    )  # fmt: skip
    driver.run_training(stability.JOB, run)
    metrics = (run.out / "metrics.json").read_json()
    lm = f"{WITH_LM}, fine-tuned"
    assert [row["method"] for row in metrics["table"]][-2:] == [lm, TUNED[0]]
    assert metrics["table"][-1]["read_out"] == "fine-tuned" and 0 < metrics["table"][-1]["rmse"] < 30
    assert [row["method"] for row in metrics["tuned"]] == [lm, TUNED[0]]
    assert all(row["after"] >= row["before"] for row in metrics["tuned"])
    kept = pq.read_table((run.out / "predictions.parquet").path).to_pylist()
    for name, folder in ((lm, "language-model-fine-tuned"), (TUNED[0], "joint-encoder-fine-tuned")):
        annotate = Annotator.open(run.out / "model" / folder)
        assert annotate.facts.kind == "value" and annotate.facts.reads == "statistics"
        predicted = {row["id"]: row["predicted"] for row in kept if row["method"] == name}
        for row in rows[-3:] if name == lm else rows[-3:-1]:  # a language model needs no structure, which one lacks
            atoms = row["backbone_cA"] and stored_atoms(np.array(row["backbone_cA"], np.int16))
            (score,) = annotate(row["sequence"], atoms, np.arange(len(row["sequence"])))
            assert predicted[row["id"]] == pytest.approx(score, abs=1e-2)
    tuned = (run.out / "model" / "language-model-fine-tuned" / "language_model").path
    before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path / "lm", tuned))
    moved = max((before[name] - after[name]).abs().max().item() for name in before.keys() & after.keys())
    assert (moved > 1e-6) == (metrics["tuned"][0]["best_epoch"] > 0)


def test_dropout_is_that_of_fine_tuning(tmp_path) -> None:
    """The encoder was pre-trained without; GVP has its own."""
    by = Embedding(model=save_random_joint(tmp_path / "model"))
    net, other = (network(one, "class", 5, 3, FineTuneConfig(dropout=0.25)) for one in (by, Embedding(random="gvp")))
    assert by.joint()[0].config.net.dropout == 0 and net.encoder.encoder.config.dropout == 0.25  # type: ignore[union-attr]
    assert other.encoder.encoder.config.dropout == GvpConfig().dropout  # type: ignore[union-attr]


def test_settings_that_came_later_change_no_older_result() -> None:
    fine = FineTuneConfig()
    assert "dropout" not in fine.identity() and replace(fine, dropout=0.1).identity()["dropout"] == 0.1


def test_random_weights_in_a_fusion(tmp_path) -> None:
    """What is written gives the same vectors, with the same language model beside it."""
    lm = str(save_tiny_lm(tmp_path / "lm"))
    by = Embedding(random="gvp", fusion="cross", beside=lm)
    assert by.kind == "random GVP cross" and by.identity() != Embedding(random="gvp").identity()
    card, encoder = by.joint()
    save_joint(tmp_path / "saved", by, encoder.state_dict())
    row = pq.read_table(ENZYMES, columns=["sequence", "backbone_cA"]).slice(0, 1).to_pylist()[0]
    given = row["sequence"], stored_atoms(np.array(row["backbone_cA"], np.int16))
    found_LC = by.open()(*given)
    assert found_LC.shape[1] == by.width == encoder.channels and card.config.fusion == "cross"
    again_LC = Embedding(model=Location(tmp_path / "saved")).open()(*given)
    np.testing.assert_allclose(again_LC, found_LC, atol=1e-5)
    with pytest.raises(ValueError, match="--random-fusion goes with --random and a language model"):
        FunctionRun(task="cath", lm="none", random=("gvp",), random_fusion=("cross",)).check()
