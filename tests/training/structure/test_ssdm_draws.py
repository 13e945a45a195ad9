"""What steps draw: exact numbers, no targets that are unknown, the same for any worker and micro-batch."""

from dataclasses import fields
from itertools import islice, pairwise

import numpy as np
import pytest
from ssdm_here import atom_chain

from protray.data.structure.atoms import AtomChain
from protray.seq.keyed import generator
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_draws import (
    Draw,
    Visit,
    augmented,
    chosen,
    confident,
    cropped,
    draw,
    dropped_edges,
    edges_of,
    floor_of,
    micro_batches,
    nearest,
    paths,
    steps,
    steps_of_paths,
    stratified,
    validation,
)

ALL = ObjectiveConfig(
    objective=("residue", "distance", "angle", "dihedral", "contrast", "denoise", "siamdiff"), levels="siamdiff"
)


def test_masks_have_exactly_their_number_and_no_unknown_residue() -> None:
    """floor(0.15 x 100) = 15; of 20 it is 3, not 2 for want of a last digit."""
    assert [floor_of(0.15, n) for n in (100, 99, 20, 6)] == [15, 14, 3, 0]
    known_L = np.arange(120) >= 20
    for seed in range(20):
        mask_L = chosen(known_L, 0.15, np.random.default_rng(seed))
        assert mask_L.sum() == 15 and not mask_L[:20].any()
    seen_L = sum(chosen(known_L, 0.15, np.random.default_rng(seed)).astype(int) for seed in range(400))
    assert seen_L[20:].min() > 30 and seen_L[20:].max() < 95  # 60 expected, deviation 7


def test_targets_are_known_and_confident() -> None:
    plddt_L = np.full(90, 90, np.uint8)
    plddt_L[30:60] = 49
    plddt_L[60] = 50
    chain = atom_chain(90, unknown=20, plddt=plddt_L)
    assert confident(chain).sum() == 60
    for epoch in range(10):
        found = draw(chain, Visit(0, epoch, 99), SsdmFitConfig(), ALL, 20)
        assert found.masked_L.sum() == 6  # floor(0.15 x 40)
        assert found.hidden_L.sum() == 40  # the last level hides all that are known
        assert not (found.masked_L[:20].any() or found.masked_L[30:60].any())
        assert not np.isin(found.paths_NS, np.arange(30, 60)).any()
        assert np.isin(found.paths_NS, np.arange(20)).any()  # an X has a place all the same
        assert len(found.paths_NS) == 30


def test_crops_reach_both_ends() -> None:
    chain = atom_chain(12)
    starts = {int(cropped(chain, 10, np.random.default_rng(seed)).index_L[0]) for seed in range(50)}
    assert starts == {0, 1, 2}
    part = cropped(chain, 10, np.random.default_rng(0))
    assert (np.diff(part.index_L) == 1).all() and len(part.atoms_LA3) == len(part.present_LA) == 10
    assert len(cropped(chain, 100, np.random.default_rng(0)).codes_L) == 12


def test_augmentation_leaves_atoms_out_with_its_chances() -> None:
    chain = atom_chain(30)
    seen = {"as it is": 0, "backbone": 0, "trace": 0}
    for seed in range(1000):
        part = augmented(chain, 0.5, 0.1, np.random.default_rng(seed))
        kind = (
            "trace" if not part.present_LA[:, 0].any() else "as it is" if part.present_LA[:, 4:].any() else "backbone"
        )
        seen[kind] += 1
        assert part.present_LA[:, 1].all()
        assert not part.atoms_LA3[~part.present_LA].any()
        if kind == "as it is":
            assert (part.present_LA == chain.present_LA).all() and (part.atoms_LA3 == chain.atoms_LA3).all()
        else:
            assert part.present_LA[:, [0, 2, 3]].all() == (kind == "backbone")
        assert part.atoms_LA3.dtype == np.float32
    assert seen["backbone"] == pytest.approx(500, abs=50) and seen["trace"] == pytest.approx(100, abs=30)


