"""A trial of GraphQA: which targets choose, what is kept, and that it goes on where it stopped."""

from dataclasses import replace

import numpy as np
import pytest
from decoys_here import decoys, write_decoys

from protray.cluster.tuning.one_fit import NetSettings, Shared
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.trial import Trial, run_trial
from protray.data.decoys.table import derived_rows
from protray.data.location import Location
from protray.evaluation.sweep_halves import ids_of
from protray.inference.tasks.assess import Assessor
from protray.models.tasks.graphqa_config import GLOBAL, GraphQaConfig
from protray.pipelines.tasks.quality import sweep
from protray.pipelines.tasks.quality.inputs import PAPER_NET
from protray.pipelines.tasks.quality.sweep import COMMON, SWEEP, score
from protray.struct.decoys import DecoyConfig
from protray.training.tasks.quality.steps import QualityFitConfig

NET = GraphQaConfig(layers=1, edges=(8, 8), nodes=(8, 8), whole=(8, 8))
SETTINGS = NetSettings(net=NET, fit=QualityFitConfig(epochs=6, batch=4, micro_batch=4))
TRIAL = Trial(key="k", point={}, seed=0, name="one", role="trial")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Shared:
    """Three decoys of five training targets and of four validation targets."""
    folder = Location(tmp_path_factory.mktemp("sweep")) / "decoys"
    rows = []
    for n, native in enumerate(decoys(9, 1)):
        split = "train" if n < 5 else "validation"
        rows += derived_rows(native.target, split, native.sequence, native.backbone_L43, 3, DecoyConfig(), 0)
    write_decoys(rows, folder / "part-00000.parquet")
    return Shared(folder, SETTINGS.fit.steps(5))


def test_one_half_of_the_targets_chooses_and_both_are_scored(shared, tmp_path) -> None:
    seen = []
    record = run_trial(
        SWEEP, TRIAL, SETTINGS, shared, COMMON, Location(tmp_path / "k"),
        lambda step, metrics: seen.append((step, metrics[COMMON])),
    )  # fmt: skip
    assert [step for step, _ in seen] == [4, 8, 12] and len(record.values) == 4
    chosen = [record.values[name] for name in ids_of("choosing", record.clusters)]
    assert record.score == pytest.approx(np.mean(chosen)) == pytest.approx(seen[-1][1])
    assert 0.3 < record.score < 1 and len(chosen) == 2
    run, target = SweepRun(space="tune_spaces/graphqa.py"), tmp_path / "model"
    SWEEP.save_model(run, SETTINGS, shared, tmp_path / "k" / "result", target)
    assert Assessor.open(target).net.config == NET


def test_a_trial_goes_on_where_it_stopped(shared, tmp_path) -> None:
    states = []

    def stop(step: int | None, metrics: dict, state: dict | None) -> None:
        if state is not None:
            states.append(state)
            if len(states) == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SWEEP.train(SETTINGS, shared, tmp_path / "a", stop, None, "cpu")
    again = SWEEP.train(SETTINGS, shared, tmp_path / "b", stop, states[0], "cpu")
    whole = SWEEP.train(SETTINGS, shared, tmp_path / "c", stop, None, "cpu")
    assert again.values == pytest.approx(whole.values)
    assert [point["epoch"] for point in again.history] == [2, 4, 6]


def test_scores_of_targets_by_hand(monkeypatch) -> None:
    """Off by 0.1 and by 0.3 is 0.8 right; and of three decoys in the reverse order the correlation is -1."""
    some = [replace(one, target=target) for one, target in zip(decoys(1, 5), "aabbb", strict=True)]
    at = GLOBAL.index("gdt_ts")
    off = [0.1, -0.3, 0, 0, 0]
    rank = sorted(one.global_S[at] for one in some[2:])
    true = [0, 0, *(rank[::-1][rank.index(one.global_S[at])] - one.global_S[at] for one in some[2:])]

    def guess(net, decoys, device):  # noqa: ANN001, ANN202
        return [(one.local_LS, one.global_S + off[n] + true[n]) for n, one in enumerate(decoys)]

    monkeypatch.setattr(sweep, "predict", guess)
    values, objectives = score(None, some, "cpu")  # type: ignore[arg-type]
    assert values["a"] == pytest.approx(0.8, abs=1e-6)
    assert objectives["Spearman within targets"] == pytest.approx(-1)  # of one decoy there is none


def test_a_study_starts_from_the_defaults_or_from_the_paper() -> None:
    run = SweepRun(space="tune_spaces/graphqa.py", epochs=3, seed=5)
    assert SWEEP.base(run).net == GraphQaConfig() and SWEEP.base(run).fit == QualityFitConfig(epochs=3, seed=5)
    assert SWEEP.base(replace(run, model="paper")).net == PAPER_NET
    assert SWEEP.guess_seconds(run) < SWEEP.guess_seconds(replace(run, model="paper"))
