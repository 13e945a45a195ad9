"""GDT_TS by a joint encoder that is trained on, in jobs/quality.py."""

from dataclasses import replace
from pathlib import Path

import pytest
from batch_here import use_no_ray
from joint_encoders import save_random_joint

from protray.cluster.train import driver
from protray.data.location import Location
from protray.inference.heads import Annotator
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.pipelines.tasks.quality.decoys import DecoySettings
from protray.pipelines.tasks.quality.inputs import PLAIN, QualityRun
from protray.pipelines.tasks.quality.training import JOB
from protray.training.tasks.fine_tune_config import FineTuneConfig
from protray.training.tasks.quality_steps import QualityFitConfig

TUNED = "joint encoder, fine-tuned"


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


@pytest.mark.ray
def test_gdt_ts_from_a_vector(ray_local, tmp_path, monkeypatch) -> None:
    use_no_ray(monkeypatch)
    run = run_of(tmp_path)
    driver.run_training(JOB, run)
    metrics = (run.out / "metrics.json").read_json()
    frozen, tuned = metrics["of_vectors"]
    assert (frozen["method"], tuned["method"]) == ("joint encoder, linear", TUNED)
    assert frozen["decoys"] == tuned["decoys"] == 12 and 0 < tuned["rmse"] < 1
    assert [row["method"] for row in metrics["table"]][-2:] == run.rows
    assert metrics["tuned"][0]["after"] >= metrics["tuned"][0]["before"]
    if metrics["tuned"][0]["best_epoch"] == 0:
        assert tuned["rmse"] == pytest.approx(frozen["rmse"], rel=1e-4)
    assert f"| {TUNED} |" in (run.out / "tables.md").read_bytes().decode()
    annotate = Annotator.open(run.out / "model" / "joint-encoder-fine-tuned")
    assert annotate.facts.labels == ["gdt_ts"] and annotate.facts.kind == "value"
