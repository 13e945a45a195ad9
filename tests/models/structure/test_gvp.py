"""Geometric vector perceptrons by hand, and what may change the vectors of residues."""

import math
from dataclasses import replace

import pytest
import torch
from proteins_here import alpha_only, mirrored, moved, padded, proteins, rows_of
from torch import Tensor, nn

from protray.models.layers import Noise
from protray.models.structure.gvp import Features, Gvp, Layer, Norm, Perceptron
from protray.models.structure.gvp_config import PAPER, GvpConfig
from protray.models.structure.neighbours import Neighbours, find_neighbours
from protray.models.structure.structure_batch import MASKED

WHOLE = GvpConfig(node_scalars=16, node_vectors=4, edge_scalars=8, layers=2, neighbours=6)
ALPHA = replace(WHOLE, inputs="esm-gvp", radius=10.0)
BOTH = pytest.mark.parametrize("config", [WHOLE, ALPHA], ids=lambda config: config.inputs)


def net(config: GvpConfig, seed: int = 0) -> Gvp:
    torch.manual_seed(seed)
    return Gvp(config).double()


def set_to(linear: nn.Module, weight: list[list[float]], bias: list[float] | None = None) -> None:
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weight))  # type: ignore[operator]
        if bias is not None:
            linear.bias.copy_(torch.tensor(bias))  # type: ignore[operator]


def along_x(*lengths: float) -> Tensor:
    """Vectors (N, 3, 1) of these lengths along x."""
    return torch.tensor([[[length], [0.0], [0.0]] for length in lengths])


def test_perceptron_by_hand() -> None:
    """V_h = 2 (3, 4, 0), of length 10; s' = 2 + 10 - 15 = -3; the gate of s', not of ReLU(s'), is sigmoid(3 - 3)."""
    one = Perceptron((1, 1), (1, 1))
    set_to(one.inner, [[2.0]])
    set_to(one.scalars, [[1.0, 1.0]], [-15.0])
    set_to(one.gates, [[1.0]], [3.0])
    set_to(one.vectors, [[1.0]])
    x = Features(torch.tensor([[2.0]]), torch.tensor([[[3.0], [4.0], [0.0]]]))
    found = one(x)
    assert found.s_NS.tolist() == [[0.0]]
    assert found.v_N3T.flatten().tolist() == [3.0, 4.0, 0.0]
    one.last = True
    assert one(x).s_NS.tolist() == [[-3.0]]


def test_messages_on_a_line_by_hand() -> None:
    """Residues at x = 0, 1, 2 with s = 1, 2, 3 and V = 1, 2, -1 along x; edges with s = 1 and V = x_j - x_i.

    G1: s' = s_i + 2 s_j + s_e + |V_i| + |V_j| + |V_e|, V' = V_i + V_j + 2 V_e; G2: s' = s - |V|; G3: s' = -s.

    =====  ==================================  ==================  ===============
    edge   s after G1                          V after G1, G2, G3  s after G2, G3
    =====  ==================================  ==================  ===============
    1 > 0  1 + 2 x 2 + 1 + 1 + 2 + 1 = 10      1 + 2 + 2 = 5       5, -5
    0 > 1  2 + 2 x 1 + 1 + 2 + 1 + 1 = 9       2 + 1 - 2 = 1       8, -8
    2 > 1  2 + 2 x 3 + 1 + 2 + 1 + 1 = 13      2 - 1 + 2 = 3       10, -10
    1 > 2  3 + 2 x 2 + 1 + 1 + 2 + 1 = 12      -1 + 2 - 2 = -1     11, -11
    =====  ==================================  ==================  ===============
    """
    layer = Layer((1, 1), (1, 1))
    second, third = layer.others
    half = [0.0]  # bias of a gate without weight: sigmoid(0) = 1/2
    set_to(layer.scalars_of_ends, [[1.0], [2.0]])
    set_to(layer.vectors_of_ends, [[1.0], [0.0], [0.0], [0.0], [1.0], [0.0]])
    set_to(layer.first.inner, [[0.0], [0.0], [1.0]])
    set_to(layer.first.scalars, [[1.0, 1.0, 1.0, 1.0]], [0.0])
    set_to(layer.first.vectors, [[2.0, 2.0, 4.0]])
    for one, (weight, length) in ((second, (1.0, -1.0)), (third, (-1.0, 0.0))):
        set_to(one.inner, [[1.0]])
        set_to(one.scalars, [[weight, length]], [0.0])
        set_to(one.vectors, [[2.0]])
    for one in (layer.first, second, third):
        set_to(one.gates, [[0.0]], half)
    x = Features(torch.tensor([[1.0], [2.0], [3.0]]), along_x(1, 2, -1))
    e = Features(torch.ones(4, 1), along_x(1, -1, 1, -1))
    source_E, target_E = torch.tensor([1, 0, 2, 1]), torch.tensor([0, 1, 1, 2])
    found = layer.messages(x, e, source_E, target_E)
    torch.testing.assert_close(found.s_NS, torch.tensor([[-5.0], [-9.0], [-11.0]]))
    torch.testing.assert_close(found.v_N3T, along_x(5, 2, -1))


