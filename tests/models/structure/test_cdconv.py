"""Continuous-discrete convolution by hand, and what may change the vectors of residues."""

import math
from dataclasses import replace

import pytest
import torch
from proteins_here import alpha_only, mirrored, moved, padded, proteins, rows_of
from torch import Tensor, nn

from protray.models.layers import Noise
from protray.models.structure.cdconv import CdConv, Convolution, Pairs, find_edges, smooth, trace_axes
from protray.models.structure.cdconv_config import PAPER, CdConvConfig
from protray.models.structure.neighbours import Neighbours
from protray.models.structure.radius_graph import Places, within
from protray.models.structure.structure_batch import MASKED, StructureBatch

STAGES = CdConvConfig(embedding=8, widths=(16, 16, 32), radii=(8.0, 12.0, 16.0), kernel=8)
WHOLE = replace(STAGES, residue="paper")
BOTH = pytest.mark.parametrize("config", [STAGES, WHOLE], ids=lambda config: config.residue)
ROOT = math.sqrt(0.5)


def net(config: CdConvConfig, seed: int = 0) -> CdConv:
    torch.manual_seed(seed)
    return CdConv(config).double()


def to_float(batch: StructureBatch) -> StructureBatch:
    return replace(batch, atoms_BLA3=batch.atoms_BLA3.float())


def corner(index: tuple[int, int, int] = (0, 1, 2), chain: tuple[int, int, int] = (0, 0, 0)) -> Places:
    """C-alpha atoms of one protein around a right angle: 3 Å along x, then 4 Å along y."""
    place_BL3 = torch.tensor([[[-3.0, 0, 0], [0, 0, 0], [0, 4, 0]]], dtype=torch.float64)
    return Places(place_BL3, torch.tensor([index]), torch.tensor([chain]), torch.ones(1, 3, dtype=torch.bool))


def edge(places: Places, target: int, source: int, radius: float = 8.0) -> tuple[Tensor, int]:
    """Numbers of one edge with s, and the kernel that it goes through."""
    near = Neighbours(torch.tensor([[[source]] * 3]), torch.ones(1, 3, 1, dtype=torch.bool))
    edges = find_edges(places, trace_axes(places), near, radius)
    return edges.delta_EF[target], int(edges.kernel_EF[target, 0]) // 8


def test_axes_of_a_right_angle_by_hand() -> None:
    """u = x, then y: b = (1, -1, 0) / sqrt 2, n = x x y = z, o = b x n = (-1, -1, 0) / sqrt 2; the ends copy them."""
    expected_33 = torch.tensor([[ROOT, -ROOT, 0], [0, 0, 1], [-ROOT, -ROOT, 0]], dtype=torch.float64)
    torch.testing.assert_close(trace_axes(corner()), expected_33.expand(1, 3, 3, 3))


@pytest.mark.parametrize(("index", "chain"), [((0, 1, 3), (0, 0, 0)), ((0, 1, 2), (0, 0, 1))])
def test_two_bonded_residues_have_no_axes(index, chain) -> None:
    assert not trace_axes(corner(index, chain)).any()


def test_axes_next_to_a_straight_piece_are_copied() -> None:
    """Residues 0 to 4: straight at 1, bent at 2 and 3."""
    place_L3 = torch.tensor([[-6.0, 0, 0], [-3, 0, 0], [0, 0, 0], [0, 4, 0], [0, 4, 4]], dtype=torch.float64)
    index_BL = torch.arange(5)[None]
    axes_L33 = trace_axes(Places(place_L3[None], index_BL, 0 * index_BL, index_BL >= 0))[0]
    assert not axes_L33[0].any()
    assert torch.equal(axes_L33[1], axes_L33[2]) and torch.equal(axes_L33[4], axes_L33[3])
    assert not torch.equal(axes_L33[2], axes_L33[3])