def test_paths_go_along_neighbours_and_never_twice() -> None:
    chain = atom_chain(99)
    near = [set(row) for row in nearest(chain.atoms_LA3[:, 1], 12).tolist()]
    everywhere = np.ones(99, bool)
    for seed in range(20):
        found = paths(chain, everywhere, 12, [2, 3, 4], 33, np.random.default_rng(seed)).tolist()
        assert len(found) == 33
        for path in found:
            assert len(set(path)) == 4
            assert path[1] in near[path[0]] or path[0] in near[path[1]]
            assert path[2] in near[path[1]] and path[3] in near[path[2]]
        for size in (2, 3, 4):
            either = {min(tuple(path[:size]), tuple(path[size - 1 :: -1])) for path in found}
            assert len(either) == 33


def test_nearest_by_hand() -> None:
    """Residues at 0, 1, 3 and 7 Å on a line: the two nearest of the last are those at 3 and 1."""
    ca_L3 = np.array([[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [7, 0, 0]])
    assert [set(row) for row in nearest(ca_L3, 2).tolist()] == [{1, 2}, {0, 2}, {0, 1}, {1, 2}]
    assert edges_of(nearest(ca_L3, 1)).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert nearest(ca_L3, 20).shape == (4, 3)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_proteins_too_small_for_paths_have_those_they_can(length) -> None:
    found = paths(atom_chain(length), np.ones(length, bool), 20, [4], 5, np.random.default_rng(0))
    assert found.shape == (0, 4)
    short = paths(atom_chain(length), np.ones(length, bool), 20, [2], 5, np.random.default_rng(0))
    assert len(short) == length * (length - 1) / 2


def test_edges_of_paths_are_removed_both_ways_and_no_others() -> None:
    pairs = steps_of_paths(np.array([[0, 1, 2], [5, 2, 1]])).tolist()
    assert sorted(map(tuple, pairs)) == [(0, 1), (1, 0), (1, 2), (2, 1), (2, 5), (5, 2)]


def test_every_second_view_of_a_contrast_loses_15_percent_of_its_edges() -> None:
    chain = atom_chain(50)
    edges = {tuple(edge) for edge in edges_of(nearest(chain.atoms_LA3[:, 1], 10)).tolist()}
    sizes = []
    for seed in range(200):
        lost = {tuple(pair) for pair in dropped_edges(chain, 10, 0.15, np.random.default_rng(seed)).tolist()}
        sizes.append(len(lost))
        assert {pair[::-1] for pair in lost} == lost
        assert {pair for pair in lost if pair[0] < pair[1]} <= edges
    assert set(sizes) == {0, 2 * floor_of(0.15, len(edges))}
    assert sizes.count(0) == pytest.approx(100, abs=25)


def test_levels_are_spread_over_a_step() -> None:
    """16 crops and 16 levels: each once; 100 levels: one of every 6.25; 5 levels: 3 or 4 of each."""
    assert sorted(stratified(16, 16, generator(0)).tolist()) == list(range(16))
    gaps = [b - a for a, b in pairwise(sorted(stratified(100, 16, generator(1)).tolist()))]
    assert set(gaps) <= {6, 7}
    assert set(np.bincount(stratified(5, 16, generator(2)), minlength=5).tolist()) <= {3, 4}
    assert stratified(16, 16, generator(0)).tolist() != sorted(stratified(16, 16, generator(0)).tolist())


def test_steps_see_every_chain_once_an_epoch_and_start_anywhere() -> None:
    lengths = np.array([7, 30, 90, 120, 75, 8, 200])
    fit = SsdmFitConfig(batch=4, micro_batch=2)
    first = list(islice(steps(lengths, fit, ObjectiveConfig()), 6))
    seen = [(visit.row, visit.epoch) for visits in first for visit in visits]
    assert sorted(seen) == sorted((row, epoch) for row in range(1, 7) for epoch in range(4))
    assert list(islice(steps(lengths, fit, ObjectiveConfig(), step=3), 3)) == first[3:]
    for visits in first:
        cut = [min(lengths[visit.row], 100) for visit in visits]
        assert cut == sorted(cut)
        assert [visit for part in micro_batches(visits, fit) for visit in part] == visits
        assert [len(part) for part in micro_batches(visits, fit)] == [2, 2]


def test_validation_sees_each_chain_once_and_all_levels() -> None:
    """100 chains, 50 of them by hash whatever their order, in batches of 16 and the rest."""
    ids, lengths = [f"chain {n}" for n in range(100)], np.full(100, 40)
    fit, config = SsdmFitConfig(validation_chains=50), ObjectiveConfig()
    found = validation(ids, lengths, fit, config)
    assert [len(part) for part in found] == [16, 16, 16, 2]
    visits = [visit for part in found for visit in part]
    assert len({visit.row for visit in visits}) == 50
    assert [visit.level for visit in visits[:18]] == [*range(16), 0, 1]
    turned = [visit for part in validation(ids[::-1], lengths, fit, config) for visit in part]
    assert [99 - visit.row for visit in turned] == [visit.row for visit in visits]
    lengths[visits[0].row] = 7
    assert visits[0].row not in {visit.row for part in validation(ids, lengths, fit, config) for visit in part}


def test_few_validation_chains_see_the_whole_range_of_noise() -> None:
    """The middles of thirds of 16 levels."""
    (part,) = validation(["a", "b", "c"], np.full(3, 40), SsdmFitConfig(), ObjectiveConfig())
    assert [visit.level for visit in part] == [2, 8, 13]


def test_clusters_are_those_of_the_chain() -> None:
    chains = [atom_chain(30, id=id) for id in ("a", "b")]

    def cluster(chain: AtomChain, name: str | None) -> int:
        return draw(chain, Visit(0, 0, 0), SsdmFitConfig(), ObjectiveConfig(), 20, name).cluster

    assert cluster(chains[0], "x") == cluster(chains[1], "x") != cluster(chains[1], "y")
    assert cluster(chains[0], None) != cluster(chains[1], None)


def test_a_contrast_leaves_short_chains_out() -> None:
    lengths = np.array([69, 70, 300])
    fit = SsdmFitConfig(batch=2, micro_batch=2)
    for visits in islice(steps(lengths, fit, ObjectiveConfig(objective=("contrast",))), 3):
        assert {visit.row for visit in visits} == {1, 2}
    with pytest.raises(ValueError, match="no chain of 1 has at least 70 residues"):
        next(steps(lengths[:1], fit, ObjectiveConfig(objective=("contrast",))))


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, tuple):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return one == other