def test_norm_by_hand() -> None:
    """Lengths 1 and 7 have the mean square 25."""
    x = Features(torch.tensor([[1.0, 3.0]]), torch.tensor([[[1.0, 0.0], [0.0, 7.0], [0.0, 0.0]]]))
    found = Norm(2)(x)
    torch.testing.assert_close(found.s_NS, torch.tensor([[-1.0, 1.0]]), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.v_N3T, x.v_N3T / 5)


def test_a_layer_by_hand() -> None:
    """Every message says (2, 0) and the network of a node (1, -1), both without vectors.

    Told: (1, 3) + (2, 0) = (3, 3), 0 after the norm, + (1, -1) and that after the norm.  Not told: (1, 3) is (-1, 1)
    after the norm, + (1, -1) = 0.  Vectors of the lengths 1 and 7 are divided by 5, then have the mean square 1.
    """
    layer = Layer((2, 2), (1, 1))
    for weight in layer.parameters():
        nn.init.zeros_(weight)
    for norm in (layer.norm, layer.last_norm):
        for name, weight in norm.named_parameters():
            nn.init.constant_(weight, float(name.endswith("weight")))
    with torch.no_grad():
        layer.others[-1].scalars.bias.copy_(torch.tensor([2.0, 0.0]))
        layer.forwards[-1].scalars.bias.copy_(torch.tensor([1.0, -1.0]))
    v_N3T = torch.tensor([[[1.0, 0.0], [0.0, 7.0], [0.0, 0.0]]]).repeat(2, 1, 1)
    x, e = Features(torch.tensor([[1.0, 3.0], [1.0, 3.0]]), v_N3T), Features(torch.ones(1, 1), along_x(1))
    found = layer(x, e, torch.tensor([1]), torch.tensor([0]), lambda _, told: told)
    torch.testing.assert_close(found.s_NS, torch.tensor([[1.0, -1.0], [0.0, 0.0]]), rtol=0, atol=0.01)
    torch.testing.assert_close(found.v_N3T, v_N3T / 5, rtol=1e-4, atol=0)


