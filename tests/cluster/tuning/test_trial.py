"""Single trials in this process, on real data and with tiny networks.  No Ray is started."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from parabola import parabola
from tiny import FEATURES, tiny_proteins, tiny_stages

from protray.cluster.tuning.job import Outcome
from protray.cluster.tuning.one_fit import NetSettings
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.space import replaced
from protray.cluster.tuning.trial import STATE, Record, Trial, read_record, run_trial
from protray.cluster.tuning.trials import trial_of
from protray.data.arrow import write_arrow
from protray.data.location import Location
from protray.data.structure.structures import Structures, read_structures
from protray.evaluation.distil import OURS
from protray.evaluation.sweep_halves import Half, ids_of
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_net import ScoreNet
from protray.pipelines.language_model.made_with import MadeWith
from protray.pipelines.secondary import sweep_distil
from protray.pipelines.structure import sweep_score
from protray.plm.reading import Reading
from protray.struct.noise import NoiseConfig
from protray.training.secondary.session import run_stages
from protray.training.structure.score_steps import ScoreFitConfig

TRIAL = Trial(key="k", point={"weights.alpha": 0.5}, seed=0, name="alpha=0.5", role="trial")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> sweep_distil.Shared:
    folder = Location(tmp_path_factory.mktemp("shared"))
    proteins = tiny_proteins()
    assert proteins.maps is not None
    write_arrow(proteins.table, folder.path / "proteins.arrow")
    write_arrow(proteins.maps, folder.path / "maps.arrow")
    stages = tiny_stages(epochs=3)
    features = replace(FEATURES, lm_hidden=True)
    run_stages([stages["teacher"]], {"teacher": folder / "teacher"}, proteins, features, lambda *_: None)
    made = MadeWith(proteins="tiny", lm="none", fingerprint="none", reading=Reading(), hidden=True)
    return sweep_distil.Shared(stages["teacher"], stages[OURS], folder / "teacher", folder, made, features)


def settings_of(shared: sweep_distil.Shared) -> sweep_distil.DistilSettings:
    ours = shared.ours
    return sweep_distil.DistilSettings(weights=ours.weights, fit=ours.networks.fit, enhance=ours.networks.enhance)


def run(shared: sweep_distil.Shared, folder: Path, report=lambda *_: None):  # noqa: ANN001, ANN201
    place = Location(folder)
    return run_trial(sweep_distil.SWEEP, TRIAL, settings_of(shared), shared, "validation/q3", place, report)


def mean_of(half: Half, record: Record) -> float:
    return float(np.mean([record.values[name] for name in ids_of(half, record.clusters)]))


def test_no_training_of_a_sweep_sees_the_confirming_half_or_the_test_split() -> None:
    before = tiny_proteins()
    after = sweep_distil.split_by_halves(before)
    rows = before.of_split("validation").tolist()
    clusters = {before.ids[row]: before.table["cluster"][row].as_py() for row in rows}
    for half, split in (("choosing", "validation"), ("confirming", "test")):
        assert [after.ids[row] for row in after.of_split(split)] == ids_of(half, clusters)
    assert after.of_split("train").tolist() == before.of_split("train").tolist()
    assert after.table.drop_columns("split") == before.table.drop_columns("split") and after.maps is before.maps


def test_distil_trial_scores_both_halves_and_is_chosen_on_one(shared, tmp_path) -> None:
    seen = []
    record = run(shared, tmp_path / "k", lambda step, metrics: seen.append((step, metrics["validation/q3"])))
    proteins = tiny_proteins()
    rows = proteins.of_split("validation").tolist()
    assert record.clusters == {proteins.ids[row]: proteins.table["cluster"][row].as_py() for row in rows}
    assert record.values.keys() == record.clusters.keys()
    assert record.score == pytest.approx(mean_of("choosing", record))
    assert record.score == pytest.approx(max(score for _, score in seen))  # the best epoch's weights are kept
    assert [step for step, _ in seen] == [1, 2, 3] == [point["step"] for point in record.history]
    assert "Q3 at > 60 homologs" in record.objectives
    assert read_record(Location(tmp_path / "k")) == record
    assert not (tmp_path / "k" / STATE).exists()


def test_a_trial_that_was_cut_goes_on_and_ends_the_same(shared, tmp_path) -> None:
    whole = run(shared, tmp_path / "whole")

    def cut(step: int, metrics: dict) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(shared, tmp_path / "cut", cut)
    assert read_record(Location(tmp_path / "cut")) is None
    seen = []
    again = run(shared, tmp_path / "cut", lambda step, metrics: seen.append(step))
    assert seen == [3]
    assert again.values == whole.values and again.history == whole.history


def test_a_trial_whose_state_is_damaged_starts_anew(shared, tmp_path) -> None:
    whole = run(shared, tmp_path / "whole")

    def cut(step: int, metrics: dict) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(shared, tmp_path / "cut", cut)
    state = tmp_path / "cut" / STATE
    state.write_bytes(state.read_bytes()[:100])
    seen = []
    assert run(shared, tmp_path / "cut", lambda step, metrics: seen.append(step)).values == whole.values
    assert seen == [1, 2, 3]


def test_a_finished_trial_is_read_and_not_run(shared, tmp_path) -> None:
    first = run(shared, tmp_path / "k")
    assert run(shared, tmp_path / "k", lambda *_: pytest.fail("trained again")) == first


def test_the_swept_settings_leave_the_teacher_alone(shared) -> None:
    """Whatever a study varies, the classifier's shape stays: the teacher is one, and all trials share it."""
    settings = replaced(settings_of(shared), {"weights.alpha": 0.5, "enhance.hidden": 12, "fit.learning_rate": 1.0})
    stage = sweep_distil._stage(settings, shared)
    assert stage.networks.classifier == shared.ours.networks.classifier
    assert (stage.after, stage.weights.alpha, stage.networks.enhance.hidden) == ("teacher", 0.5, 12)
    with pytest.raises(ValueError, match="no setting 'classifier.hidden'; the nearest is 'enhance.hidden'"):
        replaced(settings, {"classifier.hidden": 12})


