"""Which crops train together: the same for any number of workers, from any step on."""

from itertools import islice

import numpy as np
import pytest

from protray.data.structure.structures import Structures
from protray.struct.noise import NoiseConfig
from protray.training.structure.score_steps import (
    CALIBRATION,
    Crops,
    ScoreFitConfig,
    calibration_batches,
    places,
    steps,
    trainable,
    validation_batches,
)

NOISE = NoiseConfig()
LENGTHS = [40, 33, 12, 60, 16, 50, 9, 45, 30, 7, 70, 41, 20, 80]  # the one of 7 is too short to train on


def walks(lengths: list[int]) -> Structures:
    """Chains whose residue i of chain m lies at x = 100 m, y = i: what a crop holds can be read from it."""
    starts = np.cumsum([0, *lengths])
    ca_R3 = np.concatenate([[(100 * m, i, 0) for i in range(n)] for m, n in enumerate(lengths)]).astype(np.float32)
    index_R = np.concatenate([np.arange(n, dtype=np.int32) for n in lengths])
    codes_R = (ca_R3[:, 1] % 20).astype(np.uint8)
    return Structures([f"c{m}" for m in range(len(lengths))], codes_R, index_R, ca_R3, starts)


CHAINS = walks(LENGTHS)


def config(**settings: object) -> ScoreFitConfig:
    return ScoreFitConfig(**{"batch": 8, "micro_batch": 2, "crop": 32, "split": 0.0} | settings)  # type: ignore[arg-type]


def same(a: Crops, b: Crops) -> bool:
    fields = ("codes_BL", "index_BL", "ca_BL3", "noise_BL3", "level_B", "sigma_B")
    return a.ids == b.ids and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in fields)


