"""The frame attention encoder: what changes its vectors, and what must not."""

from dataclasses import replace

import pytest
import torch
from structure_batches import joined, moved, protein, single, without
from torch import Tensor

from protray.models.layers import Noise
from protray.models.structure.frame_attention import FrameAttention
from protray.models.structure.frame_config import MEDIUM, PAPER, SMALL, FrameAttentionConfig
from protray.models.structure.frame_features import FramedResidues, node_features, pair_features
from protray.models.structure.neighbours import Neighbours, find_neighbours
from protray.models.structure.structure_batch import MASKED, StructureBatch
from protray.seq.alphabet import AMINO_ACIDS
from protray.struct.residues.atom14 import CA, CB, C, N, O
from protray.struct.residues.frames import BACKBONE, NONE, TRACE, frames

TINY = FrameAttentionConfig(channels=16, heads=4, pair=8, layers=2, neighbours=8, points=2)
KINDS = [
    TINY,
    replace(TINY, points=0, pair_input="euler", all_layers=True),
    replace(TINY, points=0, pair_input="distance"),
]


def network(config: FrameAttentionConfig = TINY, seed: int = 0) -> FrameAttention:
    """With random weights that are larger than those of a fresh network, so that every input counts."""
    torch.manual_seed(seed)
    net = FrameAttention(config).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    return net


@torch.no_grad()
def vectors(net: FrameAttention, batch: StructureBatch, **options: object) -> Tensor:
    return net(batch, **options)


def assert_equal(one: Tensor, other: Tensor, atol: float = 1e-10) -> None:
    torch.testing.assert_close(one, other, atol=atol, rtol=0)


