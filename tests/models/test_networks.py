"""What holds for all three networks: F_t and F_s (SsClassifier) and F_e (EnhanceNet)."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from protray.models.layers import Noise
from protray.models.secondary.enhance_net import EnhanceConfig, EnhanceNet
from protray.models.secondary.ss_classifier import ClassifierConfig, SsClassifier, three_states
from protray.seq.alphabet import PAD

LENGTHS = [9, 4, 1]
KEYS = [101, 202, 303]
SMALL = {"embedding": 4, "hidden": 6, "dropout": 0.5}
SMALL_ENHANCE = SMALL | {"filters": 5}

Run = Callable[[Tensor, Tensor, Tensor, Tensor, Noise | None], Tensor]


def classifier(**settings: object) -> tuple[nn.Module, Run]:
    net = SsClassifier(ClassifierConfig(**SMALL, extra=3, **settings))  # type: ignore[arg-type]
    return net, lambda codes, pssm, extra, lengths, noise: net(codes, pssm, lengths, extra[..., :3], noise)


def enhancer(**settings: object) -> tuple[nn.Module, Run]:
    net = EnhanceNet(EnhanceConfig(**SMALL_ENHANCE, **settings))  # type: ignore[arg-type]
    return net, lambda codes, pssm, extra, lengths, noise: net(codes, pssm, extra, lengths, None, noise)


NETWORKS = {
    "eight states": lambda: classifier(),
    "three states, linear": lambda: classifier(states=3, relu=False, layers=1),
    "parallel": lambda: enhancer(),
    "sequential": lambda: enhancer(branches="sequential", relu=False),
    "two kernels, residual": lambda: enhancer(kernels=(5, 7), residual=True),
}


def inputs(rows: list[int], width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes, PSSM, X_b and lengths of some proteins, padded to a width; zeros at padding, as `collate` pads."""
    codes_BL = torch.full((len(rows), width), PAD)
    pssm_BLA, extra_BLA = torch.zeros(len(rows), width, 20), torch.zeros(len(rows), width, 20)
    for place, row in enumerate(rows):
        rng = torch.Generator().manual_seed(row)
        length = LENGTHS[row]
        codes_BL[place, :length] = torch.randint(0, 21, (length,), generator=rng)
        pssm_BLA[place, :length] = torch.randn(length, 20, generator=rng)
        extra_BLA[place, :length] = torch.randn(length, 20, generator=rng)
    return codes_BL, pssm_BLA, extra_BLA, torch.tensor([LENGTHS[row] for row in rows])


@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "dropout"])
@pytest.mark.parametrize("name", NETWORKS)
def test_padding_and_neighbours_never_change_a_result(name, train) -> None:
    torch.manual_seed(0)
    _, run = NETWORKS[name]()

    def out(rows: list[int], width: int) -> list[Tensor]:
        noise = Noise([KEYS[row] for row in rows], [LENGTHS[row] for row in rows]) if train else None
        out_BLC = run(*inputs(rows, width), noise)
        return [out_BLC[place, : LENGTHS[row]] for place, row in enumerate(rows)]

    alone = [out([row], LENGTHS[row])[0] for row in range(3)]
    for rows, width in (([0, 1, 2], 9), ([2, 1, 0], 9), ([1, 2], 4), ([0, 2], 30), ([1], 64)):
        for row, found_LC in zip(rows, out(rows, width), strict=True):
            torch.testing.assert_close(found_LC, alone[row], atol=1e-6, rtol=0)
    if train:
        assert not torch.allclose(run(*inputs([0], 9), None)[0], alone[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_is_trained(name) -> None:
    torch.manual_seed(0)
    net, run = NETWORKS[name]()
    run(*inputs([0, 1, 2], 9), None).square().sum().backward()
    for weight_name, weight in net.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, weight_name


def test_shapes() -> None:
    for name, channels in {"eight states": 8, "three states, linear": 3, "parallel": 20, "sequential": 20}.items():
        assert NETWORKS[name]()[1](*inputs([0, 1], 9), None).shape == (2, 9, channels)


@pytest.mark.parametrize("branches", ["parallel", "sequential"])
def test_convolutions_are_saved_with_the_network(branches) -> None:
    """In the released code they are in a plain list, and so neither trained nor saved."""
    config = EnhanceConfig(**SMALL_ENHANCE, branches=branches)
    torch.manual_seed(0)
    first = EnhanceNet(config)
    assert {f"convolutions.{n}.{part}" for n in range(3) for part in ("weight", "bias")} <= set(first.state_dict())
    second = EnhanceNet(config)
    second.load_state_dict(first.state_dict())
    codes, low, bert, lengths = inputs([0, 1], 9)
    assert torch.equal(first(codes, low, bert, lengths), second(codes, low, bert, lengths))


def test_without_bert_x_b_is_not_read() -> None:
    net = EnhanceNet(EnhanceConfig(**SMALL_ENHANCE, bert=False))
    codes, low, bert, lengths = inputs([0, 1], 9)
    assert torch.equal(net(codes, low, bert, lengths), net(codes, low, None, lengths))


def test_residual_adds_the_low_pssm() -> None:
    torch.manual_seed(0)
    plain = EnhanceNet(EnhanceConfig(**SMALL_ENHANCE, residual=False))
    residual = EnhanceNet(EnhanceConfig(**SMALL_ENHANCE, residual=True))
    residual.load_state_dict(plain.state_dict())
    codes, low, bert, lengths = inputs([0], 9)
    torch.testing.assert_close(residual(codes, low, bert, lengths), plain(codes, low, bert, lengths) + low)


def test_alanine_has_an_embedding_and_padding_has_none() -> None:
    """Code 0 is alanine; in the released code it doubles as padding."""
    net = SsClassifier(ClassifierConfig(**SMALL))
    assert net.embed.weight[PAD].abs().sum() == 0
    assert net.embed.weight[0].abs().sum() > 0
    net(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 4, 20), torch.tensor([4])).sum().backward()
    assert net.embed.weight.grad[0].abs().sum() > 0  # type: ignore[index]


def test_three_states_add_probabilities_up() -> None:
    """H .2, G .1, I .1 -> helix .4; E .25, B .05 -> strand .3; T .1, S .1, C .1 -> coil .3."""
    logits = torch.tensor([0.2, 0.1, 0.1, 0.25, 0.05, 0.1, 0.1, 0.1]).log() + 5.0
    assert three_states(logits).softmax(-1).tolist() == pytest.approx([0.4, 0.3, 0.3], abs=1e-6)
    three = torch.randn(2, 5, 3)
    assert three_states(three) is three
