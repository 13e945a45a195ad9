"""GDT and TM-score: by hand, by their invariances, against biotite, and against a search of many more starts."""

import numpy as np
import pytest
from biotite import structure

from protray.struct.compare import superposition
from protray.struct.compare.superposition import CUTOFFS, superposition_scores, tm_scale


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A proper rotation."""
    q_33, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return q_33 * np.sign(np.linalg.det(q_33))


def walk(rng: np.random.Generator, length: int) -> np.ndarray:
    """Steps of 3.8 Å that keep together."""
    steps_L3 = rng.standard_normal((length, 3))
    steps_L3 *= 3.8 / np.linalg.norm(steps_L3, axis=1, keepdims=True)
    ca_L3 = np.zeros((length, 3))
    for i in range(1, length):
        ca_L3[i] = 0.95 * ca_L3[i - 1] + steps_L3[i]
    return ca_L3


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_scale_by_hand() -> None:
    """1.24 x 64^(1/3) - 1.8 = 3.16 Å at 79 residues; 1.24 x 2 - 1.8 = 0.68 at 23; then the least, 0.5."""
    assert [tm_scale(length) for length in (79, 23, 15, 4)] == pytest.approx([3.16, 0.68, 0.5, 0.5])


def test_itself_moved_is_perfect(rng) -> None:
    native_M3 = walk(rng, 70)
    found = superposition_scores(native_M3 @ rotation(rng) + [100, -20, 3], native_M3, 70)
    assert (found.tm, found.gdt_ts, found.gdt_ha) == pytest.approx((1, 1, 1))
    np.testing.assert_allclose(found.within_J, 1)


def test_one_wrong_residue_by_hand(rng) -> None:
    """Of 100 residues 99 fit exactly and one is 3 Å off: TM (99 + 1 / (1 + (3 / 3.652)^2)) / 100, within 4 and 8 Å."""
    native_M3 = walk(rng, 100)
    model_M3 = native_M3.copy()
    model_M3[50, 0] += 3
    found = superposition_scores(model_M3, native_M3, 100)
    assert found.within_J.tolist() == [0.99, 0.99, 0.99, 1, 1]
    assert found.gdt_ts == pytest.approx((0.99 + 0.99 + 1 + 1) / 4)
    assert found.gdt_ha == pytest.approx((0.99 + 0.99 + 0.99 + 1) / 4)
    assert found.tm == pytest.approx((99 + 1 / (1 + (3 / 3.6521) ** 2)) / 100, abs=1e-3)


def test_missing_residues_count_as_wrong(rng) -> None:
    native_M3 = walk(rng, 80)
    found = superposition_scores(native_M3[20:], native_M3[20:], 80)
    assert (found.tm, found.gdt_ts, found.gdt_ha) == pytest.approx((0.75, 0.75, 0.75))


def test_of_two_domains_the_larger_is_found(rng) -> None:
    """60 and 40 residues, each exact, put together wrongly, 100 Å apart: one best superposition of all fits neither."""
    native_M3 = walk(rng, 100)
    model_M3 = native_M3.copy()
    model_M3[60:] = (native_M3[60:] - native_M3[60]) @ rotation(rng) + [100, 0, 0]
    found = superposition_scores(model_M3, native_M3, 100)
    assert found.within_J[:3].tolist() == [0.6, 0.6, 0.6]
    assert found.tm == pytest.approx(0.6, abs=0.01)


def test_a_mirror_image_is_wrong(rng) -> None:
    """Its distances are all right, which is what a search that lets reflections through would call perfect."""
    native_M3 = walk(rng, 80)
    found = superposition_scores(native_M3 * [1, 1, -1], native_M3, 80)
    assert found.tm < 0.6 and found.gdt_ha < 0.4


@pytest.mark.parametrize("noise", [0.3, 2.0, 6.0])
def test_no_motion_of_either_changes_a_score(noise, rng) -> None:
    native_M3 = walk(rng, 60)
    model_M3 = native_M3 + rng.normal(0, noise, native_M3.shape)
    moved_M3 = model_M3 @ rotation(rng) + 30 * rng.standard_normal(3)
    one, two = (superposition_scores(ca_M3, native_M3, 60) for ca_M3 in (model_M3, moved_M3))
    assert (two.tm, two.gdt_ts, two.gdt_ha) == pytest.approx((one.tm, one.gdt_ts, one.gdt_ha), abs=1e-9)


@pytest.mark.parametrize("noise", [0.3, 2.0, 6.0])
def test_the_motion_gives_the_tm_score_and_biotite_agrees(noise, rng) -> None:
    native_M3 = walk(rng, 60) + 50
    model_M3 = (native_M3 + rng.normal(0, noise, native_M3.shape)) @ rotation(rng)
    found = superposition_scores(model_M3, native_M3, 66)
    arrays = []
    for ca_M3 in (native_M3, model_M3 @ found.rotation_33 + found.shift_3):
        array = structure.AtomArray(60)
        array.coord, array.res_id = ca_M3.astype(np.float32), np.arange(60)
        array.atom_name, array.element, array.res_name = np.full(60, "CA"), np.full(60, "C"), np.full(60, "ALA")
        arrays.append(array)
    places = np.arange(60)
    assert found.tm == pytest.approx(structure.tm_score(*arrays, places, places, 66), abs=1e-4)
    assert np.linalg.det(found.rotation_33) == pytest.approx(1)


@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_a_longer_search_finds_little_more(noise, rng, monkeypatch) -> None:
    native_M3 = walk(rng, 50)
    model_M3 = native_M3 + rng.normal(0, noise, native_M3.shape)
    model_M3[25:] = model_M3[25:] @ rotation(rng)
    found = superposition_scores(model_M3, native_M3, 50)
    monkeypatch.setattr(superposition, "KEPT", 10_000)
    monkeypatch.setattr(superposition, "KEPT_TM", 10_000)
    more = superposition_scores(model_M3, native_M3, 50)
    assert 0 <= more.tm - found.tm < 0.002
    assert 0 <= more.gdt_ts - found.gdt_ts <= 0.01


def test_scores_fall_with_noise(rng) -> None:
    native_M3 = walk(rng, 80)
    noise_M3 = rng.standard_normal(native_M3.shape)
    found = [superposition_scores(native_M3 + noise * noise_M3, native_M3, 80) for noise in (0.2, 1, 2, 4, 8)]
    for name in ("tm", "gdt_ts", "gdt_ha"):
        scores = [getattr(one, name) for one in found]
        assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1] + 0.5


@pytest.mark.parametrize("residues", [1, 2, 3, 4, 5])
def test_few_residues(residues, rng) -> None:
    """Fewer than a fragment's four; three points that fit are a perfect model."""
    native_M3 = walk(rng, residues)
    found = superposition_scores(native_M3 @ rotation(rng), native_M3, residues)
    assert (found.tm, found.gdt_ts) == pytest.approx((1, 1))
    assert len(found.within_J) == len(CUTOFFS)


def test_what_does_not_fit_is_refused() -> None:
    ca_M3 = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"both be of shape \(M, 3\)"):
        superposition_scores(ca_M3, ca_M3[:3], 4)
    with pytest.raises(ValueError, match="not finite"):
        superposition_scores(np.full((4, 3), np.nan), ca_M3, 4)
    with pytest.raises(ValueError, match="3 residues cannot have 4 matched ones"):
        superposition_scores(ca_M3, ca_M3, 3)
