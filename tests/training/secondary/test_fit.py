"""The epoch loop: it learns, resumes exactly, keeps the best weights, and stops at NaN."""

import copy
import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from tiny import FEATURES, HIDDEN, tiny_proteins, tiny_stages
from torch import nn

from protray.data.secondary.collate import Totals
from protray.data.secondary.dataset import Proteins
from protray.losses.weights import DistilWeights
from protray.models.secondary.enhance_net import EnhanceConfig
from protray.models.secondary.ss_classifier import ClassifierConfig
from protray.training.checkpoint import load_state, save_state
from protray.training.errors import NonFiniteLossError
from protray.training.secondary.fit import FitConfig, Share, fit
from protray.training.secondary.session import train_stage
from protray.training.secondary.stages import Networks, build, plan_stages
from protray.training.world import World

PROTEINS = tiny_proteins()
DEEP = np.array([row for row in PROTEINS.of_split("train") if PROTEINS.deep[row]])


def fresh(stage_name: str, **fit_settings: object) -> tuple:
    """A stage and its step, with the same random weights every time."""
    stages = tiny_stages(**fit_settings)
    torch.manual_seed(0)
    earlier = {name: build(stages[name], {}).state_dict() for name in ("teacher", "Bagging enhancer")}
    torch.manual_seed(1)
    return stages[stage_name], build(stages[stage_name], earlier)


def run(stage_name: str, report=lambda metrics, state: None, resume=None, **fit_settings: object) -> tuple:  # noqa: ANN001
    stage, step = fresh(stage_name, **fit_settings)
    best, history = train_stage(stage, step, PROTEINS, FEATURES, report, resume, World())
    return step, best, history


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_learning_rate_by_hand() -> None:
    """Annealed over 4 epochs: 1, (1 + cos 45 degrees) / 2 = 0.854, 0.5, 0.  The paper's: halved every 50."""
    config = FitConfig(epochs=4, learning_rate=1.0)
    assert [config.learning_rate_at(epoch) for epoch in (0, 1, 2, 4)] == pytest.approx([1, 0.853553, 0.5, 0])
    paper = FitConfig(epochs=300, learning_rate=0.01, anneal=False)
    found = [paper.learning_rate_at(epoch) for epoch in (0, 49.9, 50, 100, 299)]
    assert found == pytest.approx([0.01, 0.01, 0.005, 0.0025, 0.01 / 32])


@pytest.mark.parametrize("name", ["Real + LM", "protray", "Bagging", "Bagging enhancer"])
def test_resume_is_exact(name, tmp_path) -> None:
    """Stopped after each epoch of three and started again from the disk, with dropout and down-sampling."""
    states = []

    def keep(metrics: dict, state: dict | None) -> None:
        if state:
            save_state(tmp_path / str(state["epoch"]), state)
            states.append(state["epoch"])

    step, best, history = run(name, keep, epochs=3)
    assert states == [1, 2, 3]
    for epoch in (1, 2):
        again, best_again, history_again = run(name, resume=load_state(tmp_path / str(epoch)), epochs=3)
        assert same(step.state_dict(), again.state_dict())
        assert same(best, best_again)
        assert history == history_again
    assert [metrics["epoch"] for metrics in history] == [1, 2, 3]


def test_two_threads_train_what_one_trains() -> None:
    """Each has a part of every batch; sums over them are the same but for rounding."""
    _, one, curve = run("protray")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _, two, curve_of_two = run("protray")
    finally:
        torch.set_num_threads(before)
    for a, b in zip(curve, curve_of_two, strict=True):
        assert b == pytest.approx(a, rel=1e-4, abs=1e-6)
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-4)


def test_same_seed_same_weights_other_seed_others() -> None:
    first, second = run("protray")[0].state_dict(), run("protray")[0].state_dict()
    assert same(first, second)
    assert not same(first, run("protray", seed=1)[0].state_dict())


def overfit(stage_name: str, weights: DistilWeights) -> list[float]:
    """Losses of 40 epochs on the four deep proteins, without dropout."""
    rows = np.concatenate([DEEP, PROTEINS.of_split("validation")])
    assert PROTEINS.maps is not None
    proteins = Proteins(PROTEINS.table.take(rows), PROTEINS.maps.take(rows))
    networks = Networks(
        classifier=ClassifierConfig(hidden=32, layers=1, dropout=0.0),
        enhance=EnhanceConfig(hidden=16, layers=1, filters=8, dropout=0.0, residual=False),
        fit=FitConfig(epochs=40, per_batch=4, learning_rate=0.02),
    )
    stages = {stage.name: stage for stage in plan_stages(networks, weights, "deep", HIDDEN, ())}
    stage = replace(stages[stage_name], lowering="fixed-ratio")  # a prior needs shallow proteins
    torch.manual_seed(0)
    step = build(stage, {"teacher": build(stages["teacher"], {}).state_dict()})
    _, history = train_stage(stage, step, proteins, FEATURES, lambda *_: None, None, World())
    return [metrics["train/loss"] for metrics in history]


