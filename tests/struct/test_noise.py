"""Noise levels: spacing, and how they are dealt out."""

import numpy as np
import pytest

from protray.struct.noise import NoiseConfig, draw_levels


def test_paper_levels() -> None:
    """32 levels from 10 to 0.01 Å: each is 1000^(1/31) = 1.2496 times the next."""
    sigmas_K = NoiseConfig().sigmas()
    assert len(sigmas_K) == 32
    assert sigmas_K[[0, -1]] == pytest.approx([10.0, 0.01])
    assert sigmas_K[:-1] / sigmas_K[1:] == pytest.approx(np.full(31, 1.24962), abs=1e-4)


def test_linear_levels() -> None:
    assert NoiseConfig(first=3, last=1, levels=3, spacing="linear").sigmas() == pytest.approx([3, 2, 1])


def test_nearest_level_by_ratio() -> None:
    """Levels 10, 1, 0.1, 0.01: 4 is 2.5 times off 10, 3 is 3 times off 1 and 3.3 times off 10."""
    config = NoiseConfig(levels=4)
    assert [config.nearest(sigma) for sigma in (100, 4, 3, 1, 0.2, 0.001)] == [0, 0, 1, 1, 2, 3]
    with pytest.raises(ValueError, match="noise must be above 0 Å, got 0"):
        config.nearest(0)


@pytest.mark.parametrize(
    ("fields", "said"), [({"first": 0.01}, "fall from first to last"), ({"last": 0.0}, "last 0"), ({"levels": 1}, "2")]
)
def test_impossible_levels_are_refused(fields, said) -> None:
    with pytest.raises(ValueError, match=said):
        NoiseConfig(**fields)


def test_every_level_once_in_a_batch_of_as_many() -> None:
    """32 structures and 32 levels: each level once, and each micro-batch of 8 has levels of all depths."""
    level_B, sigma_B = draw_levels(NoiseConfig(), 32, 4, np.random.default_rng(0))
    assert sorted(level_B) == list(range(32))
    assert sigma_B == pytest.approx(NoiseConfig().sigmas()[level_B])
    for group in level_B.reshape(4, 8):
        assert sorted(group // 4) == list(range(8))  # one of levels 0-3, one of 4-7, ..


def test_levels_come_equally_often() -> None:
    rng = np.random.default_rng(1)
    levels = np.concatenate([draw_levels(NoiseConfig(levels=10), 4, 2, rng)[0] for _ in range(5000)])
    assert np.bincount(levels) / len(levels) == pytest.approx(np.full(10, 0.1), abs=0.005)


def test_log_uniform_is_continuous_and_names_the_nearest_level() -> None:
    config = NoiseConfig(spacing="log-uniform")
    level_B, sigma_B = draw_levels(config, 64, 8, np.random.default_rng(2))
    assert len(set(sigma_B)) == 64
    assert sigma_B.max() <= 10 and sigma_B.min() >= 0.01
    nearest_B = np.abs(np.log(sigma_B)[:, None] - np.log(config.sigmas())).argmin(axis=1)
    assert (level_B == nearest_B).all()
