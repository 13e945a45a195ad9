"""Fine-tuning: it begins where the linear read-out is, learns by heart, goes on where it stopped, and is shared."""

import copy
import functools
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ssdm_here import sample_chains
from tiny_model import LM_CHANNELS, save_tiny_lm
from workers_here import two_workers

from protray.evaluation.tasks.properties.closed_form import closed_form, quality
from protray.evaluation.tasks.properties.discriminant import choose_discriminant
from protray.evaluation.tasks.properties.function import fmax
from protray.evaluation.tasks.properties.function_baselines import choose_logistic
from protray.evaluation.tasks.properties.read_outs import standardised
from protray.evaluation.tasks.properties.stability_baselines import choose_ridge
from protray.inference.embeddings.residues import statistics_of
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.models.joint.alone import Alone
from protray.models.joint.fusion_config import FusionConfig
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import RivalConfig, SsdmConfig
from protray.models.structure.cdconv_config import CdConvConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.models.structure.gvp_config import GvpConfig
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig, Kind
from protray.models.tasks.tuned import Tuned, statistics
from protray.pipelines.tasks.tuned.training import begin
from protray.plm.sequence_encoder import SequenceEncoder
from protray.training.errors import NonFiniteLossError
from protray.training.structure.ssdm_export import SsdmCard
from protray.training.tasks.properties.fine_tune import fit, groups_of, predict
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.properties.fine_tune_examples import StructureExamples, cropped
from protray.training.world import World

NET = FrameAttentionConfig(channels=8, heads=2, pair=4, layers=1, neighbours=6)
SEED = threading.Lock()  # the seed is one for all threads, and two workers build their networks at the same time
ENCODERS = {
    "frame attention": SsdmConfig(net=NET),
    "GVP": RivalConfig(net=GvpConfig(node_scalars=8, node_vectors=2, edge_scalars=8, layers=1, neighbours=6)),
    "CDConv": RivalConfig(net=CdConvConfig(embedding=8, widths=(8, 8), radii=(8.0, 12.0), kernel=4)),
}
FIT = FineTuneConfig(epochs=2, batch=8, micro_batch=2, crop=40, learning_rate=1e-2, warmup=2)
OUTPUTS = {"labels": 3, "class": 3, "value": 1}
KINDS: tuple[Kind, ...] = ("labels", "class", "value")


def examples(split: str, count: int, kind: Kind) -> StructureExamples:
    """Chains with what is drawn for them; every class is there, and the last chain has no structure."""
    chains, rng = sample_chains(split, count - 1, longest=60), np.random.default_rng(count)
    y_NT = rng.standard_normal((count, 1)) * 3 + 50
    if kind != "value":
        y_NT = np.eye(3)[np.arange(count) % 3]
    if kind == "labels":
        y_NT[:, 0] = np.maximum(y_NT[:, 0], rng.random(count) < 0.5)
    return StructureExamples(chains, np.append(np.arange(count - 1), -1), y_NT.astype(np.float32))


def encoder(config: SsdmConfig | RivalConfig, lm: SequenceEncoder | None = None) -> Ssdm:
    with SEED:
        torch.manual_seed(0)
        return Ssdm(config, lm, LM_CHANNELS if lm else 0).eval()


def frozen(net: Ssdm, some: StructureExamples) -> np.ndarray:
    """The vectors of `jobs/function.py`; NaN without a structure."""
    embed = StructureEncoder(SsdmCard(net.config, True, (), 0), net)
    found = np.full((len(some.row_N), 2 * net.channels + 1), np.nan, np.float32)
    for n, row in enumerate(some.row_N):
        if row >= 0:
            found[n] = statistics_of(embed.residue(some.chains.chain(row)))
    return found


def started(
    kind: Kind, config: SsdmConfig | RivalConfig = ENCODERS["frame attention"]
) -> tuple[Tuned, list[StructureExamples], list[np.ndarray]]:
    net, parts = encoder(config), [examples("train", 24, kind), examples("validation", 9, kind)]
    x = [frozen(net, part) for part in parts]
    head = Head(HeadConfig(hidden=0), kind, x[0].shape[1], OUTPUTS[kind])
    begin(head, closed_form(kind, x[0], parts[0].y_NT, x[1], parts[1].y_NT), parts[0].y_NT)
    return Tuned(net, head), parts, x


def linear(kind: Kind, parts: list[StructureExamples], x: list[np.ndarray]) -> np.ndarray:
    """The linear read-out of the tables, of the validation split."""
    (train, validation), known = standardised(*x), [part.y_NT for part in parts]
    if kind == "labels":
        return choose_logistic(train, known[0], validation, known[1]).predict(validation)
    if kind == "value":
        y = [part[:, 0].astype(float) for part in known]
        return choose_ridge(train, y[0], validation, y[1]).predict(validation)[:, None]
    labels = [part.argmax(axis=1) for part in known]
    return choose_discriminant(train, labels[0], 3, validation, labels[1]).predict(validation)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ENCODERS)
