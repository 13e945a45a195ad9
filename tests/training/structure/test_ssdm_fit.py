"""Pre-training of a tiny joint encoder on chains of the bundled sample: curves, restarts, workers, a language model."""

import copy
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import leave
from ssdm_here import sample_chains
from tiny_model import LM_CHANNELS, save_tiny_lm
from torch import Tensor

from protray.data.structure.atom_batches import collate
from protray.data.structure.atoms import AtomStructures
from protray.models.joint.fusion_config import FusionConfig
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.plm.sequence_encoder import SequenceEncoder
from protray.training.errors import NonFiniteLossError
from protray.training.structure import ssdm as module
from protray.training.structure.ssdm import evaluate, fit, fresh, validation_batches
from protray.training.structure.ssdm_config import Objective, ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_draws import micro_batches, steps
from protray.training.updates import follow
from protray.training.world import World

NET = FrameAttentionConfig(channels=16, heads=2, pair=8, layers=1, neighbours=8)
ALONE = SsdmConfig(net=NET)
SHORTEST = 40  # the contrast needs it


def config(**settings: Any) -> SsdmFitConfig:
    plain = {
        "batch": 8, "micro_batch": 2, "crop": 24, "warmup": 2, "learning_rate": 3e-3, "ema": 0.9, "validate_every": 3,
    }  # fmt: skip
    return SsdmFitConfig(**(plain | settings))


def learn(*objectives: Objective, **settings: Any) -> ObjectiveConfig:
    return ObjectiveConfig(objective=objectives or ("residue", "distance"), contrast_crop=16, **settings)


def chains() -> AtomStructures:
    return sample_chains("train", 12, SHORTEST)


def joined_with(lm: Path, fusion: str = "serial", ratio: float = 0.1) -> SsdmConfig:
    fuse = FusionConfig(channels=8, heads=2)
    return SsdmConfig(net=NET, fusion=fusion, fuse=fuse, lm=str(lm), lm_lr_ratio=ratio)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> Path:
    return save_tiny_lm(tmp_path_factory.mktemp("lm") / "lm")


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
    return {name: value for name, value in metrics.items() if name != "train/steps_per_second"}


def run(
    total: int, joint: SsdmConfig = ALONE, objectives: ObjectiveConfig | None = None, c: SsdmFitConfig | None = None,
    **more: Any,
) -> tuple[dict, Record]:  # fmt: skip
    record, objectives, c = Record(), objectives or learn(), c or config()
    held_out = validation_batches(sample_chains("validation", 10, SHORTEST), objectives, c, NET.neighbours)
    return fit(joint, objectives, c, total, chains(), held_out, record, **more), record


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---- a curve


def test_reports_and_states_come_when_they_should() -> None:
    state, record = run(7)
    assert record.steps == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(record.states) == [3, 6, 7]
    assert [point["step"] for point in state["position"]["history"]] == [3, 6, 7]
    point = record.curve[0]
    assert point["train/loss"] == pytest.approx(point["train/residue"] / 3 + point["train/distance"])
    assert point["validation/loss"] == pytest.approx(point["validation/residue"] / 3 + point["validation/distance"])
    assert 2 < point["validation/residue"] < 4 and 0 <= point["validation/residue/accuracy"] < 0.3


def test_overfit_on_four_chains() -> None:
    """Types of hidden residues cost 3.0 for who knows nothing; here the same few are seen over and over."""
    few = sample_chains("train", 4, longest=52)
    net = FrameAttentionConfig(channels=64, heads=4, pair=16, layers=2, neighbours=12)
    c = config(batch=4, micro_batch=4, crop=60, learning_rate=3e-3, warmup=20, ema=0.0, validate_every=500,
               side_chain_drop=0.0, backbone_drop=0.0, weight_decay=0.0)  # fmt: skip
    objectives = learn("residue")
    held_out = validation_batches(few, objectives, c, net.neighbours)
    state = fit(SsdmConfig(net=net), objectives, c, 500, few, held_out, Record())
    [point] = state["position"]["history"]
    assert point["validation/residue"] < 0.1 and point["validation/residue/accuracy"] > 0.95