def test_edges_of_a_line_by_hand() -> None:
    """Two residues 5 Å apart along x, the second three steps behind the first in the chain."""
    batch = proteins([2])
    batch.atoms_BLA3[0, 1, 1] = batch.atoms_BLA3[0, 0, 1] + torch.tensor([5.0, 0, 0])
    batch = replace(batch, index_BL=torch.tensor([[4, 7]]))
    source_E, target_E = torch.tensor([1]), torch.tensor([0])
    s_ES, v_E31 = net(WHOLE).edge_inputs(batch, source_E, target_E)
    assert v_E31.flatten().tolist() == [1, 0, 0]
    near = [math.exp(-(((5 - centre * 20 / 15) / 1.25) ** 2)) for centre in range(16)]
    torch.testing.assert_close(s_ES[0, :16], torch.tensor(near, dtype=torch.float64), rtol=0, atol=1e-8)
    assert s_ES[0, [16, 24, 32]].tolist() == pytest.approx([math.sin(3), math.cos(3), 1])
    apart = replace(batch, chain_BL=torch.tensor([[0, 1]]))
    assert not net(WHOLE).edge_inputs(apart, source_E, target_E).s_NS[0, 16:].any()
    s_ES, v_E31 = net(ALPHA).edge_inputs(batch, source_E, target_E)
    assert s_ES.shape == (1, 16) and v_E31.flatten().tolist() == [5, 0, 0]


@BOTH
def test_shape_and_padding_of_zeros(config) -> None:
    batch = proteins([12, 7])
    z_BLC = net(config)(batch)
    assert z_BLC.shape == (2, 12, config.width)
    assert not z_BLC[1, 7:].any() and z_BLC[1, :7].any(dim=-1).all()


def test_the_networks_of_the_papers_have_their_widths() -> None:
    assert PAPER.width == 256
    assert Gvp(PAPER)(to_float(proteins([5]))).shape == (1, 5, 256)


@BOTH
def test_rotation_and_translation_change_nothing(config) -> None:
    batch, one = proteins([20, 13]), net(config)
    torch.testing.assert_close(one(moved(batch)), one(batch), rtol=0, atol=1e-10)
    found, expected = one.float()(moved(to_float(batch))), one(to_float(batch))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def test_mirror_images_differ_where_the_backbone_is_read() -> None:
    batch = proteins([20])
    for kind in (batch, alpha_only(batch)):
        one = net(WHOLE)
        assert (one(mirrored(kind)) - one(kind)).abs().max() > 0.01


def test_mirror_images_are_the_same_to_esm_gvp() -> None:
    batch, one = proteins([20]), net(ALPHA)
    torch.testing.assert_close(one(mirrored(batch)), one(batch), rtol=0, atol=1e-10)


@BOTH
def test_padding_and_other_proteins_change_nothing(config) -> None:
    batch, one = proteins([14, 20, 3, 9]), net(config)
    z_BLC = one(batch)
    torch.testing.assert_close(one(padded(batch, 40))[:, :20], z_BLC, rtol=0, atol=1e-12)
    torch.testing.assert_close(one(rows_of(batch, [3, 0, 2])), z_BLC[[3, 0, 2]], rtol=0, atol=1e-12)
    torch.testing.assert_close(one(rows_of(batch, [3]))[0, :9], z_BLC[3, :9], rtol=0, atol=1e-12)


@BOTH
def test_whatever_stands_at_absent_atoms_changes_nothing(config) -> None:
    batch, one = alpha_only(proteins([15])), net(config)
    filled = replace(batch, atoms_BLA3=torch.where(batch.present_BLA[..., None], batch.atoms_BLA3, 1e3))
    assert torch.equal(one(filled), one(batch))


@BOTH
def test_side_chains_of_masked_residues_do_not_leak(config) -> None:
    batch, one = proteins([15]), net(config)
    masked = replace(batch, type_BL=batch.type_BL.clone())
    masked.type_BL[0, 4] = MASKED
    other = replace(masked, atoms_BLA3=batch.atoms_BLA3.clone(), present_BLA=batch.present_BLA.clone())
    other.present_BLA[0, 4, 4:] = ~other.present_BLA[0, 4, 4:]
    other.atoms_BLA3[0, 4, 4:] += 1
    assert torch.equal(one(other), one(masked))
    assert not torch.equal(one(masked), one(batch))


