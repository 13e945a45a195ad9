"""A denoiser without a network: the best linear smoothing along the chain.  A learnt score must beat it.

Shape key:  L residues   F bands of frequency   3 x, y, z in Å
"""

from dataclasses import dataclass

import numpy as np

from protray.data.structure.structures import Structures

BANDS = 32  # from the whole chain as half a wave to a wave of two residues; 64 and 128 change nothing visible


@dataclass(frozen=True)
class WienerFilter:
    """All it knows of proteins is how strongly chains wind at each frequency along them."""

    power_F: np.ndarray
    """Mean square of a coefficient of x, y or z, in Å^2."""

    @classmethod
    def fit(cls, chains: Structures) -> "WienerFilter":
        """Average over `chains`; a band that none of them reaches repeats the one before."""
        sum_F, count_F = np.zeros(BANDS), np.zeros(BANDS)
        for m in range(len(chains)):
            ca_L3 = chains.chain(m).ca_L3.astype(np.float64)
            waves_L3 = cosines(len(ca_L3)) @ ca_L3
            sum_F += np.bincount(bands(len(ca_L3)), np.square(waves_L3[1:]).mean(axis=1), minlength=BANDS)
            count_F += np.bincount(bands(len(ca_L3)), minlength=BANDS)
        seen = np.flatnonzero(count_F)
        nearest_F = seen[np.maximum(np.searchsorted(seen, np.arange(BANDS), side="right") - 1, 0)]
        return cls((sum_F / np.maximum(count_F, 1))[nearest_F])

    def denoise(self, noisy_L3: np.ndarray, sigma: float) -> np.ndarray:
        r"""Take every wave down to the share of it that is not noise; the centroid stays.

        .. math:: \hat y_q = \frac{S_q}{S_q + \sigma^2} \tilde y_q

        with y the cosine transform (DCT-II) along the chain and S its mean square in proteins: the linear estimate of
        least squared error [Wiener1949]_, but for correlations between waves.

        References
        ----------
        .. [Wiener1949] Wiener. Extrapolation, interpolation, and smoothing of stationary time series. MIT Press.
        """
        cosines_LL = cosines(len(noisy_L3))
        power_L = np.concatenate([[np.inf], self.power_F[bands(len(noisy_L3))]])
        return cosines_LL.T @ ((cosines_LL @ noisy_L3) / (1 + sigma**2 / power_L)[:, None])


def cosines(length: int) -> np.ndarray:
    """The orthogonal matrix of the cosine transform; row q has q half waves, row 0 is constant; shape (L, L)."""
    places_L = np.arange(length)
    cosines_LL = np.cos(np.pi / length * places_L[:, None] * (places_L + 0.5))
    return cosines_LL / np.linalg.norm(cosines_LL, axis=1, keepdims=True)


def bands(length: int) -> np.ndarray:
    """Band of each wave but the constant one, shape (L - 1,)."""
    return np.arange(1, length) * BANDS // length
