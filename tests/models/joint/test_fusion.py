"""Fusion of a structure encoder with a language model: what goes where, and that padding and order are of no matter."""

import pytest
import torch
from structure_batches import protein
from torch import Tensor, nn

from protray.models.joint.fusion import Fused, Fusion
from protray.models.joint.fusion_config import FusionConfig, FusionKind
from protray.models.layers import Noise, real_residues
from protray.models.structure.frame_attention import FrameAttention
from protray.models.structure.frame_config import FrameAttentionConfig

LM, STRUCTURE = 6, 4
LENGTHS = [5, 3]
CROSS = "cross", FusionConfig(channels=8, heads=2)
PAPER = "cross", FusionConfig(channels=8, heads=2, paper=True, readout="sum")
SERIAL, PARALLEL = ("serial", FusionConfig()), ("parallel", FusionConfig())
ALL = [SERIAL, ("serial", FusionConfig(paper=True, readout="sum")), PARALLEL, CROSS, PAPER]


def inputs(width: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    lm_BLS, structure_BLG = (torch.randn(2, 5, size, generator=source).double() for size in (LM, STRUCTURE))
    real_BL = real_residues(torch.tensor(LENGTHS), width)
    wide = [nn.functional.pad(half, (0, 0, 0, width - 5), value=9.0) for half in (lm_BLS, structure_BLG)]
    return wide[0], wide[1], real_BL


def fusion(config: tuple[FusionKind, FusionConfig]) -> Fusion:
    torch.manual_seed(0)
    return Fusion(*config, LM, STRUCTURE).double()


@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_as_released_vectors_stand_side_by_side_mean_beside_sum(kind) -> None:
    lm_BLS, structure_BLG, real_BL = inputs()
    found = fusion((kind, FusionConfig(paper=True, readout="sum")))(lm_BLS, structure_BLG, real_BL)
    assert torch.equal(found.residue_BLC[0], torch.cat([lm_BLS[0], structure_BLG[0]], dim=1))
    assert not found.residue_BLC[1, 3:].any()
    expected = torch.cat([lm_BLS[1, :3].mean(dim=0), structure_BLG[1, :3].sum(dim=0)])
    torch.testing.assert_close(found.protein_BC[1], expected)


def test_ours_normalises_both_halves_and_takes_means() -> None:
    lm_BLS, structure_BLG, real_BL = inputs()
    found = fusion(SERIAL)(1000 * lm_BLS, structure_BLG, real_BL)
    for half_BLC in found.residue_BLC.split([LM, STRUCTURE], dim=2):
        torch.testing.assert_close(
            half_BLC[real_BL].var(dim=1, correction=0), torch.ones(8).double(), atol=1e-3, rtol=0
        )
    torch.testing.assert_close(found.protein_BC[1], found.residue_BLC[1, :3].mean(dim=0))


@pytest.mark.parametrize("config", ALL)
def test_padding_changes_nothing(config) -> None:
    net = fusion(config)
    assert net.width == (16 if config[0] == "cross" else 10)
    near, wide = net(*inputs()), net(*inputs(11))
    assert near.residue_BLC.shape == (2, 5, net.width) and near.protein_BC.shape == (2, net.width)
    torch.testing.assert_close(wide.residue_BLC[:, :5], near.residue_BLC, atol=1e-12, rtol=0)
    torch.testing.assert_close(wide.protein_BC, near.protein_BC, atol=1e-12, rtol=0)
    assert not wide.residue_BLC[:, 5:].any() and not near.residue_BLC[1, 3:].any()


def by_hand(net: Fusion, lm_LS: Tensor, structure_LG: Tensor, paper: bool) -> Tensor:
    """Cross fusion of one protein without padding, by torch's own attention."""
    cross = net.cross
    assert cross is not None
    halves = [cross.project[0](net.norms[0](lm_LS)), cross.project[1](net.norms[1](structure_LG))]
    if not paper:
        halves = [half + cross.segment.weight[number] for number, half in enumerate(halves)]
    token_TC = torch.cat(halves)
    x_TC = token_TC if paper else cross.norm(token_TC)
    twin = nn.MultiheadAttention(8, 2).double()
    layers = (cross.query, cross.key, cross.value)
    twin.in_proj_weight.data = torch.cat([layer.weight for layer in layers])
    twin.in_proj_bias.data = torch.cat([layer.bias for layer in layers])
    twin.out_proj.load_state_dict(cross.out.state_dict())
    before = [before(x_TC) if paper else x_TC for before in cross.before]
    found_TC, _ = twin(*before)
    return torch.cat((found_TC if paper else token_TC + found_TC).split(len(lm_LS)), dim=1)


@pytest.mark.parametrize("config", [CROSS, PAPER])
@torch.no_grad()
def test_cross_fusion_is_one_attention_among_all_tokens(config) -> None:
    net, (lm_BLS, structure_BLG, real_BL) = fusion(config), inputs()
    found: Fused = net(lm_BLS, structure_BLG, real_BL)
    for row, length in enumerate(LENGTHS):
        expected_LC = by_hand(net, lm_BLS[row, :length], structure_BLG[row, :length], config[1].paper)
        torch.testing.assert_close(found.residue_BLC[row, :length], expected_LC)
        whole_C = expected_LC.sum(dim=0) if config[1].readout == "sum" else expected_LC.mean(dim=0)
        torch.testing.assert_close(found.protein_BC[row], whole_C)


def test_dropout_of_a_protein_is_its_own() -> None:
    net, (lm_BLS, structure_BLG, real_BL) = fusion(CROSS), inputs()
    together = net(lm_BLS, structure_BLG, real_BL, Noise([7, 8], LENGTHS))
    alone = net(lm_BLS[1:, :3], structure_BLG[1:, :3], real_BL[1:, :3], Noise([8], [3]))
    torch.testing.assert_close(together.residue_BLC[1, :3], alone.residue_BLC[0], atol=1e-12, rtol=0)
    assert (net(lm_BLS, structure_BLG, real_BL).residue_BLC - together.residue_BLC).abs().max() > 1e-3


def test_frozen_serial_fusion_begins_as_parallel() -> None:
    """The weights by which the encoder reads the language model start at zero."""
    one = protein(12, lm=LM)
    torch.manual_seed(0)
    alone = FrameAttention(FrameAttentionConfig(channels=8, heads=2, pair=4, layers=1)).double()
    reads = FrameAttention(FrameAttentionConfig(channels=8, heads=2, pair=4, layers=1, lm_channels=LM)).double()
    assert reads.load_state_dict(alone.state_dict(), strict=False).missing_keys == ["lm.weight"]
    net = Fusion(*SERIAL, LM, 8).double()
    found = [net(one.lm_BLC, encoder(one), one.real_BL) for encoder in (alone, reads)]
    assert torch.equal(found[0].protein_BC, found[1].protein_BC)


@pytest.mark.parametrize("config", ALL)
def test_gradients_reach_both_models_and_all_parameters(config) -> None:
    lm_BLS, structure_BLG, real_BL = inputs()
    net = fusion(config)
    found = net(lm_BLS.requires_grad_(True), structure_BLG.requires_grad_(True), real_BL)
    (found.protein_BC.square().sum() + found.residue_BLC.pow(3).sum()).backward()
    assert lm_BLS.grad is not None and structure_BLG.grad is not None
    assert lm_BLS.grad[real_BL].abs().min() > 0 and structure_BLG.grad[real_BL].abs().min() > 0
    assert all(p.grad is not None for p in net.parameters())
    still = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().max() < 1e-12}
    assert still == {name for name, _ in net.named_parameters() if name in ("cross.key.bias", "cross.before.1.bias")}


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        FusionConfig(channels=9)
    with pytest.raises(ValueError, match="dropout is a share"):
        FusionConfig(dropout=-0.1)