def test_a_score_that_is_not_finite_is_an_error(tmp_path) -> None:
    def train(*_: object) -> Outcome:
        return Outcome(values={}, scores={"m": float("nan")}, objectives={}, history=[])

    job = replace(parabola(), train=train)
    with pytest.raises(FloatingPointError, match="m is nan"):
        run_trial(job, TRIAL, None, None, "m", Location(tmp_path / "k"), lambda *_: None)
    assert read_record(Location(tmp_path / "k")) is None


def test_keys_change_with_what_a_result_depends_on() -> None:
    run = SweepRun(space=str(Path(__file__).parents[3] / "tune_spaces" / "enhance_net.py"))
    paper = run.study.paper
    keys = {
        trial_of({"maps": maps}, replace(run, seed=seed), point).key
        for maps in ("x", "y")
        for seed in (0, 1)
        for point in (paper, paper | {"enhance.relu": False})
    }
    assert len(keys) == 8
    assert trial_of({}, run, paper).role == "paper"


def small(**noise: object) -> ScoreNetConfig:
    return ScoreNetConfig(
        blocks=1, channels=8, bottleneck=4, dilations=(1,), positional=4, distances=4, noise=NoiseConfig(**noise)
    )  # type: ignore[arg-type]


@pytest.fixture
def few(monkeypatch) -> None:
    """Thirty chains of each split, so that a trial takes a second."""

    def read(data: Location | None, split: str) -> Structures:
        whole = read_structures(data, split)
        end = whole.starts[30]
        return Structures(
            whole.ids[:30], whole.codes_R[:end], whole.index_R[:end], whole.ca_R3[:end], whole.starts[:31]
        )

    monkeypatch.setattr(sweep_score, "read_structures", read)
    sweep_score._chains.cache_clear()


def test_score_trial(few, tmp_path) -> None:
    settings = NetSettings(net=small(levels=8), fit=ScoreFitConfig(epochs=4, warmup=1, bf16=False))
    shared = sweep_score.Shared(None, 4)
    seen = []
    record = run_trial(
        sweep_score.SWEEP, TRIAL, settings, shared, sweep_score.COMMON, Location(tmp_path / "k"),
        lambda step, metrics: seen.append((step, metrics[sweep_score.COMMON])),
    )  # fmt: skip
    assert len(record.values) == len(record.clusters) == 30
    assert record.score == pytest.approx(mean_of("choosing", record)) != pytest.approx(mean_of("confirming", record))
    assert seen[-1][0] == 4 and [point["step"] for point in record.history] == [step for step, _ in seen]
    assert len(record.objectives) == 2
    json.dumps(record.history, allow_nan=False)


def test_all_schedules_are_scored_on_the_same_crops(few) -> None:
    """Only the level that a network is told differs: the one of its own that is nearest to the noise."""
    chains = sweep_score._chains(None, "validation")
    paper = sweep_score.common_batches(chains, NoiseConfig())
    other = sweep_score.common_batches(chains, NoiseConfig(first=5.0, last=0.1, levels=4))
    for one, two in zip(paper, other, strict=True):
        assert one.ids == two.ids
        np.testing.assert_array_equal(one.sigma_B, two.sigma_B)
        np.testing.assert_array_equal(one.ca_BL3, two.ca_BL3)
        np.testing.assert_array_equal(one.noise_BL3, two.noise_BL3)
        np.testing.assert_allclose(NoiseConfig().sigmas()[one.level_B], one.sigma_B, rtol=1e-5)
        assert set(two.level_B.tolist()) <= {0, 1, 2, 3}
        assert (two.level_B[two.sigma_B > 4] == 0).all() and (two.level_B[two.sigma_B < 0.15] == 3).all()


def test_a_score_of_zero_explains_nothing(few) -> None:
    net = ScoreNet(small()).eval()
    for weight in net.parameters():
        weight.data.zero_()
    batches = sweep_score.common_batches(sweep_score._chains(None, "validation"), NoiseConfig())
    values, parts = sweep_score.score(net, batches[:2], ScoreFitConfig(bf16=False))
    assert values and all(abs(part) < 1e-5 for part in [*values.values(), *parts.values()])
