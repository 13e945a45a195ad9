"""The losses of noise and of SiamDiff's two views: what is moved, closed forms, and cross prediction."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ssdm_here import SmallEncoder
from ssdm_steps_here import K, Spy, double, draws, networks, only
from torch import Tensor

from protray.models.structure.neighbours import Neighbours
from protray.models.structure.structure_batch import MASKED, StructureBatch
from protray.seq.alphabet import AMINO_ACIDS
from protray.struct.residues.torsions import side_chain_torsions
from protray.training.structure.ssdm_batches import micro_batch
from protray.training.structure.ssdm_objectives import (
    objective_losses,
)


def test_noise_moves_every_atom_by_its_level_and_lists_stay_clean() -> None:
    config = only("denoise")
    parts, encoder = draws(config, side_chain_drop=0.0, backbone_drop=0.0), Spy()
    batch = micro_batch(parts, config)
    objective_losses(encoder, networks(config)[1], batch, config, K)
    ((noisy, near),) = encoder.seen
    moved = (noisy.atoms_BLA3 - batch.crops.atoms_BLA3)[batch.crops.present_BLA]
    sigma = torch.tensor(np.geomspace(0.05, 3, 16)[:4], dtype=torch.float32)[:, None, None, None]
    expected = (sigma * batch.noise_VBLA3[0])[batch.crops.present_BLA]
    assert torch.allclose(moved, expected, atol=1e-4)
    assert not noisy.atoms_BLA3[~noisy.present_BLA].any()
    still = Spy()
    objective_losses(still, networks(config)[1], replace(batch, noise_VBLA3=0 * batch.noise_VBLA3), config, K)
    assert torch.equal(still.seen[0][1].idx_BLK, near.idx_BLK)


@pytest.mark.parametrize("objective", ["denoise", "siamdiff"])
def test_silent_heads_cost_the_closed_form(objective) -> None:
    """3/2 and 1/2 (tr M^2 + 1/K), within 3 standard errors over 60 proteins at 5 levels up to 0.2 Å."""
    config = only(objective, gamma=1.0)
    encoder, heads = networks(config, silent=True)
    term, zero_term = next(iter(config.terms())), f"{next(iter(config.terms()))}/over_zero"
    ratios = []
    for epoch in range(15):
        for part in draws(config, epoch=epoch):
            found = objective_losses(encoder, heads, micro_batch([part], config), config, K, report=True)
            loss, zero = found[zero_term]
            assert loss.item() == pytest.approx(found[term][0].item() * (2 if objective == "siamdiff" else 1))
            assert set(found) >= {f"{zero_term}/level_{part.level:02d}"}
            ratios.append(loss.item() / zero)
            if objective == "denoise":
                assert zero == 1.5
    error = np.std(ratios) / math.sqrt(len(ratios))
    assert error < 0.02
    assert np.mean(ratios) == pytest.approx(1, abs=3 * error + 0.005)


@pytest.mark.parametrize("objective", ["denoise", "siamdiff"])
def test_losses_of_noise_turn_with_the_structure(objective) -> None:
    config = only(objective)
    batch, nets = double(micro_batch(draws(config), config)), [net.double() for net in networks(config)]
    torch.manual_seed(2)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    rotation *= torch.linalg.det(rotation)
    turned = replace(
        batch,
        crops=replace(batch.crops, atoms_BLA3=batch.crops.atoms_BLA3 @ rotation.T),
        noise_VBLA3=batch.noise_VBLA3 @ rotation.T,
        shift_BLA3=None if batch.shift_BLA3 is None else batch.shift_BLA3 @ rotation.T,
    )
    unlike = replace(batch, noise_VBLA3=batch.noise_VBLA3 @ rotation.T)
    for term, (loss, _) in objective_losses(*nets, batch, config, K).items():
        assert objective_losses(*nets, turned, config, K)[term][0].item() == pytest.approx(loss.item(), rel=1e-9)
        assert objective_losses(*nets, unlike, config, K)[term][0].item() != pytest.approx(loss.item(), rel=1e-8)


class Replaced(SmallEncoder):
    """Answers noise in place of the vectors of one call."""

    def __init__(self, call: int | None) -> None:
        super().__init__()
        self.call, self.calls = call, 0

    def forward(self, batch: StructureBatch, neighbours: Neighbours | None) -> Tensor:
        self.calls += 1
        z_BLC = super().forward(batch, neighbours)
        return torch.randn_like(z_BLC) if self.calls - 1 == self.call else z_BLC


@pytest.mark.parametrize("cross", [True, False])
@pytest.mark.parametrize("term", ["siamdiff_structure", "siamdiff_sequence"])
def test_cross_prediction_crosses(cross, term) -> None:
    """Without the vectors of view 2, view 1's loss changes and view 2's does not; not crossed, the reverse."""
    config = only("siamdiff", cross=cross)
    batch, heads = micro_batch(draws(config), config), networks(config)[1]

    def views(call: int | None) -> list[float]:
        torch.manual_seed(1)
        found = objective_losses(Replaced(call), heads, batch, config, K, report=True)
        return [found[f"{term}/view_{number}"][0].item() for number in (1, 2)]

    whole, without_second = views(None), views(1)
    changed = [one != other for one, other in zip(whole, without_second, strict=True)]
    assert changed == [cross, not cross]


def test_views_of_siamdiff_differ_by_their_shift_and_their_noise() -> None:
    config = only("siamdiff", view_noise=0.3)
    encoder, batch = Spy(), micro_batch(draws(config), config)
    objective_losses(encoder, networks(config)[1], batch, config, K)
    (one, near), (other, near_too) = encoder.seen
    assert torch.equal(near.idx_BLK, near_too.idx_BLK) and torch.equal(one.type_BL, other.type_BL)
    assert (one.type_BL == MASKED).sum() == len(batch.hidden_N)
    sigma = torch.tensor(np.geomspace(0.05, 3, 16)[:4], dtype=torch.float32)[:, None, None]
    assert batch.shift_BLA3 is not None
    expected = 0.3 * batch.shift_BLA3[:, :, 1] + sigma * (batch.noise_VBLA3[1] - batch.noise_VBLA3[0])[:, :, 1]
    assert torch.allclose((other.ca_BL3 - one.ca_BL3)[one.real_BL], expected[one.real_BL], atol=1e-4)


def test_views_of_siamdiff_may_differ_by_the_torsions_of_their_side_chains() -> None:
    """With hardly any noise, all that differs is chi, by the angles drawn; hidden residues have no side chain."""
    config = only("siamdiff", view="torsions", view_turn=0.1, levels="siamdiff-2")
    encoder, parts = Spy(), draws(config, side_chain_drop=0, backbone_drop=0)
    batch = micro_batch(parts, config)
    assert batch.shift_BLA3 is None and batch.turn_BL5 is not None
    quiet = replace(batch, noise_VBLA3=torch.zeros_like(batch.noise_VBLA3))
    objective_losses(encoder, networks(config)[1], quiet, config, K)
    (one, _), (other, _) = encoder.seen
    torch.testing.assert_close(other.atoms_BLA3[:, :, :5], one.atoms_BLA3[:, :, :5])
    types_BL = batch.crops.type_BL
    (before_BL5, known_BL5), (after_BL5, _) = (
        side_chain_torsions(types_BL, view.atoms_BLA3, view.present_BLA) for view in (one, other)
    )
    known_BL5 &= (types_BL != AMINO_ACIDS.index("P"))[..., None]
    grown_BL5 = torch.remainder(after_BL5 - before_BL5 - 0.1 * torch.pi * batch.turn_BL5 + torch.pi, 2 * torch.pi)
    assert known_BL5.any() and (grown_BL5[known_BL5] - torch.pi).abs().max() < 1e-3
    assert not known_BL5.flatten(0, 1)[batch.hidden_N].any()
