"""The score network as a denoiser of whole chains."""

import numpy as np
import pytest
import torch

from protray.data.structure.structures import StructureChain
from protray.inference.denoise import NetworkDenoiser
from protray.losses.score import coordinate_score
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_net import ScoreNet
from protray.struct.geometry import distances


@pytest.fixture(scope="module")
def net() -> ScoreNet:
    """Two small blocks with weights that are not zero anywhere."""
    torch.manual_seed(0)
    net = ScoreNet(ScoreNetConfig(blocks=2, channels=8, bottleneck=4, dilations=(1, 2), positional=4, distances=4))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net.eval()


def chain(length: int = 24) -> StructureChain:
    rng = np.random.default_rng(length)
    ca_L3 = (3 * rng.standard_normal((length, 3))).cumsum(axis=0).astype(np.float32)
    return StructureChain("a", rng.integers(20, size=length).astype(np.uint8), np.arange(length, dtype=np.int32), ca_L3)


def test_it_is_one_step_along_the_score(net) -> None:
    """x + sigma^2 g, with the network called by hand."""
    one, sigma = chain(), net.config.noise.sigmas()[10]
    noisy_1L3 = torch.from_numpy(one.ca_L3)[None]
    codes_1L, index_1L = torch.from_numpy(one.codes_L)[None], torch.from_numpy(one.index_L)[None]
    with torch.no_grad():
        h_1LL = net(distances(noisy_1L3), codes_1L, index_1L, torch.tensor([10]), torch.tensor([sigma]).float())
        expected_L3 = (noisy_1L3 + sigma**2 * coordinate_score(h_1LL, noisy_1L3))[0].numpy()
    found_L3 = NetworkDenoiser(net, crop=32)(one, one.ca_L3, sigma)
    assert np.abs(found_L3 - one.ca_L3).max() > 0.01
    assert found_L3 == pytest.approx(expected_L3, abs=1e-3)


def test_the_nearest_level_is_named_and_the_noise_taken_as_it_is(net) -> None:
    """A tenth more noise at the same level: h falls by a tenth, sigma^2 g grows by a tenth."""
    one, sigma = chain(), float(net.config.noise.sigmas()[10])
    denoise = NetworkDenoiser(net, crop=32)
    step_L3 = denoise(one, one.ca_L3, sigma) - one.ca_L3
    assert denoise(one, one.ca_L3, 1.1 * sigma) - one.ca_L3 == pytest.approx(1.1 * step_L3, rel=1e-4, abs=1e-5)


def test_in_long_chains_far_residues_do_not_pull(net) -> None:
    """Residues 0 and 1 against 12 to 23: within the crop all pairs count, beyond it only those under half a crop.

    The gap is wider than what the convolutions see, so that without the pairs there is no effect at all.
    """
    one = chain(40)
    moved_L3 = one.ca_L3.copy()
    moved_L3[30:] += 50
    for crop, reaches in ((64, True), (16, False)):
        denoise = NetworkDenoiser(net, crop)
        steps = [denoise(one, ca_L3, 1.0) - ca_L3 for ca_L3 in (one.ca_L3, moved_L3)]
        assert (np.abs(steps[1] - steps[0])[:10].max() > 1e-3) == reaches


def test_moving_and_turning_the_chain_moves_and_turns_the_result(net) -> None:
    one = chain()
    turn_33, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    denoise = NetworkDenoiser(net, crop=32)
    found_L3 = denoise(one, one.ca_L3 @ turn_33 + 500, 1.0)
    assert found_L3 == pytest.approx(denoise(one, one.ca_L3, 1.0) @ turn_33 + 500, abs=1e-3)


def test_bfloat16_is_near(net) -> None:
    one = chain()
    exact_L3, near_L3 = (NetworkDenoiser(net, crop=32, bf16=bf16)(one, one.ca_L3, 1.0) for bf16 in (False, True))
    step = np.abs(exact_L3 - one.ca_L3).max()
    assert 0 < np.abs(near_L3 - exact_L3).max() < 0.05 * step


def test_a_score_that_is_not_finite_is_named(net) -> None:
    broken = ScoreNet(net.config)
    with torch.no_grad():
        broken.last.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="score of chain 'a' at sigma 1 Å is not finite"):
        NetworkDenoiser(broken, crop=32)(chain(), chain().ca_L3, 1.0)
