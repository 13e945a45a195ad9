"""Searches and schedulers of Ray Tune, on trials that train nothing."""

from dataclasses import replace
from pathlib import Path

import parabola as module
import pytest
from parabola import STEPS, STUDY, parabola
from ray import cloudpickle
from tracking_store import forget

from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.space import read_space
from protray.cluster.tuning.sweep import run_sweep
from protray.cluster.tuning.trial import Record
from protray.cluster.tuning.trials import records
from protray.cluster.tuning.tune import optuna_search
from protray.data.location import Location

cloudpickle.register_pickle_by_value(module)  # Ray's workers cannot import from the tests
POINTS = '[{"x": 0.0}, {"x": 2.0}, {"x": 5.0}, {"x": 6.0}]'
RANGE = '{"x": Range(low=-4.0, high=4.0, grid=(0.0, 1.0, 2.0, 3.0, 4.0))}'


def study(folder: Path, space: str) -> str:
    lines = [line for line in STUDY.splitlines() if not line.startswith("SPACE")]
    lines = ["from protray.cluster.tuning.space import Range", *lines, f"SPACE = {space}"]
    (folder / "study.py").write_text("\n".join(lines))
    return str(folder / "study.py")


def sweep_of(tmp_path: Path, database: Path, space: str, **more: object) -> SweepRun:
    """One trial at a time."""
    return SweepRun(
        space=study(tmp_path, space), out=Location(tmp_path) / "out", repeats=0, max_concurrent=1,
        mlflow=f"sqlite:///{database}", experiment=tmp_path.name, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def begun(run: SweepRun) -> list[float]:
    return [float(line.split()[0]) for line in (run.out / "trained.txt").read_bytes().decode().splitlines()]


@pytest.mark.ray
def test_asha_ends_poor_trials_early_but_never_the_papers(ray_local, database, tmp_path) -> None:
    """One at a time: the best comes first, the others are worse after their first epoch; so is the paper's point."""
    forget()
    run = sweep_of(tmp_path, database, POINTS, scheduler="asha")
    metrics = run_sweep(parabola(pause=0.2), run)
    assert begun(run) == [0.0, 2.0, 6.0, 5.0]
    found = {record.point["x"]: record for record in records(run)}
    status = {x: record.status for x, record in found.items()}
    assert status == {0.0: "finished", 2.0: "finished", 5.0: "stopped", 6.0: "stopped"}
    assert found[5.0].score is not None and not found[5.0].history and len(found[0.0].history) == STEPS
    assert metrics["complete"] and metrics["best"] == "x=2"
    assert {row["name"]: row["status"] for row in metrics["not_finished"]} == {"x=5": "stopped", "x=6": "stopped"}


@pytest.mark.ray
def test_a_disk_is_tried_again_and_a_loss_that_is_not_finite_is_not(ray_local, database, tmp_path) -> None:
    """Also under a scheduler, which such a trial leaves without a score."""
    forget()
    run = sweep_of(tmp_path, database, POINTS, scheduler="asha", retries=2)
    metrics = run_sweep(parabola(not_finite=2.0, damaged=5.0), run)
    assert sorted(begun(run)) == [0.0, 2.0, 5.0, 5.0, 5.0, 6.0]
    assert {(row["name"], row["status"]): row["reason"].rpartition(".")[2] for row in metrics["not_finished"]} == {
        ("x=2", "failed"): "FloatingPointError: loss is nan in epoch 1 with ['1abcA']",
        ("x=5", "failed"): "DamagedError: the maps are damaged",
    }


@pytest.mark.ray
def test_optuna_goes_on_with_more_samples(ray_local, database, tmp_path) -> None:
    forget()
    run = sweep_of(tmp_path, database, RANGE, search="optuna", samples=2)
    first = run_sweep(parabola(), run)
    assert first["complete"] and len(first["table"]) == 2 and begun(run)[0] == 0.0
    more = run_sweep(parabola(), replace(run, samples=3))
    assert more["complete"] and len(more["table"]) == 3
    assert len(set(begun(run))) == len(begun(run)) == 3  # what was done is not done again
    assert all(-4 <= x <= 4 for x in begun(run))


def test_optuna_begins_with_the_papers_point_and_knows_what_was_done(tmp_path) -> None:
    space = read_space(study(tmp_path, '{"x": (0.0, 1.0, 2.0)}'))
    fresh = optuna_search(space, [], 0)
    assert fresh.suggest("a") == {"x": 0.0}
    paper = Record(key="k", point={"x": 0.0}, seed=0, name="paper: x=0", role="paper", status="finished", score=0.5)
    continued = optuna_search(space, [paper], 0)
    assert [trial.value for trial in continued._ot_study.trials] == [0.5]
    assert continued.suggest("b")["x"] in (0.0, 1.0, 2.0)
