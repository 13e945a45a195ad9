"""The losses of a step: by hand where heads say nothing, without leaks, and the same for any micro-batch and worker."""

import math
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import leave
from ssdm_here import SmallEncoder, atom_chain
from torch import Tensor, nn

from protray.models.joint.objective_heads import ObjectiveHeads
from protray.models.structure.neighbours import Neighbours
from protray.models.structure.structure_batch import MASKED, StructureBatch
from protray.training.structure.ssdm_batches import MicroBatch, hidden, micro_batch
from protray.training.structure.ssdm_config import OBJECTIVES, Objective, ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_draws import Draw, Visit, draw
from protray.training.structure.ssdm_objectives import (
    Losses,
    added,
    contrast_pulls,
    objective_losses,
    step_loss,
)
from protray.training.world import World

K = 12  # neighbours
LENGTHS = (90, 75, 160, 88)


def draws(config: ObjectiveConfig, lengths: tuple[int, ...] = LENGTHS, epoch: int = 0, **fit: Any) -> list[Draw]:
    settings = SsdmFitConfig(**fit)
    return [
        draw(atom_chain(length, seed=row, id=f"chain {row}"), Visit(row, epoch, row % 5), settings, config, K)
        for row, length in enumerate(lengths)
    ]


def only(*objectives: Objective, **settings: Any) -> ObjectiveConfig:
    return ObjectiveConfig(objective=objectives, **settings)


def networks(config: ObjectiveConfig, silent: bool = False) -> tuple[SmallEncoder, ObjectiveHeads]:
    """The same weights in every call; `silent` heads answer 0."""
    torch.manual_seed(0)
    encoder = SmallEncoder()
    heads = ObjectiveHeads(16, config.terms(), config.angle_bins, config.dihedral_bins)
    for parameter in heads.parameters() if silent else ():
        nn.init.zeros_(parameter)
    return encoder, heads


def double(batch: MicroBatch) -> MicroBatch:
    """Coordinates and noise in float64."""

    def of(structures: StructureBatch) -> StructureBatch:
        return replace(structures, atoms_BLA3=structures.atoms_BLA3.double())

    shift = None if batch.shift_BLA3 is None else batch.shift_BLA3.double()
    return replace(
        batch, crops=of(batch.crops), views=tuple(map(of, batch.views)), noise_VBLA3=batch.noise_VBLA3.double(),
        shift_BLA3=shift,
    )  # fmt: skip


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


def test_hidden_residues_leak_neither_type_nor_side_chain() -> None:
    """Two chains that differ in the types and side chains of hidden residues alone look the same."""
    config = only("residue")
    part = draws(config, (90,), side_chain_drop=0.0, backbone_drop=0.0)[0]
    other = atom_chain(90, seed=77)
    mask_L = part.masked_L
    crop = part.crop
    swapped = replace(
        crop,
        codes_L=np.where(mask_L, other.codes_L, crop.codes_L),
        present_LA=np.concatenate(
            [crop.present_LA[:, :4], np.where(mask_L[:, None], other.present_LA, crop.present_LA)[:, 4:]], axis=1
        ),
        atoms_LA3=np.concatenate(
            [crop.atoms_LA3[:, :4], np.where(mask_L[:, None, None], other.atoms_LA3, crop.atoms_LA3)[:, 4:]], axis=1
        ),
    )
    one, two = (micro_batch([replace(part, crop=of)], config) for of in (crop, swapped))
    assert not torch.equal(one.crops.type_BL, two.crops.type_BL)
    seen, seen_too = hidden(one.crops, one.masked_N), hidden(two.crops, two.masked_N)
    for name in ("type_BL", "atoms_BLA3", "present_BLA"):
        assert torch.equal(getattr(seen, name), getattr(seen_too, name))
    assert (seen.type_BL == MASKED).sum() == 13
    assert seen.present_BLA[0, ~torch.from_numpy(mask_L), 4:].any()


