"""Percentile bootstrap intervals."""

import numpy as np
import pytest
from scipy import stats

from protray.evaluation import bootstrap
from protray.evaluation.bootstrap import (
    cluster_draws,
    cluster_interval,
    correlation_interval,
    interval,
    interval_of,
    paired_interval,
)

pytestmark = pytest.mark.usefixtures("few_clusters")


def test_fewer_than_two_proteins_give_no_interval() -> None:
    assert np.isnan(interval(np.array([]))).all()
    assert np.isnan(interval(np.array([0.7]))).all()


@pytest.mark.parametrize("count", [9, 10])
def test_fewer_than_ten_have_no_interval(monkeypatch, count) -> None:
    """Of proteins, of clusters of any number of proteins, and of correlations."""
    monkeypatch.undo()
    values_B, clusters_B = np.random.default_rng(0).random(4 * count), [str(b % count) for b in range(4 * count)]
    found = [
        interval(values_B[:count]), cluster_interval(values_B, clusters_B),
        correlation_interval(values_B, values_B**2, clusters_B), interval_of(cluster_draws(count) @ np.arange(count)),
    ]  # fmt: skip
    for low, high in found:
        assert low < high if count == 10 else low in (None, pytest.approx(np.nan, nan_ok=True))


def test_two_proteins_by_hand() -> None:
    """Means of 0 and 1 drawn twice: 0, 1/2, 1 with shares 1/4, 1/2, 1/4, so 2.5 % and 97.5 % lie at 0 and 1."""
    assert interval(np.array([0.0, 1.0])) == (0, 1)
    assert interval(np.array([0.0, 1.0]), level=0.4) == (0.5, 0.5)  # 30 % and 70 %


def test_equal_values_have_no_spread() -> None:
    assert interval(np.full(5, 0.25)) == (0.25, 0.25)


def test_agrees_with_scipy_and_with_the_normal_interval() -> None:
    values_B = np.random.default_rng(0).beta(8, 3, size=400)
    low, high = interval(values_B, draws=10_000)
    other = stats.bootstrap((values_B,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
    half = 1.96 * values_B.std() / 20
    assert (low, high) == pytest.approx((other.low, other.high), abs=0.03 * half * 2)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)


def test_same_seed_same_interval_however_it_is_chunked(monkeypatch) -> None:
    values_B = np.random.default_rng(0).random(30)
    whole = interval(values_B, seed=3)
    assert interval(values_B, seed=4) != whole
    monkeypatch.setattr(bootstrap, "_CHUNK", 100)
    assert interval(values_B, seed=3) == whole


def test_pairing_removes_what_both_methods_share() -> None:
    """b is a minus 0.01 for every protein: the difference is certain although the proteins differ widely."""
    a_B = np.random.default_rng(0).random(50)
    assert paired_interval(a_B, a_B - 0.01) == pytest.approx((0.01, 0.01))
    low, high = interval(a_B)
    assert high - low > 0.1


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="same proteins twice, got 3 and 2"):
        paired_interval(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match=r"level .* \(0, 1\), got 95"):
        interval(np.zeros(3), level=95)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        interval(np.zeros(3), draws=0)


def test_weights_are_drawn_with_their_values() -> None:
    """Two proteins of 1 and 3 residues: draws give 0 (twice the first), 1 (twice the second) or 3/4."""
    values_B, weights_B = np.array([0.0, 1.0]), np.array([1, 3])
    assert interval(values_B, weights_B=weights_B) == (0.0, 1.0)
    assert interval(values_B, weights_B=weights_B, level=0.4) == (0.75, 0.75)
    assert interval(values_B, weights_B=np.array([2, 2])) == interval(values_B)


def test_two_clusters_by_hand() -> None:
    """Clusters (0, 0, 0) and (1) drawn twice: means 0, 1/4, 1 with shares 1/4, 1/2, 1/4."""
    values_B, clusters_B = np.array([0.0, 1.0, 0.0, 0.0]), ["a", "b", "a", "a"]
    assert cluster_interval(values_B, clusters_B) == (0, 1)
    assert cluster_interval(values_B, clusters_B, level=0.4) == (0.25, 0.25)
    assert np.isnan(cluster_interval(values_B, ["a"] * 4)).all()


def test_relatives_widen_the_interval() -> None:
    """25 clusters of 4 equal proteins say as much as 25 proteins; alone, each protein is a cluster."""
    one_C = np.random.default_rng(0).normal(size=25)
    values_B, names = np.repeat(one_C, 4), np.repeat([f"c{n:02d}" for n in range(25)], 4)
    assert cluster_interval(values_B, names.tolist()) == pytest.approx(interval(one_C))
    assert cluster_interval(one_C, [f"c{n:02d}" for n in range(25)]) == interval(one_C)