def test_an_edge_by_hand() -> None:
    """From the residue 4 Å along y: b.y = -1/sqrt 2, n.y = 0, o.y = -1/sqrt 2; the same axes; d/r = 1/2; m = 11."""
    delta_F, kernel = edge(corner(), target=1, source=2)
    expected_F = torch.tensor([-ROOT, 0, -ROOT, 1, 1, 1, 0.5, 1], dtype=torch.float64)
    torch.testing.assert_close(delta_F, expected_F * smooth(torch.tensor(0.5), torch.tensor(1)).item())
    assert kernel == 11
    assert edge(corner(), target=1, source=0)[1] == 9
    delta_F, kernel = edge(corner(), target=1, source=1)
    torch.testing.assert_close(delta_F, torch.tensor([0, 0, 0, 1, 1, 1, 0, 1], dtype=torch.float64))
    assert kernel == 10


def test_kernels_of_far_residues_and_of_other_chains() -> None:
    """Beyond 10 steps they are one; another chain has the last, and counts as far."""
    for place, kernel in ((10, 20), (14, 20), (4, 15)):
        assert edge(corner((-1, 0, place + 1 if place == 4 else place)), target=1, source=2)[1] == kernel
    delta_F, kernel = edge(corner((-1, 0, 0), (0, 0, 1)), target=1, source=2, radius=4.0)
    assert kernel == 21
    assert delta_F[7].item() == pytest.approx(0.5 - 0.5 * math.tanh(2))


def test_smooth_by_hand() -> None:
    """1 for the residue itself or its neighbour along the chain, 1/2 where d/r times |j - i|/10 is 14/16."""
    share = torch.tensor([0, 1, 1, 0.875, 1], dtype=torch.float64)
    step = torch.tensor([10, 0, 1, -10, 10])
    expected = torch.tensor([1, 1, 1, 0.5, 0.5 - 0.5 * math.tanh(2)], dtype=torch.float64)
    torch.testing.assert_close(smooth(share, step), expected, rtol=0, atol=1e-10)


def test_convolution_by_hand() -> None:
    """Kernels: -5 before the residue, 2 at it, 8 d/r = d behind it; of x = 1, 10, 100 the residue in the middle gets

    2 (LeakyReLU(-5) x 1 + 2 x 10 + 4 x 100) = 2 (-1 + 20 + 400) = 838.
    """
    one = Convolution(1, 1).double()
    with torch.no_grad():
        one.kernels_MR.zero_()
        one.kernels_MR[9 * 8 + 7], one.kernels_MR[10 * 8 + 7], one.kernels_MR[11 * 8 + 6] = -5, 2, 8
        one.out.weight.fill_(2)
    places = corner()
    edges = find_edges(places, trace_axes(places), within(places, 4.5, 3), 8.0)
    y_BLC = one(torch.tensor([[[1.0], [10], [100]]], dtype=torch.float64), edges)
    assert y_BLC[0, 1].item() == pytest.approx(838, abs=1e-6)
    # ends: 2 (2 x 1 + 3 x 10), and 2 (-1 x 10 + 2 x 100); they are 5 Å apart, too far
    assert y_BLC[0, [0, 2], 0].tolist() == pytest.approx([64, 380], abs=1e-6)


def test_pairs_by_hand() -> None:
    """Places 3 4 5 | 8 9 in the chain, the first being 3, and one residue of another chain: 0 0 1 | 2 3 and 0."""
    index_BL, chain_BL = torch.tensor([[3, 4, 5, 8, 9, 7, 0]]), torch.tensor([[0, 0, 0, 0, 0, 1, 0]])
    real_BL = torch.tensor([[True] * 6 + [False]])
    place_BL3 = torch.tensor([1.0, 3, 5, 7, 9, 11, 100])[None, :, None].expand(1, 7, 3)
    pairs = Pairs(Places(place_BL3, index_BL, chain_BL, real_BL))
    assert pairs.pair_BL[0, :6].tolist() == [0, 0, 1, 2, 3, 4]
    assert pairs.places.place_BL3[0, :, 0].tolist() == [2, 5, 7, 9, 11]
    assert pairs.places.index_BL.tolist() == [[0, 1, 2, 3, 0]]
    assert pairs.places.chain_BL.tolist() == [[0, 0, 0, 0, 1]]
    assert pairs.places.real_BL.all()