class Spy(SmallEncoder):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[StructureBatch, Neighbours]] = []

    def forward(self, batch: StructureBatch, neighbours: Neighbours | None) -> Tensor:
        assert neighbours is not None
        self.seen.append((batch, neighbours))
        return super().forward(batch, neighbours)


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


def gradients(
    config: ObjectiveConfig,
    sizes: list[int],
    world: World = World(),  # noqa: B008
    pull: bool = True,
) -> tuple[dict[str, float], list[Tensor]]:
    """Sums over a step of four proteins cut into micro-batches, and its gradient; in float64, of this worker alone."""
    parts = draws(config)[world.rank :: world.size]
    encoder, heads = (net.double() for net in networks(config))
    starts = np.cumsum([0, *sizes])
    batches = [double(micro_batch(parts[a:b], config)) for a, b in zip(starts, starts[1:], strict=False)]
    totals: dict[str, float] = {}
    for batch in batches:
        totals = {term: totals.get(term, 0) + count for term, count in batch.counts.items()}
    totals = dict(zip(totals, world.sum(list(totals.values())), strict=True))
    weights = [*encoder.parameters(), *heads.parameters()]
    sums = [torch.zeros_like(weight) for weight in weights]
    found: Losses = {}
    ready = contrast_pulls(encoder, heads, batches, config, K, world) if pull else [None] * len(batches)
    for batch, own in zip(batches, ready, strict=True):
        losses = objective_losses(encoder, heads, batch, config, K, world, own)
        found = added(found, {term: (loss.detach(), count) for term, (loss, count) in losses.items()})
        for total, part in zip(sums, torch.autograd.grad(step_loss(losses, totals, config), weights), strict=True):
            total += part
    world.add(sums)
    values = world.sum([loss.item() for loss, _ in found.values()])
    return {term: value / totals[term] for term, value in zip(found, values, strict=True)}, sums


ALL = only(*OBJECTIVES)


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [2, 2], [3, 1]])
def test_any_micro_batches_give_the_step_of_one(sizes) -> None:
    """Every objective, the contrast included, with other padding and in two passes."""
    losses, whole = gradients(ALL, [4])
    cut_losses, cut = gradients(ALL, sizes)
    assert cut_losses == pytest.approx(losses, rel=1e-6)
    for one, other in zip(whole, cut, strict=True):
        assert one.abs().max() > 0  # every weight of every head has a gradient
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-8)


def test_the_contrast_in_two_passes_is_exact() -> None:
    losses, whole = gradients(only("contrast"), [4])
    cut_losses, cut = gradients(only("contrast"), [1, 2, 1])
    assert cut_losses == pytest.approx(losses, rel=1e-12)
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)
    _, wrong = gradients(only("contrast"), [2, 2], pull=False)  # each micro-batch by itself: another loss
    assert not torch.allclose(wrong[-1], whole[-1], rtol=1e-2)


def run_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    world = World(rank, 2)
    store = f"file://{folder / 'meeting-point'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    for name, config in (("contrast", only("contrast")), ("all", ALL)):
        for sizes in ([2], [1, 1]):
            losses, found = gradients(config, sizes, world)
            if rank == 0:
                torch.save({"losses": losses, "gradients": found}, folder / f"{name} {len(sizes)}.pt")
    leave()


def test_two_workers_give_the_gradient_of_one(tmp_path) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.multiprocessing.spawn(run_rank, args=(tmp_path,), nprocs=2)
    for name, config, tolerance in (("contrast", only("contrast"), 1e-10), ("all", ALL, 1e-6)):
        losses, whole = gradients(config, [4])
        for batches in (1, 2):
            together = torch.load(tmp_path / f"{name} {batches}.pt", weights_only=True)
            assert together["losses"] == pytest.approx(losses, rel=tolerance)
            for one, other in zip(whole, together["gradients"], strict=True):
                torch.testing.assert_close(other, one, rtol=100 * tolerance, atol=tolerance)


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