@pytest.mark.parametrize("name", ["teacher", "protray"])
def test_four_proteins_are_learnt_by_heart(name) -> None:
    """Eight states: ln 8 = 2.08 nats at the start.  Labels alone, which is what kd_sigma = 1 leaves of Eq. 9."""
    losses = overfit(name, DistilWeights(alpha=1.0, beta=0.0, gamma=0.0, kd_sigma=1.0))
    assert losses[0] > 1.8
    assert losses[-1] < 0.3


def test_four_high_pssms_are_learnt_by_heart() -> None:
    """Squared nats per entry, with other rows of the alignment dropped in every epoch."""
    losses = overfit("Bagging enhancer", DistilWeights())
    assert losses[0] > 1.0
    assert losses[-1] < 0.35 * losses[0]


@pytest.mark.parametrize("name", ["teacher", "protray"])
def test_nan_in_an_input_names_the_proteins(name, monkeypatch) -> None:
    from protray.data.secondary.features import Features

    sick = int(DEEP[1])
    high = Features.high

    def with_nan(self: Features, row: int):  # noqa: ANN202
        pssm_LA = high(self, row)
        return pssm_LA * math.nan if row == sick else pssm_LA

    monkeypatch.setattr(Features, "high", with_nan)
    message = rf"epoch 1, batch \d of \d: the loss is nan with \[.*'{PROTEINS.ids[sick]}'.*; (no|the last finite) loss"
    with pytest.raises(NonFiniteLossError, match=message):
        run(name)


class Counter(nn.Module):
    """Its loss is -slope x weight; Adam answers a constant slope with a step of exactly the learning rate."""

    per: ClassVar = {"loss": "residues"}

    def __init__(self, *slopes: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.slopes = iter(slopes)

    def forward(self, batch: object) -> tuple[torch.Tensor, dict]:
        return -next(self.slopes, 1.0) * self.weight, {}


class OneBatch:
    ids = ["p"]

    def to(self, device: str) -> "OneBatch":
        return self


def share(residues: float = 1.0) -> Share:
    return Share([OneBatch], Totals(residues=residues))  # type: ignore[list-item]


def test_the_best_epoch_is_kept_not_the_last() -> None:
    """Scores .1 .5 .3 .5: the second epoch is best, and the fourth does not beat it."""
    step, scores, weights = Counter(), iter([0.1, 0.5, 0.3, 0.5]), []

    def score(at_once) -> dict[str, float]:  # noqa: ANN001
        weights.append(step.weight.item())
        assert not step.training
        return {"validation/score": next(scores)}

    best, history = fit(step, lambda epoch: [share()], 1, score, FitConfig(epochs=4), lambda *_: None)  # type: ignore
    assert best["weight"].item() == weights[1] != weights[3]
    assert [metrics["validation/score"] for metrics in history] == [0.1, 0.5, 0.3, 0.5]
    assert history[0]["train/gradient_norm"] == 1.0


def one_epoch(step: Counter, n_batches: int, **settings: object) -> dict[str, float]:
    config = FitConfig(epochs=1, learning_rate=1.0, **settings)  # type: ignore[arg-type]
    score = {"validation/score": 0.0}
    batches = [share(number + 1) for number in range(n_batches)]
    return fit(step, lambda epoch: batches, n_batches, lambda at_once: score, config, lambda *_: None)[1][0]  # type: ignore


def test_metrics_are_means_over_the_residues_of_an_epoch_not_over_its_batches() -> None:
    """Losses 0, -1, -2 in batches of 1, 2, 3 residues: the weight moves by 1, the learning rate, after each."""
    step = Counter()
    metrics = one_epoch(step, 3, anneal=False)
    assert step.weight.item() == pytest.approx(3)
    assert metrics["train/loss"] == pytest.approx((1 * 0 - 2 * 1 - 3 * 2) / 6)


def test_learning_rate_falls_from_batch_to_batch() -> None:
    """Of two batches in the only epoch the second comes half-way down the cosine: 1 + 0.5."""
    step = Counter()
    one_epoch(step, 2, anneal=True)
    assert step.weight.item() == pytest.approx(1.5)


def test_gradients_are_clipped() -> None:
    """Slopes 1e6 and 1 both count as 1; their norms are reported as they were."""
    step = Counter(1e6, 1.0)
    metrics = one_epoch(step, 2, anneal=False, clip=1.0)
    assert step.weight.item() == pytest.approx(2)
    assert metrics["train/gradient_norm"] == pytest.approx((1e6 + 1) / 2)


def test_state_survives_the_disk(tmp_path) -> None:
    state = {"weights": {"a": torch.arange(3)}, "best_score": -math.inf, "history": [{"x": 1.5}], "epoch": 2}
    save_state(tmp_path / "new", state)
    found = load_state(tmp_path / "new")
    assert torch.equal(found.pop("weights")["a"], torch.arange(3))
    assert found == {name: copy.deepcopy(value) for name, value in state.items() if name != "weights"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state.pt"]


def test_a_state_that_holds_code_is_refused(tmp_path) -> None:
    import pickle

    torch.save({"evil": pytest.approx}, tmp_path / "state.pt")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load_state(tmp_path)
