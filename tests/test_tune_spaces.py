"""Every study in `tune_spaces/`: its settings exist, every value is legal, and the paper's point is among them."""

from dataclasses import asdict
from pathlib import Path

import pytest

from jobs.tune import JOBS
from protray.cluster.tuning import trials
from protray.cluster.tuning.command import sweepable
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.space import Range, read_space, replaced, settings
from protray.losses.weights import DistilWeights
from protray.struct.noise import NoiseConfig

ROOT = Path(__file__).parents[1]
STUDIES = [str(path) for path in sorted((ROOT / "tune_spaces").glob("*.py")) if path.name != "__init__.py"]
SPACES = [*STUDIES, str(ROOT / "tune_spaces" / "distil_weights.py") + ":SIMPLEX"]


def base_of(where: str):  # noqa: ANN201
    run = SweepRun(space=where)
    return trials.base_of(sweepable(JOBS, run.study.job), run)


def test_there_are_studies() -> None:
    assert {Path(path).stem for path in STUDIES} == {
        "distil_weights",
        "enhance_net",
        "function",
        "graphqa",
        "learning_rates",
        "noise_schedule",
        "score_width",
        "sites",
        "ssdm_fine_tune",
        "ssdm_fusion",
        "ssdm_lr_ratio",
        "ssdm_net",
        "ssdm_noise",
    }


@pytest.mark.parametrize("where", SPACES, ids=lambda where: Path(where).name)
def test_every_point_is_a_legal_setting(where) -> None:
    space, base = read_space(where), base_of(where)
    points = space.grid()
    assert len(points) >= 8
    for point in [space.paper, *points]:
        found = dict(settings(replaced(base, point)))
        assert {name: found[name] for name in point} == point
    if isinstance(space.varied, dict):
        for name, values in space.varied.items():
            ends = (values.low, values.high) if isinstance(values, Range) else values
            for value in ends:
                replaced(base, {name: value})


@pytest.mark.parametrize("where", STUDIES, ids=lambda where: Path(where).name)
def test_the_papers_point_is_on_the_grid_and_trial_0(where) -> None:
    space = read_space(where)
    assert space.paper in space.grid()
    for search in ("grid", "random"):
        points = SweepRun(space=where, search=search, samples=5).points()
        assert points is not None and points[0] == space.paper and len(points) == 5


def test_papers_weights_and_noise() -> None:
    weights = read_space(str(ROOT / "tune_spaces" / "distil_weights.py")).paper
    assert {name.removeprefix("weights."): value for name, value in weights.items()} == {
        "alpha": 0.16, "beta": 0.016, "gamma": 0.82, "kd_sigma": 0.1, "eta": 0.6,
    }  # fmt: skip
    assert {f"weights.{name}": value for name, value in asdict(DistilWeights()).items()}.items() >= weights.items()
    noise = read_space(str(ROOT / "tune_spaces" / "noise_schedule.py")).paper
    assert {f"net.noise.{name}": value for name, value in asdict(NoiseConfig()).items()}.items() <= noise.items()


def test_simplex_adds_up_to_1() -> None:
    for point in read_space(str(ROOT / "tune_spaces" / "distil_weights.py") + ":SIMPLEX").grid():
        total = point["weights.alpha"] + point["weights.beta"] + point["weights.gamma"]
        assert total == pytest.approx(1) and min(point.values()) > 0