def test_vectors_of_stages_stand_side_by_side() -> None:
    batch = proteins([11, 7])
    z_BLC = net(STAGES)(batch)
    assert z_BLC.shape == (2, 11, 16 + 16 + 32) and STAGES.width == 64
    assert not z_BLC[1, 7:].any()
    assert torch.equal(z_BLC[0, 4, 16:], z_BLC[0, 5, 16:]) and not torch.equal(z_BLC[0, 4, :16], z_BLC[0, 5, :16])
    assert torch.equal(z_BLC[0, 4, 32:], z_BLC[0, 7, 32:]) and not torch.equal(z_BLC[0, 3, 32:], z_BLC[0, 4, 32:])


def test_every_residue_has_the_vector_of_the_protein() -> None:
    """The mean of the last stage, whose 11 / 4 places do not stand for equally many residues."""
    z_BLC, stages_BLC = net(WHOLE)(proteins([11, 7])), net(STAGES)(proteins([11, 7]))
    assert torch.equal(z_BLC[0, 0], z_BLC[0, 10]) and not z_BLC[1, 7:].any()
    torch.testing.assert_close(z_BLC[0, 0], stages_BLC[0, [0, 4, 8], 32:].mean(dim=0))


def test_the_network_of_the_paper_has_its_widths() -> None:
    assert PAPER.width == 2048
    assert CdConv(PAPER)(to_float(proteins([9]))).shape == (1, 9, 2048)


@BOTH
def test_rotation_and_translation_change_nothing(config) -> None:
    batch, one = proteins([20, 13]), net(config)
    torch.testing.assert_close(one(moved(batch)), one(batch), rtol=0, atol=1e-10)
    found, expected = one.float()(moved(to_float(batch))), one(to_float(batch))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@BOTH
def test_mirror_images_differ(config) -> None:
    batch, one = alpha_only(proteins([20])), net(config)
    assert (one(mirrored(batch)) - one(batch)).abs().max() > 0.01


@BOTH
def test_padding_and_other_proteins_change_nothing(config) -> None:
    batch, one = proteins([14, 20, 3, 9]), net(config)
    z_BLC = one(batch)
    torch.testing.assert_close(one(padded(batch, 40))[:, :20], z_BLC, rtol=0, atol=1e-12)
    torch.testing.assert_close(one(rows_of(batch, [3, 0, 2])), z_BLC[[3, 0, 2]], rtol=0, atol=1e-12)
    torch.testing.assert_close(one(rows_of(batch, [3]))[0, :9], z_BLC[3, :9], rtol=0, atol=1e-12)


def test_places_along_the_chain_count_from_anywhere() -> None:
    batch, one = proteins([13]), net(STAGES)
    torch.testing.assert_close(one(replace(batch, index_BL=batch.index_BL + 71)), one(batch), rtol=0, atol=1e-12)


def test_it_reads_types_and_alpha_carbons_alone() -> None:
    """So side chains of masked residues cannot leak."""
    batch, one = proteins([15]), net(STAGES)
    masked = replace(batch, type_BL=batch.type_BL.clone())
    masked.type_BL[0, 4] = MASKED
    assert torch.equal(one(alpha_only(masked)), one(masked))
    assert not torch.equal(one(masked), one(batch))