@BOTH
@pytest.mark.parametrize("case", ["C-alpha", "one", "break", "two chains", "line", "one place", "distant"])
def test_odd_structures_are_finite(config, case) -> None:
    """Also their gradients."""
    batch = proteins([1] if case == "one" else [12, 6])
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
    batch = replace(batch, index_BL=index_BL, chain_BL=chain_BL, atoms_BLA3=atoms_BLA3)
    batch = alpha_only(batch) if case == "C-alpha" else batch
    one = net(config)
    z_BLC = one(batch)
    z_BLC.square().sum().backward()
    assert z_BLC.isfinite().all()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in one.parameters())


def test_places_along_the_chain_count_from_anywhere() -> None:
    batch, one = proteins([12]), net(WHOLE)
    torch.testing.assert_close(one(replace(batch, index_BL=batch.index_BL + 70)), one(batch), rtol=0, atol=1e-10)


@BOTH
def test_a_residue_sees_its_neighbours_alone(config) -> None:
    """Given none but themselves, residues do not notice where the others are."""
    batch, one = alpha_only(proteins([12])), net(config)
    batch = replace(batch, index_BL=2 * batch.index_BL)  # nobody is bonded
    own = Neighbours(torch.arange(12)[None, :, None], torch.ones(1, 12, 1, dtype=torch.bool))
    others = replace(batch, atoms_BLA3=batch.atoms_BLA3 * torch.arange(12)[None, :, None, None])
    assert torch.equal(one(batch, own), one(others, own))
    assert not torch.equal(one(batch), one(others))
    at = batch.ca_BL3, batch.index_BL, batch.chain_BL, batch.real_BL
    assert torch.equal(one(batch, find_neighbours(*at, k=config.neighbours + 1)), one(batch))


@BOTH
def test_a_language_model_joins_by_weights_that_start_at_zero(config) -> None:
    batch, plain = proteins([12]), net(config)
    lm_BLC = torch.randn(1, 12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    serial = net(replace(config, lm_channels=5))
    serial.load_state_dict({**plain.state_dict(), "lm.weight": serial.lm.weight})  # type: ignore[union-attr]
    with_lm = replace(batch, lm_BLC=lm_BLC)
    assert torch.equal(serial(with_lm), plain(batch))
    serial(with_lm).square().sum().backward()
    assert serial.lm.weight.grad.any()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="5 channels"):
        serial(batch)
    instead = net(replace(config, lm_channels=5, lm_input="replace"))
    assert torch.equal(instead(replace(with_lm, type_BL=1 - batch.type_BL.clamp(max=1))), instead(with_lm))
    assert not torch.equal(instead(replace(with_lm, lm_BLC=-lm_BLC)), instead(with_lm))


def test_dropout_belongs_to_the_protein() -> None:
    batch, one = proteins([12, 7]), net(replace(WHOLE, dropout=0.3))
    z_BLC = one(batch, noise=Noise([1, 2], [12, 7]))
    assert not torch.equal(z_BLC, one(batch))
    alone = one(rows_of(batch, [1]), noise=Noise([2], [7]))
    torch.testing.assert_close(alone[0, :7], z_BLC[1, :7], rtol=0, atol=1e-12)


@BOTH
def test_learns_four_proteins_by_heart(config) -> None:
    """Three classes drawn for each residue: ln 3 = 1.10 for who knows nothing."""
    batch = to_float(proteins([20, 17, 12, 9], seed=3))
    torch.manual_seed(0)
    one, head = Gvp(replace(config, neighbours=8)), nn.Linear(config.width, 3)
    class_V = torch.randint(3, (58,), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW([*one.parameters(), *head.parameters()], lr=1e-2)
    loss = torch.tensor(torch.inf)
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(one(batch)[batch.real_BL]), class_V)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize("wrong", [{"layers": 0}, {"radius": 0.0}, {"dropout": 1.0}, {"lm_input": "replace"}])
def test_settings_are_checked(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("lm_input", "lm_channels")):
        GvpConfig(**wrong)


def to_float(batch):  # noqa: ANN001, ANN201
    return replace(batch, atoms_BLA3=batch.atoms_BLA3.float())