def test_best_weights_are_those_of_the_lowest_validation_loss(monkeypatch) -> None:
    """Validation says 9, 4, 6: the second is kept."""
    losses = iter([9.0, 4.0, 6.0])
    monkeypatch.setattr(module, "evaluate", lambda *_: {"loss": next(losses)})
    state, record = run(6, c=config(validate_every=2))
    assert (state["position"]["best_step"], state["position"]["best_loss"]) == (4, 4.0)
    assert same(state["best"], record.states[4]["average"])
    assert not same(state["best"], state["average"])


def test_running_mean_by_hand() -> None:
    """Decays (n / (10 + n), at most 0.1): weights w1, w2 give 1/11 w0 + 10/11 w1 = a, then 0.1 a + 0.9 w2."""
    c = config(ema=0.1, validate_every=1)
    state, record = run(2, c=c)
    for name, w0 in fresh(ALONE, learn(), c.seed).named_parameters():
        w1, w2 = record.states[1]["net"][name], state["net"][name]
        torch.testing.assert_close(state["average"][name], 0.1 * (w0 / 11 + 10 / 11 * w1) + 0.9 * w2)
    state, _ = run(2, c=config(ema=0.0))
    assert same(state["average"], state["net"])


def test_a_shared_weight_has_no_running_mean() -> None:
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    other.weight = one.weight
    before, bias = one.weight.detach().clone(), other.bias.detach().clone()
    follow(other, one, 0.5)
    assert torch.equal(one.weight, before)
    torch.testing.assert_close(other.bias, (bias + one.bias) / 2)


def test_chains_without_a_cluster_are_rivals_of_the_contrast() -> None:
    """As their own; in one cluster they would have none, and cost nothing."""
    objectives, c = learn("contrast"), config()
    bare = replace(sample_chains("validation", 10, SHORTEST), clusters=[""] * 10)
    net = fresh(ALONE, objectives, 0)
    found = evaluate(net, validation_batches(bare, objectives, c, NET.neighbours), objectives, NET.neighbours)
    assert found["contrast"] > 0.5


# ---- restarts


@pytest.mark.parametrize("objective", ["residue", "contrast", "siamdiff"])
def test_resume_is_exact(objective) -> None:
    """From each state the same weights, running mean, best weights and, bit by bit, the same curve."""
    objectives = learn(objective)
    whole, record = run(8, objectives=objectives)
    for step in (3, 6):
        again, after = run(8, objectives=objectives, resume=record.states[step])
        for part in ("net", "average", "best"):
            assert same(whole[part], again[part])
        assert after.curve == [point for point in record.curve if point["step"] > step]
        assert [timeless(point) for point in again["position"]["history"]] == record.curve


def test_a_finished_run_costs_nothing() -> None:
    whole, _ = run(3)
    again, after = run(3, resume=whole)
    assert after.steps == [] and same(again["best"], whole["best"])


def test_products_in_bfloat16(monkeypatch) -> None:
    """The loss is nearly the same; without hardware for it, it is the same to the bit."""
    losses = {}
    for name, here, bf16 in (("float32", True, False), ("bfloat16", True, True), ("elsewhere", False, True)):
        monkeypatch.setattr(module, "has_bf16", lambda here=here: here)
        _, record = run(2, ALONE, learn("residue", "distance"), config(bf16=bf16))
        losses[name] = record.curve[-1]["train/loss"]
    assert losses["elsewhere"] == losses["float32"] != losses["bfloat16"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=2e-2)


# ---- a language model


