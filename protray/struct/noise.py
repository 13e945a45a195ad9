"""Noise levels of the score network: their spacing, and which structure gets which.

Shape key:  B structures   K noise levels
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Standard deviations sigma_1 > ... > sigma_K of the noise, in Å; the paper's ends and number."""

    first: float = 10.0
    """sigma_1: destroys the fold of a short crop."""
    last: float = 0.01
    """sigma_K: below the precision of any structure."""
    levels: int = 32
    """K."""
    spacing: Literal["geometric", "linear", "log-uniform"] = "geometric"
    """log-uniform draws any sigma between the ends in training; the network is told the nearest geometric level."""

    def __post_init__(self) -> None:
        if not 0 < self.last < self.first:
            raise ValueError(f"noise levels fall from first to last > 0, got first {self.first}, last {self.last}")
        if self.levels < 2:
            raise ValueError(f"levels must be at least 2, got {self.levels}")

    def sigmas(self) -> np.ndarray:
        """sigma_1 ... sigma_K, shape (K,), in Å.

        Geometric by default: the ratio of neighbours is 1.25 for the paper's K = 32, where even steps would end with
        one of 33 (0.33 to 0.01).

        >>> NoiseConfig(first=8, last=1, levels=4).sigmas().round(6).tolist()
        [8.0, 4.0, 2.0, 1.0]
        """
        if self.spacing == "linear":
            return np.linspace(self.first, self.last, self.levels)
        return np.geomspace(self.first, self.last, self.levels)

    def nearest(self, sigma: float) -> int:
        """The level, counted from 0, whose sigma is the nearest to `sigma` Å by ratio."""
        if not sigma > 0:
            raise ValueError(f"noise must be above 0 Å, got {sigma}")
        return int(np.abs(np.log(self.sigmas() / sigma)).argmin())


def draw_levels(
    config: NoiseConfig, count: int, groups: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a level for each of `count` structures, spread as evenly as they go.

    Levels are handed out in turn from a random start, then dealt to `groups` like cards, so that every micro-batch
    sees all depths of noise: what its batch norm averages over.

    Returns
    -------
    level_B : ndarray, dtype=int64, shape=(count,)
        0-based; ordered by group, random within a group.
    sigma_B : ndarray, dtype=float64, shape=(count,)
        In Å.
    """
    place_B = np.sort((rng.random() + np.arange(count)) / count)  # count points spread evenly over [0, 1)
    dealt_B = np.concatenate([rng.permutation(place_B[group::groups]) for group in range(groups)])
    if config.spacing == "log-uniform":
        sigma_B = config.first * (config.last / config.first) ** dealt_B
        return np.rint(dealt_B * (config.levels - 1)).astype(np.int64), sigma_B
    level_B = (dealt_B * config.levels).astype(np.int64)
    return level_B, config.sigmas()[level_B]
