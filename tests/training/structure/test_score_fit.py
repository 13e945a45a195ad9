"""Pre-training of a tiny score network on chains of the bundled sample."""

import copy
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import leave

from protray.data.structure.structures import Structures, read_structures
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_net import ConditionalNorm, ScoreNet
from protray.training.errors import NonFiniteLossError
from protray.training.structure import score_net as module
from protray.training.structure.score_net import Denoising, calibrate, fit, forward, validate
from protray.training.structure.score_steps import (
    Crops,
    ScoreFitConfig,
    Share,
    calibration_batches,
    steps,
    validation_batches,
)
from protray.training.updates import learning_rate
from protray.training.world import World

NET = ScoreNetConfig(blocks=2, channels=16, bottleneck=16, dilations=(1, 2), distances=8)


def chains(count: int = 12) -> Structures:
    """The first of the bundled sample's training chains."""
    whole = read_structures(split="train")
    end = whole.starts[count]
    return Structures(
        whole.ids[:count], whole.codes_R[:end], whole.index_R[:end], whole.ca_R3[:end].copy(), whole.starts[: count + 1]
    )


def config(**settings: object) -> ScoreFitConfig:
    plain = {
        "batch": 8, "micro_batch": 2, "crop": 16, "warmup": 2, "learning_rate": 3e-3, "ema": 0.9, "validate_every": 3,
        "bf16": False,
    }  # fmt: skip
    return ScoreFitConfig(**(plain | settings))  # type: ignore[arg-type]


def stream(c: ScoreFitConfig, data: Structures, rank: int = 0, world: int = 1) -> Callable[[int], Iterator[Share]]:
    return lambda step: steps(data, c, NET.noise, step, rank, world)


def few(c: ScoreFitConfig, data: Structures) -> tuple[list[Crops], list[Crops]]:
    """Micro-batches to calibrate on, and to validate on."""
    return calibration_batches(data, c, NET.noise)[:4], validation_batches(data, c, NET.noise)


class Record:
    """What a run reports, but for its speed: the curve, and the states by step."""

    def __init__(self) -> None:
        self.curve: list[dict] = []
        self.states: dict[int, dict] = {}
        self.steps: list[int] = []

    def __call__(self, metrics: dict, state: dict | None) -> None:
        self.steps.append(int(metrics["step"]))
        if state:
            self.curve.append(timeless(metrics))
            self.states[int(metrics["step"])] = copy.deepcopy(state)


def timeless(metrics: dict) -> dict:
    return {name: value for name, value in metrics.items() if name != "train/structures_per_second"}


def run(c: ScoreFitConfig, total: int, data: Structures, **more: object) -> tuple[dict, Record]:
    record = Record()
    state = fit(NET, c, total, stream(c, data), *few(c, data), record, **more)  # type: ignore[arg-type]
    return state, record


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_learning_rate_by_hand() -> None:
    """Peak 1 after 2 of 6 steps: 1/2, 1, 1, then half a cosine: 0.5 half-way, 0 at the end; or constant."""
    c = config(learning_rate=1.0)
    assert [learning_rate(step, 6, c) for step in (0, 1, 2, 4, 6)] == pytest.approx([0.5, 1, 1, 0.5, 0])
    c = config(learning_rate=1.0, warmup=0, constant=True)
    assert [learning_rate(step, 6, c) for step in (0, 5)] == [1, 1]


def test_untrained_network_costs_what_a_zero_score_costs() -> None:
    """3 L / 2 = 24 for 16 residues, with a standard error of sqrt(24 / 1024) = 0.15.

    Rigid motions are 3 of it where the noise is small, and less where it has moved the axes that they turn about.
    """
    c, denoising = config(batch=1024, micro_batch=128), Denoising(ScoreNet(NET))
    found = [forward(denoising, crops, c, World()) for crops in next(stream(c, chains())(0)).batches]
    loss_S, zero_S, rigid_S = (torch.cat(parts).detach() for parts in zip(*found, strict=True))
    assert torch.equal(loss_S, zero_S)
    assert len(loss_S) == 1024
    assert (zero_S + rigid_S).mean().item() == pytest.approx(24, abs=3 * 0.15)
    assert 2 < rigid_S.mean().item() < 3.2