def test_draws_belong_to_seed_epoch_and_id_alone() -> None:
    def drawn(row: int = 3, epoch: int = 2, id: str = "1abcA", seed: int = 0) -> Draw:
        return draw(atom_chain(150, id=id), Visit(row, epoch, 4), SsdmFitConfig(seed=seed), ALL, 20)

    assert same(drawn(), drawn()) and same(drawn(), drawn(row=8))
    for other in (drawn(epoch=3), drawn(id="1abcB"), drawn(seed=1)):
        assert not same(drawn().noise_VLA3, other.noise_VLA3) and not same(drawn().masked_L, other.masked_L)
    residue = ObjectiveConfig(objective=("residue",))
    alone = draw(atom_chain(150, id="1abcA"), Visit(3, 2, 4), SsdmFitConfig(), residue, 20)
    assert same(alone.masked_L, drawn().masked_L) and same(alone.crop, drawn().crop)  # whatever else is asked for


def test_views_and_noise_are_drawn_apart() -> None:
    found = draw(atom_chain(400), Visit(0, 0, 4), SsdmFitConfig(), ALL, 20)
    assert found.noise_VLA3.shape == (2, 100, 14, 3) and not same(found.noise_VLA3[0], found.noise_VLA3[1])
    assert found.noise_VLA3.std() == pytest.approx(1, abs=0.03)
    assert found.shift_LA3 is not None and not same(found.shift_LA3, found.noise_VLA3[1])
    assert found.views is not None
    first, second = found.views
    assert len(first.crop.codes_L) == len(second.crop.codes_L) == 50
    assert first.crop.index_L[0] != second.crop.index_L[0]


def test_what_is_not_in_use_is_not_drawn() -> None:
    found = draw(atom_chain(400), Visit(0, 0, 4), SsdmFitConfig(), ObjectiveConfig(objective=("residue",)), 20)
    assert found.views is None and found.shift_LA3 is None
    assert found.noise_VLA3.size == 0 and len(found.paths_NS) == 0 and not found.hidden_L.any()
