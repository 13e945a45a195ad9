"""GDT_TS by a joint encoder that is trained on, in jobs/quality.py."""

from dataclasses import replace
from pathlib import Path

import pytest
from joint_encoders import save_random_joint
from train_here import train_here

from protray.cluster.train import driver
from protray.data.location import Location
from protray.inference.tasks.heads import Annotator
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.pipelines.tasks.quality.decoys import DecoySettings
from protray.pipelines.tasks.quality.inputs import PLAIN, QualityRun
from protray.pipelines.tasks.quality.training import JOB
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.quality.steps import QualityFitConfig

TUNED, NAMES = "joint encoder, fine-tuned", ("frame attention", "GVP")


def run_of(folder: Path) -> QualityRun:
    return QualityRun(
        lm="none", model=(save_random_joint(folder / "net"),), fine_tune=True, out=Location(folder / "out"),
        decoys=DecoySettings(targets=(6, 3, 4), each=3),
        net=GraphQaConfig(layers=2, edges=(8, 8), nodes=(8, 8), whole=(8, 8)),
        fit=QualityFitConfig(epochs=2, batch=4, micro_batch=2, validate_every=2),
        fine=FineTuneConfig(epochs=1, batch=8, micro_batch=4, crop=60, learning_rate=1e-3),
    )  # fmt: skip


def test_rows_follow_from_what_is_given(tmp_path) -> None:
    run = run_of(tmp_path)
    assert run.rows == [PLAIN, f"{PLAIN} + joint encoder"] and run.tuned == {TUNED: "joint encoder"}
    stages = JOB.stages(run, None)
    assert [stage.name for stage in stages] == [*run.rows, TUNED] and stages[-1].of == 3
    with pytest.raises(ValueError, match="--fine-tune trains joint encoders: give one"):
        replace(run, model=()).check()
    more = replace(run, random=("ours", "gvp"))
    assert more.rows == run.rows and list(more.tuned) == [TUNED, *(f"random {name}, fine-tuned" for name in NAMES)]
    assert JOB.identity(more) != JOB.identity(run)
    with pytest.raises(ValueError, match="--random goes with --fine-tune, got gvp without it"):
        replace(run, random=("gvp",), fine_tune=False).check()


def test_gdt_ts_from_a_vector(tmp_path, monkeypatch) -> None:
    train_here(monkeypatch)
    run = replace(run_of(tmp_path), random=("gvp",))
    driver.run_training(JOB, run)
    metrics = (run.out / "metrics.json").read_json()
    frozen, of_random, tuned, tuned_random = metrics["of_vectors"]
    assert (frozen["method"], tuned["method"]) == ("joint encoder, linear", TUNED)
    assert (of_random["method"], tuned_random["method"]) == ("random GVP, linear", "random GVP, fine-tuned")
    assert frozen["decoys"] == tuned["decoys"] == 12 and 0 < tuned["rmse"] < 1
    assert [row["method"] for row in metrics["table"]][-2:] == run.rows
    assert metrics["tuned"][0]["after"] >= metrics["tuned"][0]["before"]
    if metrics["tuned"][0]["best_epoch"] == 0:
        assert tuned["rmse"] == pytest.approx(frozen["rmse"], rel=1e-4)
    assert f"| {TUNED} |" in (run.out / "tables.md").read_bytes().decode()
    report = (run.out / "report.html").read_bytes().decode()
    assert "Encoders that are trained on" in report and f"<td>{TUNED}" in report
    annotate = Annotator.open(run.out / "model" / "joint-encoder-fine-tuned")
    assert annotate.facts.labels == ["gdt_ts"] and annotate.facts.kind == "value"