@pytest.mark.parametrize("fusion", ["serial", "parallel", "cross"])
def test_one_step_moves_everything_and_the_language_model_by_a_tenth(lm, fusion) -> None:
    """Adam's first step is its rate, wherever there is a gradient; key biases of attention have none."""
    joint = joined_with(lm, fusion)
    c = config(learning_rate=1e-3, warmup=0, constant=True, weight_decay=0.0, validate_every=1, clip=1e9)
    state, _ = run(1, joint, learn("residue", "distance"), c)
    begun = fresh(joint, learn("residue", "distance"), c.seed)
    moved = {name: (state["net"][name] - weight).abs().max().item() for name, weight in begun.named_parameters()}
    still = {name for name, far in moved.items() if far < 1e-6}
    assert all(name.endswith(("key.bias",)) or "contact_head" in name for name in still), still
    of_lm = [far for name, far in moved.items() if name.startswith("model.lm.") and name not in still]
    rest = [far for name, far in moved.items() if not name.startswith("model.lm.") and "key" not in name]
    assert len(of_lm) > 20 and max(of_lm) == pytest.approx(1e-4, rel=0.02)
    assert len(rest) > 20 and max(rest) == pytest.approx(1e-3, rel=0.02) and min(rest) > 1e-4


@torch.no_grad()
def test_an_encoder_that_learnt_alone_says_the_same_in_a_fusion(lm) -> None:
    """Serial reads the language model through zeros; what is parallel stands beside it; heads are new."""
    alone = fresh(ALONE, learn(), seed=5)
    weights = alone.model.encoder.state_dict()
    batch = collate([sample_chains("train", 1, 40, 60).chain(0)])
    expected_LC = alone.model.eval().encode(batch).residue_BLC[0]
    for fusion in ("serial", "parallel"):
        joint = joined_with(lm, fusion)
        found = fresh(joint, learn(), 0, weights).model.eval().encoder
        begun = fresh(joint, learn(), 0).model.encoder
        given = replace(batch, lm_BLC=torch.randn(1, len(expected_LC), LM_CHANNELS))
        torch.testing.assert_close(found(given)[0], expected_LC)
        assert (begun.eval()(given)[0] - expected_LC).abs().max() > 1e-2


@pytest.mark.parametrize("fusion", ["serial", "parallel", "cross"])
def test_a_ratio_of_0_is_the_limit_of_small_ones_to_the_last_bit(lm, fusion) -> None:
    """At 1e-30 the language model learns, too, but no step of it reaches the last digit of a weight."""
    c = config(clip=1e9)  # whose norm would count the gradient of the language model
    frozen, record = run(4, joined_with(lm, fusion, ratio=0.0), c=c)
    small, other = run(4, joined_with(lm, fusion, ratio=1e-30), c=c)
    assert frozen["net"].keys() < small["net"].keys()
    assert same(frozen["net"], {name: small["net"][name] for name in frozen["net"]})
    for one, two in zip(record.curve, other.curve, strict=True):
        assert {name: two[name] for name in one if name != "train/gradient_norm"} == {
            name: value for name, value in one.items() if name != "train/gradient_norm"
        }
        assert two["train/gradient_norm/rest"] == pytest.approx(one["train/gradient_norm"])
        assert two["train/gradient_norm/language_model"] > 0


def test_a_frozen_language_model_stays_as_it_is_and_is_in_no_checkpoint(lm) -> None:
    net = fresh(joined_with(lm, ratio=0.0), learn(), 0)
    net.train()
    given = SequenceEncoder(str(lm), trained=False).state_dict()
    assert net.model.lm is not None and same(net.model.lm.state_dict(), given)
    assert not any(weight.requires_grad for weight in net.model.lm.parameters())
    held = {id(weight) for group in net.parameter_groups(1e-3) for weight in group["params"]}
    rest = {id(weight) for name, weight in net.named_parameters() if not name.startswith("model.lm.")}
    assert held == rest
    state, record = run(4, joined_with(lm, ratio=0.0), learn("distance"))
    assert not any(name.startswith("model.lm.") for part in ("net", "average", "best") for name in state[part])
    again, _ = run(4, joined_with(lm, ratio=0.0), learn("distance"), resume=record.states[3])
    assert same(again["net"], state["net"])


