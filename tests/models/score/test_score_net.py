"""The score network: what it starts as, what it is invariant to, and its parts by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from protray.losses.score import coordinate_score
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_net import ConditionalNorm, PairFeatures, ScoreNet
from protray.struct.geometry import distances

SMALL = ScoreNetConfig(blocks=3, channels=16, bottleneck=16, dilations=(1, 2), positional=4, distances=3)


def some_net(config: ScoreNetConfig = SMALL) -> ScoreNet:
    """A network whose every parameter and statistic matters."""
    torch.manual_seed(0)
    net = ScoreNet(config)
    for name, value in net.state_dict().items():
        if "norm" in name or "last" in name:
            value.copy_(torch.rand_like(value) + (0.5 if "var" in name or "scale" in name else -0.5))
    return net.eval()


def inputs(length: int = 9, count: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "codes_BL": torch.randint(0, 21, (count, length), dtype=torch.uint8),
        "index_BL": torch.arange(length).expand(count, -1),
        "level_B": torch.arange(count) % SMALL.noise.levels,
        "sigma_B": torch.linspace(0.5, 2.0, count),
    }


def test_paper_network() -> None:
    """32 blocks of 1 x 1 (64 x 32), 3 x 3 (32 x 32 x 9), 1 x 1 (32 x 64): 13,312 weights each."""
    net = ScoreNet(ScoreNetConfig(blocks=32))
    convolutions = [module.weight.numel() for module in net.modules() if isinstance(module, torch.nn.Conv2d)]
    assert sum(convolutions) == 32 * 13_312
    assert [block.dilated.dilation[0] for block in net.blocks[:5]] == [1, 2, 4, 8, 1]
    assert net.config.noise.levels == 32


def test_first_score_is_zero() -> None:
    net = ScoreNet(SMALL)
    assert net(torch.rand(2, 9, 9), **inputs()).abs().max().item() == 0


@torch.no_grad()
def test_invariant_to_motion_batch_and_company() -> None:
    net, ca_BL3 = some_net().double(), 5 * torch.randn(2, 9, 3, dtype=torch.float64)
    args = inputs()
    args["sigma_B"] = args["sigma_B"].double()
    h_BLL = net(distances(ca_BL3), **args)
    turn_33 = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    moved_BL3 = ca_BL3 @ turn_33.T + 7
    assert torch.allclose(net(distances(moved_BL3), **args), h_BLL, atol=1e-10)
    score_BL3 = coordinate_score(h_BLL, ca_BL3)
    assert torch.allclose(coordinate_score(net(distances(moved_BL3), **args), moved_BL3), score_BL3 @ turn_33.T)
    alone_BLL = net(distances(ca_BL3[1:]), **{name: value[1:] for name, value in args.items()})
    assert torch.allclose(alone_BLL[0], h_BLL[1], atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("name", ["codes_BL", "index_BL", "level_B", "sigma_B"])
def test_every_input_matters(name) -> None:
    net, dist_BLL, args = some_net(), distances(5 * torch.randn(2, 9, 3)), inputs()
    before = net(dist_BLL, **args)
    args[name] = args[name] + 1 if name != "codes_BL" else (args[name] + 1) % 20
    assert (net(dist_BLL, **args) - before).abs().max().item() > 1e-3


def test_residue_types_that_nobody_knows_count_as_x() -> None:
    net, dist_BLL, args = some_net(), distances(torch.randn(2, 9, 3)), inputs()
    args["codes_BL"] = torch.full_like(args["codes_BL"], 20)
    x = net(dist_BLL, **args)
    args["codes_BL"] = torch.full_like(args["codes_BL"], 22)
    assert torch.equal(net(dist_BLL, **args), x)


def test_conditional_norm_by_hand() -> None:
    """Values 1 and 3 in one channel: mean 2, variance 1; level 1 has scale 10 and shift 5: -5 and 15."""
    norm = ConditionalNorm(levels=2, channels=1)
    with torch.no_grad():
        norm.scale_KC[1], norm.shift_KC[1] = 10.0, 5.0
    x_BCLL = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    assert norm(x_BCLL, torch.tensor([1])).flatten().tolist() == pytest.approx([-5, 15], abs=1e-3)
    assert norm(x_BCLL, torch.tensor([0])).flatten().tolist() == pytest.approx([-1, 1], abs=1e-3)
    norm.eval()
    norm.mean_C.fill_(1.0)
    norm.var_C.fill_(4.0)
    assert norm(x_BCLL, torch.tensor([0])).flatten().tolist() == pytest.approx([0, 1], abs=1e-3)


@torch.no_grad()
def test_pair_features_are_the_convolution_of_the_concatenated_inputs() -> None:
    """The sum over residues i, j and the pair equals one linear map of all 1 + R + 2 x 21 + 2 x 4 inputs."""
    features, args = PairFeatures(SMALL), inputs()
    dist_BLL = distances(5 * torch.randn(2, 9, 3))
    angle_BLP = args["index_BL"][..., None] * torch.tensor([1.0, 10_000**-0.5])
    residue_BLA = torch.cat([F.one_hot(args["codes_BL"].long(), 21), angle_BLP.sin(), angle_BLP.cos()], dim=-1)
    gaussians = torch.exp(-0.5 * ((dist_BLL[..., None] - torch.tensor([0.0, 11.0, 22.0])) / 11.0) ** 2)
    width = residue_BLA.shape[-1]
    all_BLLA = torch.cat(
        [
            torch.log(dist_BLL[..., None] / 3.8 + 0.1),
            gaussians,
            residue_BLA[:, :, None].expand(-1, -1, 9, -1),
            residue_BLA[:, None].expand(-1, 9, -1, -1),
        ],
        dim=-1,
    )
    row, column = features.of_residues.weight.chunk(2)
    weight = torch.cat([features.of_distance.weight, row, column], dim=1)
    assert weight.shape[1] == 4 + 2 * width
    expected = F.linear(all_BLLA, weight, features.of_distance.bias)
    assert torch.allclose(features(dist_BLL, args["codes_BL"], args["index_BL"]), expected, atol=1e-5)


def test_bfloat16_stays_close() -> None:
    net, dist_BLL, args = some_net(), distances(5 * torch.randn(2, 9, 3)), inputs()
    with torch.no_grad():
        exact = net(dist_BLL, **args)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(dist_BLL, **args)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max().item() < 0.05 * exact.abs().max().item()
    assert math.isfinite(rough.sum().item())


@pytest.mark.parametrize(
    ("fields", "said"), [({"blocks": 0}, "blocks"), ({"positional": 3}, "positional must be even")]
)
def test_impossible_settings_are_refused(fields, said) -> None:
    with pytest.raises(ValueError, match=said):
        ScoreNetConfig(**fields)
