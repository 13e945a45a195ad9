"""Whole runs of tiny stages: one process, and two that talk over gloo."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from processes import leave
from safetensors.torch import load_file
from tiny import FEATURES, tiny_proteins, tiny_stages

from protray.data.location import Location
from protray.evaluation.distil import three_of
from protray.training.secondary.finished import evaluation_batches, is_finished, predict_batches
from protray.training.secondary.session import run_stages, validate, validation_rows
from protray.training.secondary.stage_features import stage_features
from protray.training.secondary.stages import Stage, build
from protray.training.world import World

# 7 training proteins in batches of 3, 3 and 1: the last is smaller than a world of two
NAMES = ["teacher", "protray", "Real + LM", "Bagging enhancer", "Bagging"]


def stages() -> list[Stage]:
    return [stage for name, stage in tiny_stages().items() if name in NAMES]


def folders(out: Path) -> dict[str, Location]:
    return {name: Location(out) / name.replace(" ", "-") for name in NAMES}


def run_alone(out: Path) -> None:
    run_stages(stages(), folders(out), tiny_proteins(), FEATURES, lambda metrics, state: None)


def run_rank(rank: int, out: Path) -> None:
    """What each of two processes does."""
    torch.set_num_threads(1)
    store = f"file://{out.parent / 'meeting-point'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    world = World(rank, 2)
    run_stages(stages(), folders(out), tiny_proteins(), FEATURES, lambda metrics, state: None, world=world)
    leave()


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same stages trained by one process and by two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    run_alone(one)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.multiprocessing.spawn(run_rank, args=(two / "out",), nprocs=2)
    return one, two / "out"


def predictions(folder: Location) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for path in folder.files("predictions-*.parquet"):
        for row in pq.read_table(path).to_pylist():
            assert row["id"] not in found
            found[row["id"]] = np.array(row["prob"]), np.array(row["pssm_enhanced"])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_two_workers_report_what_one_reports(outs, name) -> None:
    one, two = ((folders(out)[name] / "stage.json").read_json() for out in outs)
    assert (one["workers"], two["workers"]) == (1, 2)
    assert len(one["history"]) == 2
    for alone, together in zip(one["history"], two["history"], strict=True):
        assert (alone.pop("train/world_size"), together.pop("train/world_size")) == (1, 2)
        assert alone.keys() == together.keys()
        for metric in alone:
            assert together[metric] == pytest.approx(alone[metric], rel=1e-4, abs=1e-6), metric


@pytest.mark.parametrize("name", NAMES)
def test_two_workers_end_with_the_weights_of_one(outs, name) -> None:
    one, two = (load_file(folders(out)[name] / "model.safetensors") for out in outs)
    assert one.keys() == two.keys()
    for weight in one:
        torch.testing.assert_close(two[weight], one[weight], atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Bagging enhancer"])
def test_two_workers_predict_what_one_predicts(outs, name) -> None:
    one, two = (predictions(folders(out)[name]) for out in outs)
    proteins = tiny_proteins()
    wanted = [proteins.ids[row] for split in ("validation", "test") for row in proteins.of_split(split)]
    assert sorted(one) == sorted(two) == sorted(wanted)
    assert len(list(folders(outs[1])[name].files("predictions-?-of-2.parquet"))) == 2
    for protein, (prob, enhanced) in one.items():
        length = proteins.lengths[proteins.ids.index(protein)]
        assert prob.reshape(length, 8).sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert enhanced.shape == ((length * 20) if name == "protray" else 0,)
        np.testing.assert_allclose(two[protein][0], prob, atol=2e-5)
        np.testing.assert_allclose(two[protein][1], enhanced, atol=2e-4)


def test_finished_stages_are_left_alone(outs) -> None:
    out = outs[0]
    assert all(is_finished(folder) for folder in folders(out).values())
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    run_alone(out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_a_killed_run_continues_to_the_same_numbers(outs, tmp_path) -> None:
    """Stopped in the first epoch of the second stage, `protray`; the state is that of the last report."""
    last: dict = {}

    class KilledError(Exception):
        pass

    def report(metrics: dict, state: dict | None) -> None:
        if state:
            torch.save(state, tmp_path / "state")
            last["stage"] = state["stage"]
            if state["stage"] == "protray":
                raise KilledError

    arguments = stages(), folders(tmp_path / "out"), tiny_proteins(), FEATURES
    with pytest.raises(KilledError):
        run_stages(*arguments, report)
    assert is_finished(folders(tmp_path / "out")["teacher"])
    assert not is_finished(folders(tmp_path / "out")["protray"])
    resume = torch.load(tmp_path / "state", weights_only=True)
    assert resume["fit"]["epoch"] == 1
    run_stages(*arguments, lambda metrics, state: None, resume)
    for name in NAMES:
        one, two = (load_file(folders(out)[name] / "model.safetensors") for out in (outs[0], tmp_path / "out"))
        assert all(torch.equal(one[weight], two[weight]) for weight in one)


def test_the_teacher_is_chosen_by_deep_proteins() -> None:
    """Two of the four validation proteins are deep; the plain classifier is chosen by all."""
    proteins, plan = tiny_proteins(), tiny_stages()
    rows = validation_rows(proteins)
    deep = rows[proteins.deep[rows]]
    assert (len(rows), len(deep)) == (4, 2)
    step = build(plan["teacher"], {}).eval()
    for name, expected in (("teacher", deep), ("Real", rows)):
        features = stage_features(plan[name], proteins, FEATURES)
        found = validate(step, plan[name], features, World())["validation/q3"]
        outputs = predict_batches(step, evaluation_batches(features, rows, World()))
        predicted = {id: three_of(prob_LS).argmax(axis=1) for id, prob_LS, _ in outputs}
        right = [np.mean(predicted[proteins.ids[row]] == proteins.ss3(row)) for row in expected]
        assert found == pytest.approx(np.mean(right), abs=1e-6)