@pytest.mark.parametrize("world", [2, 4])
def test_workers_share_the_batches_of_one(world) -> None:
    alone = islice(steps(CHAINS, config(), NOISE), 6)
    ranks = [islice(steps(CHAINS, config(), NOISE, rank=rank, world=world), 6) for rank in range(world)]
    for whole, *shares in zip(alone, *ranks, strict=True):
        assert {share.residues for share in shares} == {whole.residues}
        assert whole.residues == sum(crops.codes_BL.size for crops in whole.batches)
        assert {len(share.batches) for share in shares} == {4 // world}
        for number, crops in enumerate(whole.batches):
            assert same(crops, shares[number % world].batches[number // world])


def test_a_run_goes_on_anywhere() -> None:
    """13 chains in steps of 8: step 5 lies within the fourth epoch."""
    whole = list(islice(steps(CHAINS, config(), NOISE), 9))
    for start in (1, 5):
        for one, other in zip(
            whole[start:], islice(steps(CHAINS, config(), NOISE, step=start), 9 - start), strict=True
        ):
            assert all(same(a, b) for a, b in zip(one.batches, other.batches, strict=True))


def test_every_chain_is_seen_once_an_epoch_each_time_elsewhere() -> None:
    """13 steps of 8 are 8 epochs of 13 chains."""
    starts: dict[str, set[int]] = {}
    seen: list[str] = []
    for share in islice(steps(CHAINS, config(), NOISE), 13):
        for crops in share.batches:
            seen += crops.ids
            for id, index_L in zip(crops.ids, crops.index_BL, strict=True):
                starts.setdefault(id, set()).add(int(index_L[0]))
    assert sorted(seen) == sorted(8 * [f"c{m}" for m, length in enumerate(LENGTHS) if length >= 8])
    assert len(starts["c13"]) > 3  # of 49 places in a chain of 80


def test_crops_are_neighbouring_residues_of_their_chain() -> None:
    for share in islice(steps(CHAINS, config(), NOISE), 5):
        for crops in share.batches:
            count, length = crops.codes_BL.shape
            assert count == 2 and length == min(32, *(LENGTHS[int(id[1:])] for id in crops.ids))
            for b, id in enumerate(crops.ids):
                start = crops.index_BL[b, 0]
                assert np.array_equal(crops.index_BL[b], np.arange(start, start + length))
                assert np.array_equal(crops.ca_BL3[b, :, 1], crops.index_BL[b])
                assert (crops.ca_BL3[b, :, 0] == 100 * int(id[1:])).all()
                assert np.array_equal(crops.codes_BL[b], crops.index_BL[b] % 20)


def test_split_crops_are_two_pieces_of_half_the_length() -> None:
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(2000):
        found_L = places(50, 9, 1.0, rng)
        assert (np.diff(found_L) > 0).all() and found_L[0] >= 0 and found_L[-1] < 50
        steps_L = np.diff(found_L)
        assert (np.delete(steps_L, 3) == 1).all()  # four residues, then five
        gaps.append(steps_L[3] - 1)
    assert min(gaps) == 0 and max(gaps) > 35
    assert np.mean(gaps) == pytest.approx(42 / 3, rel=0.1)  # of two points among 42, a third of the range lies between


def test_half_of_the_crops_are_split_and_a_chain_as_long_as_the_crop_never() -> None:
    rng = np.random.default_rng(0)
    split = [np.diff(places(500, 32, 0.5, rng)).max() > 1 for _ in range(1000)]
    assert np.mean(split) == pytest.approx(0.5, abs=0.05)
    assert (places(32, 32, 1.0, rng) == np.arange(32)).all()


def test_noise_is_fresh_and_standard() -> None:
    shares = islice(steps(CHAINS, config(), NOISE), 40)
    noise = np.concatenate([crops.noise_BL3.ravel() for share in shares for crops in share.batches])
    assert len(np.unique(noise)) > 0.99 * len(noise)
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03


def test_levels_are_spread_over_each_micro_batch_and_over_all() -> None:
    """8 crops take 32 levels in steps of 4; the two of a micro-batch lie half of them apart."""
    hits = np.zeros(32, dtype=int)
    for share in islice(steps(CHAINS, config(), NOISE), 64):
        level_S = np.concatenate([crops.level_B for crops in share.batches])
        assert set(np.diff(np.sort(level_S))) <= {3, 4, 5}
        assert all(14 <= abs(crops.level_B[0] - crops.level_B[1]) <= 18 for crops in share.batches)
        for crops in share.batches:
            np.testing.assert_allclose(crops.sigma_B, NOISE.sigmas()[crops.level_B], rtol=1e-6)
        hits += np.bincount(level_S, minlength=32)
    assert hits.min() >= 8 and hits.max() <= 24  # 16 on average


def test_only_short_chains_train_on_short_crops() -> None:
    """A step of all chains but the shortest, by length: 9 with 12, 16 with 20, 30 with 33; the others 32."""
    share = next(steps(walks([n for n in LENGTHS if n >= 8] + [64]), config(batch=14), NOISE))
    assert [crops.codes_BL.shape[1] for crops in share.batches] == [9, 16, 30, 32, 32, 32, 32]


def test_nothing_to_train_or_to_validate_on() -> None:
    short = walks([1, 7])
    assert trainable(short.lengths).tolist() == [] and trainable(np.array([7, 8, 9])).tolist() == [1, 2]
    with pytest.raises(ValueError, match="no chain of 2 has at least 8 residues; there is nothing to train on"):
        next(steps(short, config(), NOISE))
    with pytest.raises(ValueError, match="no chain of the 2 to validate on has at least 8 residues"):
        validation_batches(short, config(), NOISE)


def test_validation_is_the_same_for_every_seed_and_sees_every_level() -> None:
    batches = validation_batches(CHAINS, config(validation_levels=8, batch=16), NOISE)
    again = validation_batches(CHAINS, config(validation_levels=8, batch=16, seed=7), NOISE)
    assert all(same(a, b) for a, b in zip(batches, again, strict=True))
    pairs = [(id, int(level)) for crops in batches for id, level in zip(crops.ids, crops.level_B, strict=True)]
    assert len(set(pairs)) == len(pairs) == 13 * 8
    assert {level for _, level in pairs} == set(range(32))
    assert {crops.codes_BL.shape[1] for crops in batches} == {9, 12, 16, 20, 30, 32}
    of_one = sorted(level for id, level in pairs if id == "c0")
    assert np.diff(of_one).tolist() == [4] * 7


def test_calibration_is_training_like_and_fixed() -> None:
    batches = calibration_batches(CHAINS, config(), NOISE)
    assert len(batches) == CALIBRATION
    assert all(same(a, b) for a, b in zip(batches, calibration_batches(CHAINS, config(), NOISE), strict=True))
    first = next(steps(CHAINS, config(), NOISE)).batches[0]
    assert not any(same(first, batch) for batch in batches)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 10, "micro_batch": 4}, "batch must be a multiple of micro_batch, got 10 and 4"),
        ({"crop": 7}, "crop must be at least 8 residues, got 7"),
        ({"ema": 1.0}, r"ema must lie in \[0, 1\)"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
    ],
)
def test_settings_that_cannot_be(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        config(**settings)


def test_steps_and_workers_by_hand() -> None:
    """3 epochs of 13 chains are 39 crops: 5 steps of 8.  4 micro-batches suit 1, 2 and 4 workers."""
    assert config(epochs=3).steps(13) == 5
    assert config(epochs=1).steps(2) == 1
    for workers in (1, 2, 4):
        config().check_workers(workers)
    with pytest.raises(ValueError, match="3 workers cannot share 4 micro-batches of 2 evenly"):
        config().check_workers(3)
