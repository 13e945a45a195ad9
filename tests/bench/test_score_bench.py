"""The benchmark of the score network measures the same thing twice; what it measures is not tested."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from protray.bench import score
from protray.bench.plain.score_net import PlainScoreNet
from protray.bench.timing import Spread, case, peak_resident_bytes
from protray.inference.embeddings.score_net import Embedder
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_net import ConditionalNorm
from protray.training.structure.score_net import Denoising, forward
from protray.training.structure.score_steps import ScoreFitConfig
from protray.training.world import World

TINY = ScoreNetConfig(blocks=2, channels=16, bottleneck=16, dilations=(1, 2), positional=4, distances=3)


@pytest.fixture(params=[3, 0])
def tiny(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small network, with Gaussians of the distance and without."""
    monkeypatch.setattr(score, "NET", ScoreNetConfig(**vars(TINY) | {"distances": request.param}))
    monkeypatch.setattr(score, "BATCH", 4)
    yield


def test_plain_network_has_the_loss_of_ours(tiny) -> None:
    net, batch = score.fresh_net(), score.first_batch(16)
    assert batch.codes_BL.shape == (4, 16)
    loss_B, _, rigid_B = forward(Denoising(net), batch, ScoreFitConfig(bf16=False), World())
    plain = PlainScoreNet(net)
    arrays = (batch.codes_BL, batch.index_BL, batch.ca_BL3, batch.noise_BL3, batch.level_B, batch.sigma_B)
    plain_B = plain(*map(torch.from_numpy, arrays))
    torch.testing.assert_close(plain_B, loss_B + rigid_B, rtol=1e-4, atol=1e-4)  # ours sets the rigid motions apart
    assert plain_B.std().item() > 1
    loss_B.sum().backward()
    plain_B.sum().backward()
    for ours, other in zip(net.blocks, plain.blocks, strict=True):
        torch.testing.assert_close(other.dilated.weight.grad, ours.dilated.weight.grad, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(other.up_norm.scale.weight.grad, ours.up_norm.scale_KC.grad, rtol=1e-3, atol=1e-3)


def test_steps_train_both(tiny) -> None:
    net, batch = score.fresh_net(), score.first_batch(16)
    plain, ours = score.plain_step(PlainScoreNet(net), batch), score.our_step(net, batch)
    for step in (plain, ours):
        first, *_, last = [step() for _ in range(8)]
        assert last < first


def test_plain_embedding_is_ours(tiny) -> None:
    net = score.fresh_net().eval()
    for norm in net.modules():
        if isinstance(norm, ConditionalNorm):
            norm.mean_C.normal_()
            norm.var_C.uniform_(0.5, 2)
    chain = score.random_chain(30)
    bonds = np.linalg.norm(np.diff(chain.ca_L3, axis=0), axis=1)
    np.testing.assert_allclose(bonds, 3.8, rtol=1e-4)
    ours = score.our_embedding(Embedder(net), chain)()
    np.testing.assert_allclose(ours, score.plain_embedding(PlainScoreNet(net).eval(), chain)(), rtol=1e-4, atol=1e-5)
    assert ours.shape == (16,) and ours.std() > 1e-3


def test_cases_count_operations(tiny, monkeypatch) -> None:
    """2 blocks of 16 x 16 x (1 + 9 + 1) weights; 4 crops of 16 residues, trained: 3 x 2 x that for each of 4 x 256."""
    monkeypatch.setattr(score, "LENGTHS", (10, 20))
    monkeypatch.setattr(score, "LONGEST", 40)
    monkeypatch.setattr(score, "embedding_peak", lambda length, plain: 2e6 if plain else 1e6)
    weights = 2 * 16 * 16 * 11
    step = score.step_case(16, 1, "float32", 1e9)
    assert step.name == "step, crop 16"
    assert step.rate == pytest.approx(3 * 2 * weights * 4 * 256 / step.ours_s.median)
    cases, more = score.embedding_cases(1, 1e9)
    assert [one.name for one in cases] == ["embedding, L = 10", "embedding, L = 20"]
    assert cases[1].rate == pytest.approx(2 * weights * 400 / cases[1].ours_s.median)
    assert [name for name in more if "L = 40" in name and more[name] > 0]
    assert more["embedding, peak extra MB at L = 20"] == 1


def test_a_case_of_seconds_by_hand() -> None:
    found = case("c", "m", [2.0, 6.0, 2.0], [1.0, 2.0, 2.0], work=4, limit=8)
    assert (found.plain_s.median, found.ours_s.median, found.ratio_plain) == (2, 2, Spread(2, 1.5, 2.5))
    assert found.share_of_limit == 0.25


def test_whole_maps_take_more_memory_than_strips() -> None:
    """600 x 600 x 16 float32 are 23 MB, of which the plain one holds several; ours holds strips."""
    plain, ours = (score.embedding_peak(600, plain, TINY) for plain in (True, False))
    assert plain > 3 * 23e6 > ours


def test_peak_memory_counts_torch() -> None:
    """100 MB that are written and let go."""
    peak = peak_resident_bytes(lambda: torch.ones(25_000_000))
    assert peak == pytest.approx(1e8, rel=0.1)