def test_first_point_of_the_curve_is_a_zero_score() -> None:
    c, data = config(), chains()
    found = validate(ScoreNet(NET).eval(), few(c, data)[1], c, World())
    assert found["validation/explained"] == pytest.approx(0, abs=1e-6)
    assert found["validation/loss_over_zero"] == pytest.approx(1, abs=0.1)
    assert found["validation/loss"] == pytest.approx(24 * found["validation/loss_over_zero"])
    levels = [found[f"validation/level_{k:02d}/loss"] for k in range(1, 33)]
    assert min(levels) > 5 and np.mean(levels) == pytest.approx(24, abs=4)  # of 12 x 8 crops


def test_overfit_on_four_chains() -> None:
    """A new network explains none of the noise; this one 27 to 33 % with three seeds, validated on the same chains."""
    c = config(crop=16, batch=8, micro_batch=4, learning_rate=0.01, warmup=10, validate_every=150)
    _, record = run(c, 150, chains(4))
    [point] = record.curve
    assert point["train/explained"] > 0.1
    assert point["validation/explained"] > 0.2
    assert point["validation/loss"] < 0.85 * 24


def test_reports_and_states_come_when_they_should() -> None:
    _, record = run(config(), 7, chains())
    assert record.steps == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(record.states) == [3, 6, 7]
    assert [point["step"] for point in record.states[7]["position"]["history"]] == [3, 6, 7]


@pytest.mark.parametrize("bf16", [False, True])
def test_resume_is_exact(bf16) -> None:
    """From each state the same weights, running mean, best weights and, bit by bit, the same curve."""
    c, data = config(bf16=bf16), chains()
    whole, record = run(c, 8, data)
    for step in (3, 6):
        again, after = run(c, 8, data, resume=record.states[step])
        for part in ("model", "average", "best"):
            assert same(whole[part], again[part])
        assert after.curve == [point for point in record.curve if point["step"] > step]
        assert [timeless(point) for point in again["position"]["history"]] == record.curve


def test_a_finished_run_costs_nothing() -> None:
    c, data = config(), chains()
    whole, _ = run(c, 3, data)
    again, after = run(c, 3, data, resume=whole)
    assert after.steps == [] and same(again["best"], whole["best"])


def test_best_weights_are_those_of_the_lowest_validation_loss(monkeypatch) -> None:
    """Validation says 9, 4, 6, NaN: the second is kept."""
    losses = iter([9.0, 4.0, 6.0, math.nan])
    monkeypatch.setattr(module, "validate", lambda *_: {"validation/loss": next(losses)})
    state, record = run(config(validate_every=2), 8, chains())
    assert (state["position"]["best_step"], state["position"]["best_loss"]) == (4, 4.0)
    assert same(state["best"], record.states[4]["average"])
    assert not same(state["best"], state["average"])


def test_running_mean_by_hand() -> None:
    """Decays (n / (10 + n), at most 0.1): weights w1, w2 give 1/11 w0 + 10/11 w1 = a, then 0.1 a + 0.9 w2."""
    c, data = config(ema=0.1, validate_every=1), chains()
    state, record = run(c, 2, data)
    torch.manual_seed(module.key(c.seed, "score net"))
    first = dict(ScoreNet(NET).named_parameters())
    for name, w0 in first.items():
        w1, w2 = record.states[1]["model"][name], state["model"][name]
        torch.testing.assert_close(state["average"][name], 0.1 * (w0 / 11 + 10 / 11 * w1) + 0.9 * w2)
    state, _ = run(config(ema=0.0), 3, data)
    for name in first:
        assert torch.equal(state["average"][name], state["model"][name])


def test_statistics_are_those_of_the_calibration_batches() -> None:
    """With one micro-batch, evaluation normalises it as training does."""
    c, data = config(), chains()
    [crops] = calibration_batches(data, c, NET.noise)[:1]
    torch.manual_seed(0)
    net = ScoreNet(NET)
    for norm in net.modules():
        if isinstance(norm, ConditionalNorm):
            torch.nn.init.normal_(norm.scale_KC)
    torch.nn.init.normal_(net.last.weight)
    calibrate(net, [crops], c, World())
    assert not net.training
    fixed, _, _ = forward(Denoising(net), crops, c, World())
    own, _, _ = forward(Denoising(net.train()), crops, c, World())
    torch.testing.assert_close(fixed, own, rtol=1e-3, atol=1e-3)