def test_before_the_first_step_it_says_what_the_linear_read_out_says(kind, name) -> None:
    net, parts, x = started(kind, ENCODERS[name])
    found = predict(net, parts[1])
    assert found.shape == (9, OUTPUTS[kind]) and np.ptp(found[:-1, 0]) > 1e-3
    np.testing.assert_allclose(found, linear(kind, parts, x), rtol=2e-4, atol=2e-4)


def test_statistics_are_those_of_frozen_vectors() -> None:
    z_BLC = torch.randn(2, 7, 3)
    real_BL = torch.arange(7) < torch.tensor([[7], [4]])
    found = statistics(z_BLC * real_BL[..., None], real_BL, torch.tensor([7, 9]))
    wanted = [statistics_of(z_BLC[0].numpy()), statistics_of(z_BLC[1, :4].numpy())]
    wanted[1][-1] = np.log(9)  # of a crop, the length of the whole
    torch.testing.assert_close(found, torch.from_numpy(np.stack(wanted)))


def curve(kind: Kind = "class", **more) -> tuple[dict, list[dict], list[dict]]:
    net, parts, _ = started(kind)
    points: list[dict] = []
    states: list[dict] = []

    def keep(metrics: dict, state: dict | None) -> None:
        if state:
            points.append(dict(metrics))
            states.append(copy.deepcopy(state))

    of = functools.partial(quality, kind)
    state = fit(net, *parts, FIT, lambda found_NT: of(found_NT, parts[1].y_NT), keep, **more)
    return state, points, states


def test_epoch_0_is_the_frozen_encoder_and_the_best_is_kept() -> None:
    state, points, states = curve()
    assert [(point["epoch"], point["step"], point["of"]) for point in points] == [(0, 0, 6), (1, 3, 6), (2, 6, 6)]
    assert "train/loss" not in points[0] and points[1]["train/loss"] > 0
    net, parts, x = started("class")
    right = (linear("class", parts, x).argmax(axis=1) == parts[1].y_NT.argmax(axis=1)).mean()
    assert points[0]["validation/quality"] == pytest.approx(right)
    best = state["position"]["best_epoch"]
    assert points[best]["validation/quality"] == max(point["validation/quality"] for point in points)
    net.load_state_dict(state["best"])
    assert quality("class", predict(net, parts[1]), parts[1].y_NT) == points[best]["validation/quality"]
    assert not torch.equal(states[0]["net"]["encoder.encoder.pair.weight"], state["net"]["encoder.encoder.pair.weight"])


def test_a_resumed_training_gives_the_same_curve() -> None:
    whole, points, states = curve()
    again, later, _ = curve(resume=states[1])
    assert later == points[2:]
    assert all(torch.equal(again["net"][name], weight) for name, weight in whole["net"].items())
    last, none, _ = curve(resume=states[2])
    assert not none and last["position"]["best_epoch"] == whole["position"]["best_epoch"]


@pytest.mark.parametrize("kind", ["labels", "value"])
def test_two_workers_see_what_one_sees(kind) -> None:
    _, alone, _ = curve(kind)
    for _, points, _ in two_workers(lambda world: curve(kind, world=world)):
        for one, other in zip(alone, points, strict=True):
            assert one == pytest.approx(other, rel=1e-3)


def test_four_labels_are_learnt_by_heart() -> None:
    """To Fmax 1, from a head that knows nothing: the encoder has to learn, too."""
    chains, y_NT = sample_chains("train", 6, longest=60), np.eye(4, dtype=bool)[[0, 1, 2, 3, 0, 1]]
    y_NT[:2, 3] = True
    some = StructureExamples(chains, np.arange(6), y_NT.astype(np.float32))
    net = Tuned(encoder(SsdmConfig(net=replace(NET, channels=32))), Head(HeadConfig(hidden=0), "labels", 65, 4))
    assert fmax(predict(net, some), y_NT) < 0.9
    config = replace(FIT, epochs=40, batch=6, micro_batch=6, crop=60)
    state = fit(net, some, some, config, lambda found_NT: fmax(found_NT, y_NT), lambda metrics, state: None)
    assert state["position"]["history"][state["position"]["best_epoch"]]["validation/quality"] == pytest.approx(1)


# ---- a language model beside it


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> Path:
    return save_tiny_lm(tmp_path_factory.mktemp("lm") / "lm")


