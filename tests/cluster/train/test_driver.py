"""The driver of trainings, with one that learns nothing: what is tried again, what is not, and what a user reads."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tracking_store import curve

from protray.cluster.runtime.capacity import Node
from protray.cluster.runtime.start import Cluster
from protray.cluster.storage.identity import claim
from protray.cluster.train import driver
from protray.cluster.train.command import training_command
from protray.cluster.train.job import Stage, TrainingJob, TrainingSettings
from protray.data.location import Location

pytestmark = pytest.mark.ray
STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Count(TrainingSettings):
    seed: int = 0


def counting(folder: Path, fault: Callable[[int], None] = lambda step: None) -> TrainingJob:
    """Steps that are counted, with a checkpoint after each, and `fault(step)` before it; `folder/tries` has a line for
    each start of a worker: the step that it began after."""

    def loop(settings, report, resume, world):  # noqa: ANN001, ANN202
        begun = resume["step"] if resume else 0
        with open(settings["tries"], "a") as file:
            file.write(f"{begun}\n")
        for step in range(begun + 1, STEPS + 1):
            fault(step)
            report({"step": step, "of": STEPS, "train/loss": 1 / step}, {"step": step})

    return TrainingJob(
        name="count", seed=lambda run: run.seed, digest=lambda run: "nothing", identity=lambda run: {"seed": run.seed},
        prepare=lambda run, context: None, stages=lambda run, inputs: [Stage("count", f"count-{run.seed}", STEPS)],
        settings=lambda run, inputs: {"tries": str(folder / "tries")}, loop=loop,
        finish=lambda run, inputs, state, context: {"steps": state["step"]},
        show=lambda run, facts: print(f"{facts['steps']} steps"), trial=lambda run, stage: {},
        step_of=lambda state: state["step"],
    )  # fmt: skip


def tries(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "tries").read_text().split()]


def test_a_training_its_curve_and_nothing_the_second_time(ray_local, tmp_path, monkeypatch, capsys) -> None:
    job, out = counting(tmp_path), Location(tmp_path) / "out"
    assert training_command(job, Count, "", ["--out", out]) == 0
    assert capsys.readouterr().out == "4 steps\n"
    assert curve(out.path, "protray-count")["train/loss"] == [(step, 1 / step) for step in range(1, STEPS + 1)]
    assert (out / "metrics.json").read_json()["asked"] == {"seed": 0}
    assert (out / "cache").files() == []
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    assert training_command(job, Count, "", ["--out", out]) == 0
    assert capsys.readouterr().out == "4 steps\n"
    assert training_command(job, Count, "", ["--out", out, "--seed", "1"]) == 1
    assert f"error: {out} was made differently: seed was 0, is 1. Choose another --out" in capsys.readouterr().err
    assert tries(tmp_path) == [0]


@pytest.mark.parametrize("kind", ["loss", "input"])
def test_what_would_come_again_is_not_tried_again(ray_local, tmp_path, capsys, kind) -> None:
    """A loss that is not finite, or an input that cannot be used: one try, one line, and an exit status of 1."""

    def fault(step: int) -> None:
        from protray.training.errors import NonFiniteLossError

        if step == 3:
            raise NonFiniteLossError.at("step 3", "the loss is nan", 0.5) if kind == "loss" else ValueError("no 1abc")

    out = Location(tmp_path) / "out"
    assert training_command(counting(tmp_path, fault), Count, "", ["--out", out]) == 1
    told = capsys.readouterr().err
    expected = "step 3: the loss is nan; the last finite loss was 0.5" if kind == "loss" else "no 1abc"
    assert [line for line in told.splitlines() if line.startswith("error: ")] == [f"error: {expected}"]
    assert "Traceback" not in told and "goes on from the last checkpoint" not in told
    assert tries(tmp_path) == [0]
    assert not (out / "metrics.json").exists()


def test_an_error_of_the_code_is_raised_at_once_with_its_traceback(ray_local, tmp_path) -> None:
    from ray.train import TrainingFailedError

    def fault(step: int) -> None:
        if step == 3:
            raise KeyError("no such head")

    with pytest.raises(TrainingFailedError, match="raise KeyError(.|\n)*no such head"):
        driver.run_training(counting(tmp_path, fault), Count(out=Location(tmp_path) / "out"))
    assert tries(tmp_path) == [0]


def test_a_folder_is_free_again_after_inputs_that_are_refused_unless_something_is_trained(tmp_path) -> None:
    def refuse(run: Count, context: object) -> None:
        raise ValueError("a bad table")

    job, run = replace(counting(tmp_path), prepare=refuse), Count(out=Location(tmp_path) / "out")
    for seed, trained in ((0, False), (1, True)):
        claim(run.out, {"seed": seed})
        if trained:
            (run.out / "cache" / driver.training_name(job, job.stages(run, None)) / "step").write_text("")
        with pytest.raises(ValueError, match="a bad table"):
            driver._prepared(job, run, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed was 1, is 2"):
        claim(run.out, {"seed": 2})


def test_a_worker_asks_for_the_cpus_that_it_is_given(tmp_path) -> None:
    run = Count(out=Location(tmp_path), workers=2, cpus_per_worker=3)
    cluster = Cluster((Node({"CPU": 8.0}),), local=True, ours=False)
    plan = driver.resources(counting(tmp_path), run, cluster)
    assert (plan["count"].workers, plan["count"].cpus_per_worker, plan.threads("count")) == (2, 3, 3)


def test_a_worker_that_dies_once_is_started_again_from_the_last_checkpoint(ray_local, tmp_path, capsys) -> None:
    died, out = tmp_path / "died", Location(tmp_path) / "out"

    def fault(step: int) -> None:
        if step == 3 and not died.exists():
            died.touch()
            os._exit(1)

    assert training_command(counting(tmp_path, fault), Count, "", ["--out", out]) == 0
    assert tries(tmp_path) == [0, 2]
    assert "training goes on from the last checkpoint after: " in capsys.readouterr().err
    assert [step for step, _ in curve(out.path, "protray-count")["train/loss"]] == [1, 2, 3, 4]