@BOTH
@pytest.mark.parametrize("case", ["one", "two", "break", "two chains", "line", "one place", "distant"])
def test_odd_structures_are_finite(config, case) -> None:
    """Also their gradients."""
    batch = proteins({"one": [1], "two": [2]}.get(case, [12, 6]))
    index_BL, chain_BL, atoms_BLA3 = batch.index_BL.clone(), batch.chain_BL.clone(), batch.atoms_BLA3.clone()
    if case == "break":
        index_BL[:, 5:] += 9
    elif case == "two chains":
        chain_BL[:, 5:] = 1
        index_BL[:, 5:] -= 5
    elif case == "line":
        atoms_BLA3[..., 1:] = 0
    elif case == "one place":
        atoms_BLA3[:, :4] = 0
    elif case == "distant":
        atoms_BLA3 = atoms_BLA3 * 100
    one = net(config)
    z_BLC = one(replace(batch, index_BL=index_BL, chain_BL=chain_BL, atoms_BLA3=atoms_BLA3))
    z_BLC.square().sum().backward()
    assert z_BLC.isfinite().all() and z_BLC[batch.real_BL].any(dim=1).all()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in one.parameters())


def test_residues_see_those_that_are_given() -> None:
    """Given none but themselves, residues of the only stage do not notice where the others are."""
    config = replace(STAGES, widths=(16,), radii=(8.0,))
    batch, one = alpha_only(proteins([12])), net(config)
    batch = replace(batch, index_BL=2 * batch.index_BL)  # nobody is bonded
    own = Neighbours(torch.arange(12)[None, :, None], torch.ones(1, 12, 1, dtype=torch.bool))
    others = replace(batch, atoms_BLA3=batch.atoms_BLA3 * torch.arange(12)[None, :, None, None])
    assert torch.equal(one(batch, own), one(others, own))
    assert not torch.equal(one(batch), one(others))


def test_a_language_model_joins_by_weights_that_start_at_zero() -> None:
    batch, plain = proteins([12]), net(STAGES)
    lm_BLC = torch.randn(1, 12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    serial = net(replace(STAGES, lm_channels=5))
    serial.load_state_dict({**plain.state_dict(), "lm.weight": serial.lm.weight})  # type: ignore[union-attr]
    with_lm = replace(batch, lm_BLC=lm_BLC)
    assert torch.equal(serial(with_lm), plain(batch))
    serial(with_lm).square().sum().backward()
    assert serial.lm.weight.grad.any()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="5 channels"):
        serial(batch)
    instead = net(replace(STAGES, lm_channels=5, lm_input="replace"))
    assert torch.equal(instead(replace(with_lm, type_BL=1 - batch.type_BL.clamp(max=1))), instead(with_lm))
    assert not torch.equal(instead(replace(with_lm, lm_BLC=-lm_BLC)), instead(with_lm))


@BOTH
def test_dropout_belongs_to_the_protein(config) -> None:
    batch, one = proteins([12, 7]), net(replace(config, dropout=0.3))
    z_BLC = one(batch, noise=Noise([1, 2], [12, 7]))
    assert not torch.equal(z_BLC, one(batch))
    alone = one(rows_of(batch, [1]), noise=Noise([2], [7]))
    torch.testing.assert_close(alone[0, :7], z_BLC[1, :7], rtol=0, atol=1e-12)


def test_learns_four_proteins_by_heart() -> None:
    """Three classes drawn for each residue: ln 3 = 1.10 for who knows nothing."""
    batch = to_float(proteins([20, 17, 12, 9], seed=3))
    torch.manual_seed(0)
    one, head = CdConv(STAGES), nn.Linear(STAGES.width, 3)
    class_V = torch.randint(3, (58,), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW([*one.parameters(), *head.parameters()], lr=1e-2)
    loss = torch.tensor(torch.inf)
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(one(batch)[batch.real_BL]), class_V)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize("wrong", [{"widths": (64,)}, {"widths": (6, 6, 6, 6)}, {"kernel": 0}, {"dropout": 1.0}])
def test_settings_are_checked(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("s")):
        CdConvConfig(**wrong)