def framed_of(batch: StructureBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers of residues and of pairs of a batch of one protein, and the kinds of its frames."""
    framed = frames(batch.atoms_BLA3, batch.present_BLA, batch.index_BL, batch.chain_BL, batch.real_BL)
    rows = (framed.rotation_BL33, framed.origin_BL3, framed.kind_BL, batch.index_BL, batch.chain_BL)
    size = batch.real_BL.shape[1]
    pair_NKF, _ = pair_features(FramedResidues(*(row[0] for row in rows)), torch.arange(size).expand(size, size))
    return node_features(batch, framed)[0], pair_NKF, framed.kind_BL[0]


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.pair_input)
def test_neither_rotation_nor_shift_changes_anything(config) -> None:
    net, one = network(config), protein(40)
    assert_equal(vectors(net, moved(one, shift=100.0)), vectors(net, one))
    net, one = net.float(), single(one)
    here_BLC = vectors(net, one)
    assert_equal(vectors(net, moved(one, shift=100.0)), here_BLC, atol=1e-4 * here_BLC.abs().max().item())


@pytest.mark.parametrize("config", [*KINDS, replace(TINY, points=0)], ids=lambda config: config.pair_input)
def test_the_mirror_image_differs_unless_distances_are_all_it_sees(config) -> None:
    """Both ways: what has no side chain and no torsion, a CA trace, differs by its frames alone."""
    net = network(config)
    for one in (protein(40), without(protein(40), [N, C, O, *range(CB, 14)])):
        apart = (vectors(net, moved(one, mirror=True)) - vectors(net, one)).abs().max()
        assert apart < 1e-10 if config.pair_input == "distance" else apart > 0.1


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.pair_input)
def test_neither_padding_nor_other_proteins_change_anything(config) -> None:
    net, some = network(config), [protein(length, seed) for seed, length in enumerate((25, 40, 12))]
    together = vectors(net, joined(some, 80))
    swapped = vectors(net, joined(some[::-1], 40))
    for row, one in enumerate(some):
        size, alone = one.real_BL.shape[1], vectors(net, one)
        assert_equal(together[row, :size], alone[0], atol=1e-12)
        assert_equal(swapped[2 - row, :size], alone[0], atol=1e-12)
        assert not together[row, size:].any()


def test_as_many_neighbours_as_residues_is_dense() -> None:
    net = network(replace(TINY, neighbours=1000))
    batch = joined([protein(20), protein(15, 1)], 30)
    removed_M3 = torch.tensor([[0, 3, 9], [1, 14, 2]])
    chain = batch.ca_BL3, batch.index_BL, batch.chain_BL, batch.real_BL
    for removed in (None, removed_M3):
        dense = vectors(net, batch, neighbours=find_neighbours(*chain, 1, removed_M3=removed, dense=True))
        assert_equal(vectors(net, batch, neighbours=find_neighbours(*chain, 1000, removed_M3=removed)), dense)
    assert (dense - vectors(net, batch)).abs().max() > 1e-3


def test_what_a_residue_cannot_reach_does_not_change_it() -> None:
    """Every pair with residue 5 is removed: whatever its type is, the others stay as they are, in any layer."""
    net, one = network(), protein(20)
    chain = one.ca_BL3, one.index_BL, one.chain_BL, one.real_BL
    removed_M3 = torch.tensor([[0, 5, other] for other in range(20) if other != 5])
    neighbours = find_neighbours(*chain, 20, removed_M3=removed_M3)
    other = replace(one, type_BL=one.type_BL.clone())
    other.type_BL[0, 5] = (other.type_BL[0, 5] + 1) % 20
    apart_L = (vectors(net, other, neighbours=neighbours) - vectors(net, one, neighbours=neighbours)).abs().amax(2)[0]
    assert apart_L[5] > 1e-2 and apart_L[[i for i in range(20) if i != 5]].max() < 1e-12


def test_a_residue_without_neighbours_is_left_with_itself() -> None:
    net, one = network(), protein(6)
    nobody = Neighbours(torch.zeros(1, 6, 3, dtype=torch.int64), torch.zeros(1, 6, 3, dtype=torch.bool))
    found = vectors(net, one, neighbours=nobody)
    other = vectors(net, one, neighbours=replace(nobody, idx_BLK=nobody.idx_BLK + 4))
    assert found.isfinite().all() and torch.equal(found, other)


@torch.no_grad()
def test_attention_by_hand() -> None:
    """The layer against its equation, one residue and one head at a time."""
    net = network(replace(TINY, points=0))
    layer, config = net.layers[0], net.config
    depth = config.channels // config.heads
    h_NC, e_NKP = torch.randn(9, 16).double(), torch.randn(9, 4, 8).double()
    bias_NHK, idx_NK = torch.randn(9, 4, 4).double(), torch.stack([torch.randperm(9)[:4] for _ in range(9)])
    found_NC = layer.attend(h_NC, e_NKP, bias_NHK, idx_NK, torch.ones(9, 4, dtype=torch.bool), None)
    x_NC = layer.norm(h_NC)
    q_NC, k_NC, v_NC = layer.query(x_NC), layer.key(x_NC), layer.value(x_NC)
    for i in range(9):
        values, seen = [], []
        for head in range(config.heads):
            own = slice(head * depth, (head + 1) * depth)
            logit_K = torch.stack([q_NC[i, own] @ k_NC[j, own] for j in idx_NK[i]]) / depth**0.5 + bias_NHK[i, head]
            share_K = logit_K.softmax(0)
            values.append(sum(a * v_NC[j, own] for a, j in zip(share_K, idx_NK[i], strict=True)))
            seen.append(sum(a * e_NKP[i, place] for place, a in enumerate(share_K)))
        torch.testing.assert_close(found_NC[i], layer.out(torch.cat([*values, *seen])))


def test_absent_atoms_mean_nothing() -> None:
    one = without(without(protein(30), [N], [3, 4]), slice(CB, 14), [7, 8])
    filled = replace(one, atoms_BLA3=torch.where(one.present_BLA[..., None], one.atoms_BLA3, 1e3))
    nan = replace(one, atoms_BLA3=torch.where(one.present_BLA[..., None], one.atoms_BLA3, torch.nan))
    for config in KINDS:
        net = network(config)
        found = vectors(net, one)
        assert torch.equal(vectors(net, filled), found) and torch.equal(vectors(net, nan), found)


def test_a_masked_residue_shows_neither_type_nor_side_chain() -> None:
    net, one = network(), protein(30)
    masked = replace(one, type_BL=one.type_BL.index_fill(1, torch.tensor([4, 20]), MASKED))
    bare = replace(masked, present_BLA=masked.present_BLA.clone(), atoms_BLA3=masked.atoms_BLA3.clone())
    bare.present_BLA[0, [4, 20], CB:] = False
    shaken = replace(masked, atoms_BLA3=masked.atoms_BLA3.clone())
    shaken.atoms_BLA3[0, [4, 20], CB:] += 3.0
    found = vectors(net, masked)
    assert torch.equal(vectors(net, bare), found) and torch.equal(vectors(net, shaken), found)
    assert (vectors(net, replace(one, atoms_BLA3=shaken.atoms_BLA3)) - vectors(net, one)).abs().max() > 1e-2


def test_alanine_has_no_chi_and_aspartate_has_two() -> None:
    one = protein(100)
    node_LF, _, _ = framed_of(one)
    known_L5 = node_LF[:, 44:59].unflatten(1, (5, 3))[:, :, 2]
    type_L = one.type_BL[0]
    assert not known_L5[type_L == AMINO_ACIDS.index("A")].any()
    assert known_L5[type_L == AMINO_ACIDS.index("D")].sum(dim=1).unique().tolist() == [2]


def degraded() -> dict[str, StructureBatch]:
    one = protein(12)
    line, spot = replace(one, atoms_BLA3=one.atoms_BLA3.clone()), replace(one, atoms_BLA3=one.atoms_BLA3.clone())
    line.atoms_BLA3[0, :, C] = 2 * line.atoms_BLA3[0, :, CA] - line.atoms_BLA3[0, :, N]
    spot.atoms_BLA3[0, 5] += spot.atoms_BLA3[0, 6, CA] - spot.atoms_BLA3[0, 5, CA]
    return {
        "full": one,
        "backbone": without(one, slice(CB, 14)),
        "trace": without(one, [N, C, O, *range(CB, 14)]),
        "one residue": protein(1),
        "one atom": without(protein(1), [N, C, O, *range(CB, 14)]),
        "break": replace(one, index_BL=one.index_BL + 7 * (one.index_BL >= 6)),
        "two chains": replace(one, chain_BL=(one.index_BL >= 6).long(), index_BL=one.index_BL % 6),
        "line": line,
        "same spot": spot,
        "all on one spot": replace(one, atoms_BLA3=torch.zeros_like(one.atoms_BLA3)),
    }


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.pair_input)
@pytest.mark.parametrize("kind", degraded())
def test_whatever_is_missing_numbers_and_gradients_are_finite(config, kind) -> None:
    net, one = network(config).float(), single(degraded()[kind])
    found = net(one)
    found.square().sum().backward()
    assert found.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_a_bit_says_what_is_missing() -> None:
    """Bits of 11 atoms, presence of 5 + 3 torsions, kinds of frames; of pairs: both frames, bonded, one chain."""
    some = degraded()
    seen = {kind: framed_of(batch) for kind, batch in some.items()}
    bits = {kind: node_LF[:, 33:44] for kind, (node_LF, _, _) in seen.items()}
    torsions = {kind: node_LF[:, 44:68].unflatten(1, (8, 3))[:, :, 2] for kind, (node_LF, _, _) in seen.items()}
    assert torch.equal(bits["full"], some["full"].present_BLA[0, :, O:].double())
    assert bits["backbone"].sum() == 12 and bits["trace"].sum() == 0
    assert torsions["backbone"][:, :5].sum() == 0 and torsions["backbone"][:, 5:].sum() == 3 * 11
    assert torsions["trace"].sum() == 0 and torsions["break"][:, 5:].sum() == 3 * 10
    assert torsions["two chains"][:, 5:].sum() == 3 * 10 and torsions["one residue"][:, 5:].sum() == 0
    assert seen["trace"][2].tolist() == [NONE] + [TRACE] * 10 + [NONE] and seen["full"][2].tolist() == [BACKBONE] * 12
    assert seen["one atom"][2].tolist() == [NONE] and seen["line"][2].tolist() == [NONE] + [TRACE] * 10 + [NONE]
    assert seen["trace"][0][:, 68:].argmax(dim=1).tolist() == seen["trace"][2].tolist()
    framed_i, framed_j, bonded, same = (seen["trace"][1][..., number] for number in range(17, 21))
    assert framed_i[0].sum() == 0 and framed_i[1].sum() == 12 and framed_j[:, 0].sum() == 0
    assert bonded.sum() == 22 and same.all()
    assert seen["break"][1][..., 19].sum() == 20 and seen["two chains"][1][..., 20].sum() == 72
    assert not seen["trace"][1][0, :, 21:24].any() and not seen["trace"][1][:, 0, 24:].any()


def test_numbers_of_a_pair_by_hand() -> None:
    """Two residues 10 Å apart, j turned by 180° about the axis x of i, on whose axis y it lies."""
    one = protein(2)
    atoms_BLA3 = torch.zeros_like(one.atoms_BLA3)
    atoms_BLA3[0, :, N], atoms_BLA3[0, :, C] = torch.tensor([0.0, 1.5, 0]), torch.tensor([1.5, 0.0, 0])
    atoms_BLA3[0, 1, N, 1] = -1.5
    atoms_BLA3[0, 1] += torch.tensor([0.0, 10, 0])
    _, pair_NKF, _ = framed_of(replace(without(one, slice(CB, 14)), atoms_BLA3=atoms_BLA3))
    pair_F = pair_NKF[0, 1]
    # 10 Å is the seventh of 16 centres from 2 to 22 Å, which are as wide as they are apart
    assert pair_F[:16].argmax() == 6 and pair_F[[5, 6, 7]].tolist() == pytest.approx([2.71828**-1, 1, 2.71828**-1])
    assert pair_F[16:21].tolist() == pytest.approx([2.397895, 1, 1, 1, 1])  # ln 11; frames, bonded, one chain
    assert pair_F[21:27].tolist() == pytest.approx([0, 1, 0, 0, 1, 0])  # each lies on the axis y of the other
    # CB of i is at (-0.76, -0.53, -1.22), that of j at (-0.76, 10.53, 1.22): 11.326 Å
    assert pair_F[27].item() == pytest.approx(1.326, abs=1e-4)
    assert pair_F[28:].tolist() == pytest.approx([1, 0, 0, 0, -1, 0, 0, 0, -1])
    assert pair_NKF[0, 0, 21:].tolist() == pytest.approx([0] * 7 + [1, 0, 0, 0, 1, 0, 0, 0, 1])  # a residue and itself


def test_euler_angles_say_what_the_rotation_says() -> None:
    one = protein(12)
    framed = frames(one.atoms_BLA3, one.present_BLA, one.index_BL, one.chain_BL, one.real_BL)
    rows = (framed.rotation_BL33, framed.origin_BL3, framed.kind_BL, one.index_BL, one.chain_BL)
    residues, everything = FramedResidues(*(row[0] for row in rows)), torch.arange(12).expand(12, 12)
    nine, six = (pair_features(residues, everything, kind)[0] for kind in ("rotation", "euler"))
    assert torch.equal(nine[..., :28], six[..., :28])
    s1, s2, s3, c1, c2, c3 = six[..., 28:].unbind(dim=-1)
    torch.testing.assert_close(nine[..., 36], c2)  # M33
    torch.testing.assert_close(nine[..., 34], s1 * s2)  # M13
    torch.testing.assert_close(nine[..., 35], -c1 * s2)  # M23
    torch.testing.assert_close(nine[..., 30], s2 * s3)  # M31


def test_dropout_of_a_protein_is_the_same_alone_and_in_a_batch() -> None:
    net, some = network(replace(TINY, dropout=0.5)), [protein(20), protein(11, 1)]
    together = vectors(net, joined(some, 24), noise=Noise([5, 6], [20, 11]))
    alone = vectors(net, some[1], noise=Noise([6], [11]))
    assert_equal(together[1, :11], alone[0], atol=1e-12)
    assert (vectors(net, some[1]) - alone).abs().max() > 1e-2


def test_a_language_model_is_added_by_weights_that_start_at_zero() -> None:
    one = protein(20, lm=6)
    fresh = FrameAttention(replace(TINY, lm_channels=6)).double()
    assert torch.equal(vectors(fresh, one), vectors(fresh, replace(one, lm_BLC=-one.lm_BLC)))
    fresh(one).sum().backward()
    assert fresh.lm.weight.grad.abs().max() > 0
    net = network(replace(TINY, lm_channels=6))
    assert (vectors(net, one) - vectors(net, replace(one, lm_BLC=-one.lm_BLC))).abs().max() > 1e-2
    assert (vectors(net, one) - vectors(net, replace(one, type_BL=one.type_BL.roll(1)))).abs().max() > 1e-2


def test_a_language_model_can_take_the_place_of_the_type() -> None:
    net, one = network(replace(TINY, lm_channels=6, lm_input="replace")), without(protein(20, lm=6), slice(CB, 14))
    assert torch.equal(vectors(net, one), vectors(net, replace(one, type_BL=one.type_BL.roll(1))))
    assert (vectors(net, one) - vectors(net, replace(one, lm_BLC=-one.lm_BLC))).abs().max() > 1e-2


def test_vectors_of_a_language_model_that_are_missing_are_refused() -> None:
    net = network(replace(TINY, lm_channels=6))
    with pytest.raises(ValueError, match="reads 6 channels of a language model, got none"):
        net(protein(5))
    with pytest.raises(ValueError, match="got 7 channels"):
        net(protein(5, lm=7))


def test_all_layers_side_by_side() -> None:
    net = network(replace(TINY, all_layers=True))
    last = network(TINY)
    for name, parameter in last.named_parameters():
        parameter.data.copy_(dict(net.named_parameters())[name.replace("norms.0", "norms.1")])
    one = protein(20)
    assert net.config.width == 32 and torch.equal(vectors(net, one)[..., 16:], vectors(last, one))


def test_coordinates_stay_exact_under_autocast() -> None:
    """In bfloat16 a shift by 100 Å would move atoms by up to 0.25 Å."""
    torch.manual_seed(0)
    net, one = FrameAttention(TINY), single(protein(30))
    far = moved(one, shift=100.0)
    rounded = replace(far, atoms_BLA3=far.atoms_BLA3.bfloat16())
    exact = vectors(net, one)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        here, there, coarse = (vectors(net, batch) for batch in (one, far, rounded))
        net(one).square().mean().backward()
    off, moved_off, coarse_off = ((found - exact).abs().mean() for found in (here, there, coarse))
    assert 0 < off < 0.01 and moved_off < 2 * off and coarse_off > 5 * off
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_presets_are_those_of_the_note() -> None:
    assert (PAPER.width, PAPER.layers, SMALL.width) == (3072, 6, 64)
    assert 170_000 < sum(p.numel() for p in FrameAttention(SMALL).parameters()) < 190_000
    assert (MEDIUM.channels, MEDIUM.neighbours, MEDIUM.points) == (256, 32, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"channels": 30}, "multiple of heads"),
        ({"layers": 0}, "at least 1"),
        ({"points": -1}, "at least 0"),
        ({"dropout": 1.0}, "dropout is a share"),
        ({"pair_input": "distance", "points": 1}, "goes without"),
        ({"lm_input": "replace"}, "lm_channels is 0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        FrameAttention(FrameAttentionConfig(**wrong))