def test_gradients_have_the_layout_of_their_weights(monkeypatch) -> None:
    """Fused Adam goes through both in the order of memory: with another layout it would mix up the weights."""
    c, data, strides = config(), chains(), []
    plain = torch.optim.Adam.step

    def looked_at(self, *arguments):  # noqa: ANN001, ANN002, ANN202
        strides.extend(
            (weight.stride(), weight.grad.stride()) for group in self.param_groups for weight in group["params"]
        )
        return plain(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", looked_at)
    run(c, 1, data)
    assert strides and all(of_weight == of_gradient for of_weight, of_gradient in strides)


def test_accumulation_and_order_of_micro_batches_do_not_change_a_step() -> None:
    c, data = config(), chains()
    [share] = [share for share, _ in zip(stream(c, data)(0), range(1), strict=False)]
    states = []
    for batches in (share.batches, share.batches[::-1]):
        shares = [replace(share, batches=batches)]
        states.append(fit(NET, c, 1, lambda _, s=shares: iter(s), *few(c, data), Record())["model"])
    for name, weight in states[0].items():
        torch.testing.assert_close(states[1][name], weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_coordinates_that_are_none_stop_the_run_and_name_the_chain(value) -> None:
    c, data = config(), chains()
    data.ca_R3[data.starts[5] : data.starts[6], 1] = value
    message = f"not finite with the chains {data.ids[5]}: C-alpha coordinates are missing, infinite or beyond 1,000,000"
    with pytest.raises(NonFiniteLossError, match=message):
        fit(NET, c, 3, stream(c, data), *few(c, chains()), Record())
    with pytest.raises(NonFiniteLossError, match=message):  # held-out chains, too
        fit(NET, c, 3, stream(c, chains()), few(c, chains())[0], few(c, data)[1], Record())


def test_all_atoms_at_one_point_train_to_finite_weights() -> None:
    c, data = config(), chains()
    data.ca_R3[data.starts[5] : data.starts[6]] = 1.5
    state, record = run(c, 3, data)
    assert all(math.isfinite(record.curve[0][name]) for name in ("train/loss", "validation/loss"))
    assert all(value.isfinite().all() for value in state["best"].values())


def test_a_loss_or_gradient_that_is_not_finite_stops_the_run_before_it_changes_anything(monkeypatch) -> None:
    """The second of the four micro-batches breaks: its two chains are named, and no others."""
    c, data = config(), chains()
    first = next(stream(c, data)(0))
    plain, second = Denoising.forward, torch.from_numpy(first.batches[1].ca_BL3)

    def broken(self, *tensors):  # noqa: ANN001, ANN002, ANN202
        loss_B, zero_B, rigid_B = plain(self, *tensors)
        return (loss_B * math.inf if torch.equal(tensors[2], second) else loss_B), zero_B, rigid_B

    monkeypatch.setattr(Denoising, "forward", broken)
    record = Record()
    with pytest.raises(NonFiniteLossError, match="the loss is not finite") as error:
        fit(NET, c, 3, stream(c, data), *few(c, data), record)
    assert {id for id in data.ids if id in str(error.value)} == set(first.batches[1].ids)
    assert record.steps == []
    monkeypatch.setattr(Denoising, "forward", plain)
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda *_: torch.tensor(math.nan))
    with pytest.raises(NonFiniteLossError, match="the gradient is not finite .* lower the learning rate"):
        fit(NET, c, 3, stream(c, data), *few(c, data), record)


def run_rank(rank: int, folder: Path) -> None:
    """What each of four processes does: train in a world of one, of two and of four, where it belongs to it."""
    torch.set_num_threads(1)
    c, data = config(learning_rate=1e-3), chains()
    for size in (1, 2, 4):
        if rank >= size:
            continue
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        store = f"file://{folder / f'meeting-point-{size}'}"
        torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
        record = Record()
        state = fit(NET, c, 9, stream(c, data, rank, size), *few(c, data), record, world=World(rank, size))
        if rank == 0:
            torch.save({"curve": record.curve, "weights": state["best"]}, folder / f"{size}.pt")
    leave()


def test_two_and_four_workers_give_the_curve_of_one(tmp_path) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.multiprocessing.spawn(run_rank, args=(tmp_path,), nprocs=4)
    one, two, four = (torch.load(tmp_path / f"{size}.pt", weights_only=True) for size in (1, 2, 4))
    assert [point["step"] for point in one["curve"]] == [3, 6, 9]
    for size, several in ((2, two), (4, four)):
        for alone, together in zip(one["curve"], several["curve"], strict=True):
            assert together == pytest.approx(alone | {"train/world_size": size}, rel=1e-4, abs=1e-5)
        for name, weight in one["weights"].items():
            torch.testing.assert_close(several["weights"][name], weight, rtol=1e-3, atol=1e-4)
