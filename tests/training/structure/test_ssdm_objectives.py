"""The losses of a step: by hand where heads say nothing, and without leaks."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from ssdm_here import atom_chain
from ssdm_steps_here import K, Spy, draws, networks, only
from tiny_model import LM_CHANNELS, save_tiny_lm
from torch import Tensor, nn

from protray.models.joint.fusion_config import FusionConfig
from protray.models.joint.objective_heads import ObjectiveHeads
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.models.structure.neighbours import Neighbours
from protray.models.structure.structure_batch import MASKED, StructureBatch
from protray.plm.sequence_encoder import SequenceEncoder
from protray.training.structure.ssdm_batches import hidden, micro_batch
from protray.training.structure.ssdm_config import OBJECTIVES
from protray.training.structure.ssdm_draws import Draw
from protray.training.structure.ssdm_objectives import objective_losses

ALL = only(*OBJECTIVES)


def test_silent_heads_cost_what_the_coordinates_say() -> None:
    """ln 20, ln 8 and ln 16 of each target, and ((d - 8) / 4)^2 of the distances, which are read off the chains."""
    config = only("residue", "distance", "angle", "dihedral")
    parts = draws(config)
    encoder, heads = networks(config, silent=True)
    found = objective_losses(encoder, heads, micro_batch(parts, config), config, K)
    masked, paths = sum(int(part.masked_L.sum()) for part in parts), sum(len(part.paths_NS) for part in parts)
    assert (masked, paths) == (13 + 11 + 15 + 13, 30 + 25 + 33 + 29)
    values = {term: (loss.item(), count) for term, (loss, count) in found.items()}
    assert values["residue"] == (pytest.approx(masked * math.log(20)), masked)
    assert values["angle"] == (pytest.approx(paths * math.log(8)), paths)
    assert values["dihedral"] == (pytest.approx(paths * math.log(16)), paths)
    square = 0.0
    for part in parts:
        ca_L3 = part.crop.atoms_LA3[:, 1].astype(np.float64)
        for i, j in part.paths_NS[:, :2].tolist():
            square += ((np.linalg.norm(ca_L3[i] - ca_L3[j]) - 8) / 4) ** 2
    assert values["distance"] == (pytest.approx(square, rel=1e-5), paths)


def test_bins_and_types_are_those_of_the_paths() -> None:
    """Heads that always say one class are right exactly as often as it occurs."""
    config = only("residue", "angle", "dihedral")
    parts = draws(config)
    encoder, heads = networks(config, silent=True)
    with torch.no_grad():
        for term, said in (("residue", 3), ("angle", 2), ("dihedral", 15)):
            last = heads.of[term][2]  # type: ignore[index]
            last.bias[said] = 1.0
    found = objective_losses(encoder, heads, micro_batch(parts, config), config, K, report=True)
    types = np.concatenate([part.crop.codes_L[part.masked_L] for part in parts])
    assert found["residue/accuracy"] == ((types == 3).sum(), len(types))
    angles, dihedrals = [], []
    for part in parts:
        i, j, k, t = part.crop.atoms_LA3[:, 1][part.paths_NS].astype(np.float64).transpose(1, 0, 2)
        u, v, w = i - j, k - j, t - k
        angles += np.arccos((u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)).tolist()
        along = v / np.linalg.norm(v, axis=1, keepdims=True)
        a, b = u - (u * along).sum(1)[:, None] * along, w - (w * along).sum(1)[:, None] * along
        dihedrals += np.arctan2((np.cross(along, a) * b).sum(1), (a * b).sum(1)).tolist()
    right = sum(math.pi / 4 <= angle < 3 * math.pi / 8 for angle in angles)
    assert 0 < right == found["angle/accuracy"][0]
    right = sum(7 * math.pi / 8 <= angle for angle in dihedrals)
    assert 0 < right == found["dihedral/accuracy"][0]


def test_counts_are_known_beforehand() -> None:
    config = only(*OBJECTIVES)
    batch = micro_batch(draws(config), config)
    found = objective_losses(*networks(config), batch, config, K)
    assert {term: count for term, (_, count) in found.items()} == batch.counts
    assert batch.counts["contrast"] == batch.counts["denoise"] == batch.counts["siamdiff_structure"] == 4


def swapped(part: Draw, mask_L: np.ndarray) -> Draw:
    """The same draw of a chain whose residues under the mask have other types and side chains."""
    crop, other = part.crop, atom_chain(len(part.crop), seed=77)
    present_LA, atoms_LA3 = crop.present_LA.copy(), crop.atoms_LA3.copy()
    present_LA[mask_L, 4:], atoms_LA3[mask_L, 4:] = other.present_LA[mask_L, 4:], other.atoms_LA3[mask_L, 4:]
    codes_L = np.where(mask_L, other.codes_L, crop.codes_L)
    return replace(part, crop=replace(crop, codes_L=codes_L, present_LA=present_LA, atoms_LA3=atoms_LA3))


def test_hidden_residues_leak_neither_type_nor_side_chain() -> None:
    """Two chains that differ in the types and side chains of hidden residues alone look the same."""
    config = only("residue")
    part = draws(config, (90,), side_chain_drop=0.0, backbone_drop=0.0)[0]
    one, two = (micro_batch([of], config) for of in (part, swapped(part, part.masked_L)))
    assert not torch.equal(one.crops.type_BL, two.crops.type_BL)
    seen, seen_too = hidden(one.crops, one.masked_N), hidden(two.crops, two.masked_N)
    for name in ("type_BL", "atoms_BLA3", "present_BLA"):
        assert torch.equal(getattr(seen, name), getattr(seen_too, name))
    assert (seen.type_BL == MASKED).sum() == 13
    assert seen.present_BLA[0, ~torch.from_numpy(part.masked_L), 4:].any()


@pytest.mark.parametrize("fusion", ["none", "serial", "parallel", "cross"])
@pytest.mark.parametrize("objective", ["residue", "siamdiff"])
def test_no_answer_comes_from_a_hidden_residue(tmp_path, objective, fusion) -> None:
    """The vectors on which heads answer are the same, in any fusion, as the language model reads its mask there."""
    config = only(objective)
    part = draws(config, (90,), side_chain_drop=0.0, backbone_drop=0.0)[0]
    lm = None if fusion == "none" else SequenceEncoder(str(save_tiny_lm(tmp_path / "lm")), trained=False)
    joint = SsdmConfig(net=FrameAttentionConfig(channels=16, heads=2, pair=4, layers=1), fusion=fusion,
                       fuse=FusionConfig(channels=8, heads=2), lm=lm and lm.name)  # fmt: skip
    net = Ssdm(joint, lm, LM_CHANNELS).eval()
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter)  # what begins at 0 would hide a leak
    heads = ObjectiveHeads(net.channels, config.terms(), config.angle_bins, config.dihedral_bins)

    def vectors(of: Draw) -> list[Tensor]:
        seen: list[Tensor] = []

        def encoder(view: StructureBatch, near: Neighbours | None) -> Tensor:
            seen.append(net(view, near))
            return seen[-1]

        objective_losses(encoder, heads, micro_batch([of], config), config, K)
        return seen

    asked_L = part.masked_L if objective == "residue" else part.hidden_L
    assert asked_L.any()
    before, after, open_too = (vectors(of) for of in (part, swapped(part, asked_L), swapped(part, ~asked_L)))
    for one, two, three in zip(before, after, open_too, strict=True):
        assert torch.equal(one, two) and not torch.allclose(one, three, atol=1e-3)


def test_edges_of_paths_are_in_no_list_of_the_encoder() -> None:
    config = only("residue", "dihedral")
    parts, encoder = draws(config), Spy()
    objective_losses(encoder, networks(config)[1], micro_batch(parts, config), config, K)
    (seen,) = encoder.seen  # one pass for both
    for row, part in enumerate(parts):
        lists = [set(near[ok].tolist()) for near, ok in zip(seen[1].idx_BLK[row], seen[1].ok_BLK[row], strict=True)]
        for path in part.paths_NS.tolist():
            for i, j in zip(path, path[1:], strict=False):
                assert j not in lists[i] and i not in lists[j]
        assert {len(near) for near in lists[: len(part.masked_L)]} == {K}  # filled up by the next


def test_contrast_views_are_crops_without_some_edges() -> None:
    config = only("contrast", edge_drop=0.5)
    encoder, batch = Spy(), micro_batch(draws(config), config)
    found = objective_losses(encoder, networks(config)[1], batch, config, K, report=True)
    assert [seen.type_BL.shape for seen, _ in encoder.seen] == [(4, 50), (4, 50)]
    assert found["contrast/partner_found"][1] == 4
    removed = [len(pairs) for pairs in batch.view_removed_M3]
    assert max(removed) > 0


def test_equal_vectors_of_a_contrast_cost_the_logarithm() -> None:
    config = only("contrast")
    encoder, heads = networks(config, silent=True)
    last = heads.of["contrast"][2]  # type: ignore[index]
    nn.init.ones_(last.bias)
    loss, count = objective_losses(encoder, heads, micro_batch(draws(config), config), config, K)["contrast"]
    assert (loss.item() / count, count) == (pytest.approx(math.log(4)), 4)


def test_stored_vectors_are_refused_where_they_know_the_answer() -> None:
    config = only("distance", "residue")
    batch = micro_batch(draws(config), config)
    told = replace(batch, crops=replace(batch.crops, lm_BLC=torch.zeros(4, 100, 5)))
    with pytest.raises(ValueError, match="give away the answers of residue"):
        objective_losses(*networks(config), told, config, K)
    config = only("distance")
    objective_losses(*networks(config), told, config, K)


def test_moving_between_devices_keeps_everything() -> None:
    batch = micro_batch(draws(ALL), ALL)
    moved = batch.to("meta")
    assert {moved.crops.type_BL.device.type, moved.paths_NS.device.type, moved.views[1].real_BL.device.type} == {"meta"}
    for field in fields(batch):
        assert type(getattr(moved, field.name)) is type(getattr(batch, field.name))
