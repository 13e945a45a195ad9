"""How many trials a cluster holds, by hand; what a plan says; what is refused first.  No Ray is started."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from distil_here import make_inputs
from parabola import parabola

from protray.cluster.runtime.capacity import Node
from protray.cluster.runtime.command import parse
from protray.cluster.runtime.resources import trials_at_once
from protray.cluster.runtime.start import Cluster
from protray.cluster.tuning import sweep
from protray.cluster.tuning.command import sweepable
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.sweep import checked, plan_sweep, trial_resources
from protray.cluster.tuning.trial import Record
from protray.data.location import Location
from protray.pipelines.language_model import prob_maps
from protray.pipelines.language_model.made_with import MadeWith
from protray.pipelines.secondary import sweep_distil
from protray.pipelines.structure import sweep_score
from protray.pipelines.structure.score_net import PAPER_FIT, PAPER_NET
from protray.plm.reading import Reading
from protray.training.secondary.stages import PAPER

STUDY = """
JOB, METRIC, MODE = "distil", "validation/q3", "max"
PAPER = {"x": 0.0}
SPACE = {"x": (0.0, 1.0, 2.0, 3.0, 4.0)}
"""


@pytest.fixture
def study(tmp_path) -> str:
    (tmp_path / "study.py").write_text(STUDY)
    return str(tmp_path / "study.py")


def cluster(*nodes: tuple[float, float]) -> Cluster:
    return Cluster(tuple(Node({"CPU": cpus, "GPU": gpus}) for cpus, gpus in nodes), local=True, ours=True)


@pytest.mark.parametrize(
    ("cpus", "gpus", "nodes", "expected"),
    [
        (1.0, 0.0, [(2, 0)], 2),
        (1.0, 0.0, [(3, 0), (3, 0)], 6),
        (2.0, 0.0, [(3, 0), (3, 0)], 2),  # a trial never spans two nodes
        (0.5, 0.0, [(2, 0)], 4),
        (1.0, 1.0, [(16, 2), (16, 0)], 2),
        (1.0, 0.5, [(1, 4)], 1),  # CPUs run out first
        (4.0, 0.0, [(2, 0)], 0),
    ],
)
def test_trials_at_once(cpus, gpus, nodes, expected) -> None:
    assert trials_at_once(cpus, gpus, cluster(*nodes).nodes) == expected


@pytest.mark.parametrize(
    ("nodes", "settings", "workers", "threads"),
    [
        ([(2, 0)], {}, 2, 1),
        ([(16, 0)], {}, 5, 3),  # five trials share sixteen cores
        ([(16, 0)], {"samples": 3}, 3, 5),
        ([(16, 0)], {"cpus_per_trial": 4.0}, 4, 4),
        ([(16, 0)], {"max_concurrent": 1}, 1, 16),
        ([(16, 2)], {}, 2, 8),  # a GPU each
        ([(16, 2)], {"gpus_per_trial": 0.25}, 5, 3),
    ],
)
def test_resources(study, nodes, settings, workers, threads) -> None:
    plan = trial_resources(SweepRun(space=study, **settings), cluster(*nodes))
    assert (plan["trials"].workers, plan.threads("trials")) == (workers, threads)


def test_trials_that_would_wait_for_ever_are_refused(study) -> None:
    with pytest.raises(ValueError, match="3 x 1 CPUs .* = 3, but the cluster has 2; use at most 2"):
        trial_resources(SweepRun(space=study, max_concurrent=3), cluster((2, 0)))
    with pytest.raises(ValueError, match="would wait for ever"):
        trial_resources(SweepRun(space=study, cpus_per_trial=4.0), cluster((2, 0)))


def test_a_plan_counts_what_is_left_and_writes_nothing(study, tmp_path, monkeypatch) -> None:
    """Five trials and twelve with fresh seeds after them (the paper's point and the best three), two at a time."""
    monkeypatch.setattr(sweep, "start_ray", lambda: cluster((2, 0)))
    monkeypatch.setattr(sweep, "stop_ray", lambda cluster: None)
    run = SweepRun(space=study, out=Location(tmp_path) / "out")
    found = plan_sweep(parabola(), run)  # a trial takes 36 s, it says
    assert found["trials"][0] == "paper: x=0" and len(found["trials"]) == 5
    assert (found["count"], found["done"], found["repeats"]) == (5, 0, 12)
    assert found["hours"] == pytest.approx(17 * 36 / 2 / 3600)
    assert not (tmp_path / "out").exists()
    (run.out / "run.json").write_json(checked(parabola(), run))
    record = Record(key="k", point={"x": 1.0}, seed=0, name="x=1", role="trial", status="finished", seconds=10.0)
    record.write(run.out / "trials" / "k")
    again = plan_sweep(parabola(), run)
    assert again["hours"] == pytest.approx(16 * 10 / 2 / 3600) and "took 10 s each" in again["based_on"]


@pytest.mark.parametrize("option", ["--plan", "--dry-run"])
def test_a_plan_has_two_names(study, option) -> None:
    assert parse(SweepRun, "", ["--space", study, option]).plan
    assert not parse(SweepRun, "", ["--space", study]).plan


def test_the_paper_s_networks_are_those_of_a_single_run(study) -> None:
    """All but the length of a training, which a sweep sets."""
    run = parse(SweepRun, "", ["--space", study, "--model", "paper", "--epochs", "2"])
    distil, score = sweep_distil.base(run), sweep_score.base(run)
    assert (distil.enhance, distil.fit.epochs) == (PAPER.enhance, 2)
    assert distil.fit.learning_rate == PAPER.fit.learning_rate
    assert (score.net, score.fit.epochs, score.fit.learning_rate) == (PAPER_NET, 2, PAPER_FIT.learning_rate)
    assert sweep_distil.run_of(run).train_on == "deep"
    small = SweepRun(space=study)
    assert small.identity() != run.identity() and sweep_distil.base(small).enhance != PAPER.enhance


def test_maps_that_are_there_are_taken(study, tmp_path) -> None:
    data, lm = make_inputs(Location(tmp_path))
    maps = Location(tmp_path) / "maps"
    made = prob_maps.identity(prob_maps.ProbMaps(data=data, lm=lm, out=maps, reading=Reading(passes=8)))
    (maps / "summary.json").write_json({"identity": made, "n_again": 0})
    run = parse(SweepRun, "", ["--space", study, "--data", data, "--maps", maps])
    assert sweep_distil.run_of(run).maps == maps
    assert sweep_distil.identity(run)["maps"] == MadeWith.of(maps).key
    assert sweep_distil.identity(run) != sweep_distil.identity(replace(run, maps=None))
    with pytest.raises(ValueError, match="digest tiny, and the sample has [0-9a-f]{16}"):
        sweep_distil.identity(replace(run, data=None))


def test_a_setting_that_does_not_exist_is_found_before_anything_starts(tmp_path) -> None:
    (tmp_path / "s.py").write_text(STUDY.replace('"x"', '"weights.alfa"').replace("0.0", "0.5"))
    run = SweepRun(space=str(tmp_path / "s.py"))
    with pytest.raises(ValueError, match="no setting 'weights.alfa'; the nearest is 'weights.alpha'"):
        checked(sweep_distil.SWEEP, run)


def test_a_job_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="JOB is 'x'; it must be one of distil, score_net"):
        sweepable({"distil": "a.b", "score_net": "c.d"}, "x")


def test_optuna_is_an_extra(study, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"pip install 'protray\[optuna\]'"):
        checked(parabola(), SweepRun(space=study, search="optuna"))


def test_optuna_cannot_search_a_list_of_points(tmp_path) -> None:
    where = str(Path(__file__).parents[3] / "tune_spaces" / "distil_weights.py") + ":SIMPLEX"
    with pytest.raises(ValueError, match="in which optuna cannot search"):
        SweepRun(space=where, search="optuna").points()
