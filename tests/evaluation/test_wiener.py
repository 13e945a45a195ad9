"""The Wiener filter along the chain."""

import numpy as np
import pytest
from scipy.fft import dct

from protray.data.structure.structures import Structures
from protray.evaluation.wiener import BANDS, WienerFilter, bands, cosines


def structures(*chains: np.ndarray) -> Structures:
    """Chains of alanine without breaks."""
    lengths = [len(ca_L3) for ca_L3 in chains]
    return Structures(
        ids=[f"chain{m}" for m in range(len(chains))],
        codes_R=np.zeros(sum(lengths), dtype=np.uint8),
        index_R=np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        ca_R3=np.concatenate(chains).astype(np.float32),
        starts=np.cumsum([0, *lengths]),
    )


@pytest.mark.parametrize("length", [1, 2, 7, 64])
def test_cosine_transform_agrees_with_scipy(length) -> None:
    x_L3 = np.random.default_rng(0).standard_normal((length, 3))
    assert cosines(length) @ x_L3 == pytest.approx(dct(x_L3, axis=0, norm="ortho"))


def test_two_residues_by_hand() -> None:
    """x = -3 and 3 on an axis: one wave, y = -(3 + 3) / sqrt 2, so S = 18 / 3 = 6 Å^2 over x, y and z.

    At sigma^2 = 2 the share 6 / 8 of the difference is kept, and the centre stays.
    """
    ends_L3 = np.array([[-3.0, 0, 0], [3, 0, 0]])
    wiener = WienerFilter.fit(structures(ends_L3))
    assert wiener.power_F[BANDS // 2] == pytest.approx(6)
    noisy_L3 = np.array([[10.0, 1, 1], [18, 1, 1]])
    assert wiener.denoise(noisy_L3, np.sqrt(2)) == pytest.approx(np.array([[11.0, 1, 1], [17, 1, 1]]))


def test_bands_cover_all_frequencies_and_missing_ones_repeat_their_neighbour() -> None:
    assert bands(4).tolist() == [8, 16, 24]
    assert bands(1000)[[0, -1]].tolist() == [0, BANDS - 1]
    wiener = WienerFilter.fit(structures(np.random.default_rng(0).standard_normal((4, 3))))
    assert len(np.unique(wiener.power_F)) == 3
    assert (np.diff(np.flatnonzero(np.diff(wiener.power_F))) == 8).all()


def test_no_noise_changes_nothing_and_much_noise_leaves_the_centre() -> None:
    rng = np.random.default_rng(1)
    ca_L3 = rng.standard_normal((40, 3)).cumsum(axis=0)
    wiener = WienerFilter.fit(structures(ca_L3))
    assert wiener.denoise(ca_L3, 1e-6) == pytest.approx(ca_L3, abs=1e-6)
    assert wiener.denoise(ca_L3, 1e6) == pytest.approx(np.tile(ca_L3.mean(axis=0), (40, 1)), abs=1e-6)


def test_it_lowers_the_error_as_predicted_on_chains_of_its_kind() -> None:
    """Random walks with noise: the mean squared error per coordinate is the mean of S sigma^2 / (S + sigma^2)."""
    rng = np.random.default_rng(2)
    walks = rng.standard_normal((400, 64, 3)).cumsum(axis=1)
    walks -= walks.mean(axis=1, keepdims=True)
    wiener = WienerFilter.fit(structures(*walks[:200]))
    noisy = walks[200:] + 2 * rng.standard_normal(walks[200:].shape)
    noisy -= noisy.mean(axis=1, keepdims=True)
    found = np.mean([np.square(wiener.denoise(a, 2.0) - b).mean() for a, b in zip(noisy, walks[200:], strict=True)])
    power_L = wiener.power_F[bands(64)]
    assert found == pytest.approx((4 * power_L / (power_L + 4)).sum() / 64, rel=0.05)
    assert found < 0.5 * 4
