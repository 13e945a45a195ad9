import math

import numpy as np
import pytest

from protray.seq.alphabet import N_AA, encode
from protray.seq.pseudo_msa import N_PSEUDO, pseudo_counts, pseudo_pssm
from protray.seq.pssm import SWISSPROT_A, pssm

UNIFORM_LA = np.full((2, N_AA), 1 / N_AA, dtype=np.float32)
NOBODY_L = encode("XX")  # a query that adds no count


def string_counts(prob_LA: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the paper does: draw 2,000 sequences letter by letter, and count letters in columns."""
    sequences_NL = np.stack([rng.choice(N_AA, size=N_PSEUDO, p=prob_A) for prob_A in prob_LA], axis=1)
    return np.stack([(sequences_NL == code).sum(axis=0) for code in range(N_AA)], axis=1)


def test_multinomial_has_the_moments_of_drawn_strings() -> None:
    """Mean 2000 p, variance 2000 p (1 - p), covariance -2000 p q; of 400 draws each, for p = 0.5, 0.3, 0.2."""
    prob_LA = np.zeros((1, N_AA))
    prob_LA[0, :3] = 0.5, 0.3, 0.2
    rng = np.random.default_rng(0)
    strings = np.array([string_counts(prob_LA, rng)[0, :3] for _ in range(400)])
    ours = np.array([pseudo_counts(prob_LA, NOBODY_L[:1], rng)[0, :3] for _ in range(400)])
    covariance = [[500, -300, -200], [-300, 420, -120], [-200, -120, 320]]
    for counts in (strings, ours):
        assert counts.mean(axis=0) == pytest.approx([1000, 600, 400], abs=4)  # standard error 1.1
        np.testing.assert_allclose(np.cov(counts.T), covariance, atol=110)  # standard error at most 35


def test_query_counts_once() -> None:
    counts_LA = pseudo_counts(UNIFORM_LA, encode("AX"), np.random.default_rng(0))
    assert counts_LA.sum(axis=1).tolist() == [2001, 2000]  # X adds nothing
    assert counts_LA.dtype.kind == "i"


def test_expected_by_hand() -> None:
    """2000 / 20 = 100 of each and the query's A: P(A) = (101 + 1) / (2001 + 20), P(R) = 101 / 2021."""
    pssm_LA = pseudo_pssm(UNIFORM_LA, encode("AX"), (0, "p"), "expected", "fixed")
    assert pssm_LA[0, 0] == pytest.approx(math.log(102 / 2021 / SWISSPROT_A[0]), abs=1e-6)
    assert pssm_LA[0, 1] == pytest.approx(math.log(101 / 2021 / SWISSPROT_A[1]), abs=1e-6)
    assert pssm_LA[1, 0] == pytest.approx(math.log(101 / 2021 / SWISSPROT_A[0]), abs=1e-6)


def test_expected_is_the_mean_of_draws() -> None:
    prob_LA = np.random.default_rng(0).dirichlet(np.full(N_AA, 0.5), 3)
    query_L = encode("ACX")
    drawn = np.mean([pseudo_counts(prob_LA, query_L, np.random.default_rng(seed)) for seed in range(300)], axis=0)
    np.testing.assert_allclose(drawn, pseudo_counts(prob_LA, query_L, None), atol=6)  # standard error at most 1.3


def test_pssm_is_that_of_the_drawn_counts() -> None:
    from protray.seq.keyed import generator

    prob_LA = np.random.default_rng(0).dirichlet(np.ones(N_AA), 4)
    counts_LA = pseudo_counts(prob_LA, encode("ACDE"), generator(5, "pseudo-msa", "p"))
    found_LA = pseudo_pssm(prob_LA, encode("ACDE"), (5, "p"), "multinomial", "smoothed")
    np.testing.assert_array_equal(found_LA, pssm(counts_LA, 2001, "smoothed"))


def test_draws_follow_from_seed_and_id() -> None:
    def draw(seed: int, name: str) -> list:
        return pseudo_pssm(UNIFORM_LA, NOBODY_L, (seed, name), "multinomial", "smoothed").tolist()

    assert draw(0, "p") == draw(0, "p")
    assert draw(0, "p") != draw(0, "q")
    assert draw(0, "p") != draw(1, "p")


def test_map_in_float32_that_does_not_sum_to_exactly_1() -> None:
    prob_LA = (UNIFORM_LA * np.float32(1.00001)).astype(np.float32)
    assert pseudo_counts(prob_LA, NOBODY_L, np.random.default_rng(0)).sum(axis=1).tolist() == [2000, 2000]
    assert not np.may_share_memory(pseudo_counts(prob_LA, encode("AA"), None), prob_LA)