# ---- what is not finite


def test_a_loss_that_is_not_finite_names_its_chains_and_changes_nothing(monkeypatch) -> None:
    """The second of the four micro-batches breaks."""
    c, plain = config(), module.objective_losses
    visits = micro_batches(next(steps(chains().lengths, c, learn())), c)[1]
    ids = {chains().ids[visit.row] for visit in visits}
    drawn = module.batch_of(chains(), visits, learn(), c, NET.neighbours)

    def broken(model, heads, batch, *more, **named):  # noqa: ANN001, ANN202
        found = plain(model, heads, batch, *more, **named)
        if torch.equal(batch.paths_NS, drawn.paths_NS):
            found["distance"] = found["distance"][0] * math.inf, found["distance"][1]
        return found

    monkeypatch.setattr(module, "objective_losses", broken)
    record = Record()
    with pytest.raises(NonFiniteLossError, match="after step 0 of 3: the loss is not finite with the chains") as error:
        fit(ALONE, learn(), c, 3, chains(), [], record)
    assert {id for id in chains().ids if id in str(error.value)} == ids
    assert record.steps == []


def test_a_gradient_or_a_validation_loss_that_is_not_finite_ends_the_run(monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "evaluate", lambda *_: {"loss": math.nan})
        with pytest.raises(
            NonFiniteLossError, match=r"after step 3 of 5: the validation loss is not finite.*; the last"
        ):
            run(5)
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda *_: torch.tensor(math.nan))
    with pytest.raises(NonFiniteLossError, match="the gradient is not finite .*: lower the learning rate"):
        run(3)


# ---- workers and micro-batches


@pytest.mark.parametrize("objective", ["residue", "contrast", "denoise"])
def test_micro_batches_change_nothing(objective) -> None:
    objectives = learn(objective, "distance")
    found = [run(2, objectives=objectives, c=config(micro_batch=size, validate_every=2))[1].curve for size in (2, 8)]
    for one, other in zip(*found, strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-5)


def several(lm: Path) -> dict[str, tuple[SsdmConfig, ObjectiveConfig]]:
    """What is trained by one, two and four workers."""
    return {
        "self": (ALONE, learn("residue", "distance")),
        "contrast": (ALONE, learn("contrast")),
        "noise": (ALONE, learn("denoise", "siamdiff")),
        "fusion": (joined_with(lm), learn("residue", "distance")),
    }


def run_rank(rank: int, folder: Path, lm: Path) -> None:
    """What each of four processes does: train in a world of one, of two and of four, where it belongs to it."""
    torch.set_num_threads(1)
    for size in (1, 2, 4):
        if rank >= size:
            continue
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        store = f"file://{folder / f'meeting-point-{size}'}"
        torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
        for name, (joint, objectives) in several(lm).items():
            c = config(learning_rate=1e-3, validate_every=2)
            state, record = run(4, joint, objectives, c, world=World(rank, size))
            if rank == 0:
                torch.save({"curve": record.curve, "weights": state["best"]}, folder / f"{name}-{size}.pt")
    leave()


def test_two_and_four_workers_give_the_curve_of_one(tmp_path, lm) -> None:
    """Noise levels of validation are not the same on all workers: ten chains are a batch of eight and one of two."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.multiprocessing.spawn(run_rank, args=(tmp_path, lm), nprocs=4)
    for name in several(lm):
        one, *others = (torch.load(tmp_path / f"{name}-{size}.pt", weights_only=True) for size in (1, 2, 4))
        assert [point["step"] for point in one["curve"]] == [2, 4]
        for size, several_ in zip((2, 4), others, strict=True):
            for alone, together in zip(one["curve"], several_["curve"], strict=True):
                assert together == pytest.approx(alone | {"train/world_size": size}, rel=1e-4, abs=1e-5)
            _close(one["weights"], several_["weights"])


def _close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, rtol=1e-3, atol=1e-4)
