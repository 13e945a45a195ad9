"""Percentile bootstrap over proteins, or over clusters of related ones.

Proteins are the unit that is drawn: residues of one protein are not independent.

Shape key:  B proteins of a set   N values, several of a protein   C clusters of them   D draws
"""

from collections.abc import Sequence

import numpy as np

_CHUNK = 4_000_000  # indices held at once (32 MB), so that 40,000 proteins need no 640 MB

# proteins or clusters that an interval needs: of 95 % it holds, for the mean of normal values, 89 % of the time with
# 10, 83 % with 5 and 49 % with 2
FEWEST = 10
ROUNDING = 1e-9  # of a sum of squares: what is left of it where all values are equal


def interval(
    values_B: np.ndarray,
    *,
    weights_B: np.ndarray | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval of the mean of `values_B`.

    Proteins are drawn with replacement `draws` times; the interval runs between the (1 - level) / 2 and
    (1 + level) / 2 quantiles of the means [Efron1979]_.

    Parameters
    ----------
    values_B : ndarray, shape=(B,)
        One value per protein.
    weights_B : ndarray, shape=(B,), optional
        Of the mean, drawn together with the values: a protein's residues, say.

    Returns
    -------
    low, high : float
        (nan, nan) for fewer than `FEWEST` proteins, where it would be far too narrow.

    Notes
    -----
    It is the interval for other test proteins drawn like these.  It does not contain the spread between training runs
    with other seeds.

    References
    ----------
    .. [Efron1979] Efron. Bootstrap methods: another look at the jackknife. Ann Stat 7:1-26.

    Examples
    --------
    >>> low, high = interval(np.linspace(0.6, 0.9, 10))
    >>> bool(0.6 < low < 0.75 < high < 0.9)
    True
    >>> interval(np.array([0.6, 0.9]))
    (nan, nan)
    """
    if not 0 < level < 1:
        raise ValueError(f"level is a share and must lie in (0, 1), got {level}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    n = len(values_B)
    if n < FEWEST:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // n)
    weights_B = np.ones(n) if weights_B is None else weights_B
    means = []
    for done in range(0, draws, chunk):
        drawn_DB = rng.integers(n, size=(min(chunk, draws - done), n))
        means.append(np.average(values_B[drawn_DB], weights=weights_B[drawn_DB], axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_interval(values_B: np.ndarray, reference_B: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """Bootstrap interval of the mean of `values_B - reference_B`, two methods on the same proteins.

    Both are resampled together, so what makes a protein hard for both cancels: the interval is narrower than the two
    single ones suggest.  A difference is significant at 0.05 where the interval does not contain 0.

    >>> q3_B = np.linspace(0.6, 0.9, 10)
    >>> [round(end, 6) for end in paired_interval(q3_B + 0.01, q3_B)]  # every protein gains the same
    [0.01, 0.01]
    """
    if values_B.shape != reference_B.shape:
        raise ValueError(
            f"a paired interval needs the same proteins twice, got {len(values_B)} and {len(reference_B)} values"
        )
    return interval(values_B - reference_B, seed=seed)


def cluster_interval(values_B: np.ndarray, clusters_B: Sequence[str], *, level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of the mean of `values_B` where whole clusters of related proteins are drawn.

    Relatives are easy or hard together, so single proteins say less than their number suggests.  Where each protein is
    its own cluster, this is `interval`, up to the order of drawing.

    Parameters
    ----------
    clusters_B : sequence of str
        Name of each protein's cluster.

    Examples
    --------
    >>> cluster_interval(np.full(20, 0.5), list("abcdefghij") * 2)
    (0.5, 0.5)
    >>> cluster_interval(np.array([0.5, 0.5, 0.8]), ["a", "a", "b"])
    (nan, nan)
    """
    _, place_B = np.unique(np.asarray(clusters_B), return_inverse=True)
    sizes_C = np.bincount(place_B)
    means_C = np.bincount(place_B, weights=values_B) / sizes_C
    return interval(means_C, weights_B=sizes_C, level=level)


def correlation_interval(
    x_N: np.ndarray,
    y_N: np.ndarray,
    clusters_N: Sequence[str],
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval of Pearson's correlation of pooled values, from `correlation_draws`.

    Returns
    -------
    low, high : float
        (nan, nan) for fewer than `FEWEST` clusters, or where no draw has a correlation; draws without one are left out.

    Examples
    --------
    >>> x_N = np.arange(20.0)
    >>> [round(end, 6) for end in correlation_interval(x_N, 2 * x_N, list("abcdefghij") * 2)]
    [1.0, 1.0]
    """
    found_D = correlation_draws(x_N, y_N, clusters_N, seed=seed)
    found_D = found_D[np.isfinite(found_D)]
    if not len(found_D):
        return float("nan"), float("nan")
    low, high = np.quantile(found_D, [0.025, 0.975])
    return float(low), float(high)


def correlation_draws(
    x_N: np.ndarray, y_N: np.ndarray, clusters_N: Sequence[str], *, draws: int = 2000, seed: int = 0
) -> np.ndarray:
    """Pearson's correlation of pooled values in each draw of whole clusters, shape (D,).

    NaN where all values of one side are equal; empty for fewer than `FEWEST` clusters.

    Each draw adds up the sums of its clusters, so 10^6 values cost as little as 10^3.  For Spearman's correlation give
    the ranks among all values: they are not ranked anew in each draw, which would cost much and change little.  One
    seed draws the same clusters for any values, so differences are paired.
    """
    _, place_N = np.unique(np.asarray(clusters_N), return_inverse=True)
    count = int(place_N.max()) + 1 if len(place_N) else 0
    if count < FEWEST:
        return np.zeros(0)
    x_N, y_N = x_N - x_N.mean(), y_N - y_N.mean()
    moments = (np.ones(len(x_N)), x_N, y_N, x_N * x_N, y_N * y_N, x_N * y_N)
    sums_C6 = np.stack([np.bincount(place_N, weights=moment) for moment in moments], axis=1)
    times_DC = cluster_draws(count, draws, seed)
    n_D, x_D, y_D, xx_D, yy_D, xy_D = (times_DC @ sums_C6).T
    x_spread_D, y_spread_D = xx_D - x_D * x_D / n_D, yy_D - y_D * y_D / n_D
    known_D = (x_spread_D > ROUNDING * xx_D) & (y_spread_D > ROUNDING * yy_D)
    spread_D = np.where(known_D, x_spread_D * y_spread_D, np.nan)
    return (xy_D - x_D * y_D / n_D) / np.sqrt(spread_D)


def cluster_draws(count: int, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """How often each of `count` clusters is drawn, with replacement; float64, shape (D, C).

    No draw (D = 0) of fewer than `FEWEST` clusters.
    """
    draws = draws if count >= FEWEST else 0
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws).astype(float)


def interval_of(values_D: np.ndarray) -> list[float | None]:
    """The 95 % percentile interval of draws, for JSON; None twice where there are no draws."""
    known = len(values_D) > 0
    return [float(end) for end in np.quantile(values_D, [0.025, 0.975])] if known else [None, None]


def pair(ends: tuple[float, float]) -> list[float | None]:
    """An interval for JSON, which has no nan."""
    return [None if np.isnan(end) else float(end) for end in ends]