def fused(lm: Path, fusion: str, ratio: float) -> Tuned:
    if fusion == "alone":
        whole = Alone(SequenceEncoder(str(lm), trained=True), LM_CHANNELS)
        return Tuned(whole, Head(HeadConfig(hidden=0), "class", 2 * LM_CHANNELS + 1, 3), lm_lr_ratio=ratio)
    fuse = FusionConfig(channels=8, heads=2)
    config = SsdmConfig(net=NET, fusion=fusion, fuse=fuse, lm=str(lm), lm_lr_ratio=ratio)  # type: ignore[arg-type]
    net = encoder(config, SequenceEncoder(str(lm), trained=False))
    torch.manual_seed(1)
    head = Head(HeadConfig(hidden=0), "class", 2 * net.channels + 1, 3)
    return Tuned(net, head, lm_lr_ratio=ratio)


@pytest.mark.parametrize("fusion", ["serial", "parallel", "cross", "alone"])
@pytest.mark.parametrize("ratio", [0.0, 0.1])
def test_groups_have_every_parameter_that_learns_once(lm, fusion, ratio) -> None:
    net = fused(lm, fusion, ratio)
    groups = groups_of(net, replace(FIT, lm_lr_ratio=ratio))
    found = [id(weight) for group in groups for weight in group["params"]]
    assert len(found) == len(set(found))
    slow = {id(weight) for weight in net.encoder.lm.parameters()}  # type: ignore[union-attr]
    assert set(found) == {id(weight) for weight in net.parameters()} - (slow if ratio == 0 else set())
    assert [group["lr"] for group in groups] == [1e-2, 1e-3][: len(groups)] and len(groups) == (2 if ratio else 1)


@pytest.mark.parametrize("fusion", ["parallel", "alone"])
@pytest.mark.parametrize("ratio", [0.0, 0.1])
def test_the_language_model_learns_at_its_own_rate_or_not_at_all(lm, fusion, ratio) -> None:
    """Adam's first step is the rate wherever there is a gradient: a tenth of it; of the ratio 0 nothing moves."""
    net, some = fused(lm, fusion, ratio), examples("train", 9, "class")
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    config = replace(FIT, epochs=1, crop=30, lm_lr_ratio=ratio, weight_decay=0.0, warmup=0, clip=1e9)
    state = fit(net, some, some, config, lambda found_NT: 0.0, lambda metrics, state: None)
    moved = {name: (weight - before[name]).abs().max().item() for name, weight in net.state_dict().items()}
    of_lm = {name for name in moved if name.startswith("encoder.lm.")}
    assert (of_lm & state["net"].keys() == set()) == (ratio == 0)
    assert all(moved[name] == 0 for name in of_lm) if ratio == 0 else max(moved[name] for name in of_lm) > 5e-4
    assert max(moved[name] for name in of_lm) <= 1.01 * ratio * config.learning_rate
    assert max(moved[name] for name in moved.keys() - of_lm) == pytest.approx(config.learning_rate, rel=0.02)
    assert net.encoder.lm is not None and not net.encoder.lm.model.training  # type: ignore[union-attr]


# ---- settings


def test_crops_follow_from_seed_epoch_and_id() -> None:
    chains = sample_chains("train", 3, longest=60)
    (one,) = [chains.chain(row) for row in range(3) if chains.lengths[row] == chains.lengths.max()]
    config = replace(FIT, crop=20)
    drawn = [cropped(one, config, epoch).index_L.tolist() for epoch in (1, 2, 3, 1)]
    assert all(len(crop) == 20 for crop in drawn) and drawn[0] == drawn[3] and len({str(crop) for crop in drawn}) > 1
    assert cropped(one, replace(FIT, crop=60), 1) is one


def test_unusable_settings_and_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="crop must be positive, got 0"):
        FineTuneConfig(crop=0)
    with pytest.raises(ValueError, match="batch must be a multiple of micro_batch, got 6 and 4"):
        FineTuneConfig(batch=6)
    with pytest.raises(ValueError, match=r"lm_lr_ratio must lie in \[0, 1\]"):
        FineTuneConfig(lm_lr_ratio=2)
    with pytest.raises(ValueError, match=r"dropout is a share and must lie in \[0, 1\), got 1"):
        FineTuneConfig(dropout=1)
    with pytest.raises(ValueError, match="3 workers cannot share 4 micro-batches"):
        FIT.check_workers(3)
    net, parts, _ = started("class")
    none = replace(parts[0], row_N=np.full(24, -1))
    with pytest.raises(ValueError, match="none of 24 training rows has a structure to train on"):
        fit(net, none, parts[1], FIT, lambda found_NT: 0.0, lambda metrics, state: None)
    torch.nn.init.constant_(net.head.layers[-1].weight, 1e38)  # type: ignore[arg-type]
    with pytest.raises(NonFiniteLossError, match="lower the learning rate"):
        fit(net, *parts, FIT, lambda found_NT: 0.0, lambda metrics, state: None, world=World())
