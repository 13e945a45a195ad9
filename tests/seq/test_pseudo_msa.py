import math

import numpy as np
import pytest

from protray.seq.alphabet import N_AA, decode, encode
from protray.seq.msa import parse_msa
from protray.seq.pseudo_msa import N_PSEUDO, a3m, check_map, pseudo_counts, pseudo_msa, pseudo_pssm
from protray.seq.pssm import SWISSPROT_A, count_residues, pssm

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


def test_drawn_alignments_have_multinomial_counts() -> None:
    """400 alignments, p = 0.5, 0.3, 0.2: the moments of the test above, and no other residue is ever drawn."""
    prob_LA = np.zeros((1, N_AA))
    prob_LA[0, [0, 7, 19]] = 0.5, 0.3, 0.2
    rng = np.random.default_rng(1)
    drawn = [count_residues(pseudo_msa(prob_LA, NOBODY_L[:1], rng))[0] for _ in range(400)]
    counts = np.array(drawn)[:, [0, 7, 19]]
    assert (counts.sum(axis=1) == N_PSEUDO).all()
    assert counts.mean(axis=0) == pytest.approx([1000, 600, 400], abs=4)
    np.testing.assert_allclose(np.cov(counts.T), [[500, -300, -200], [-300, 420, -120], [-200, -120, 320]], atol=110)


def test_drawn_columns_are_distributed_as_the_map() -> None:
    """Chi-square with 19 degrees of freedom at each of 130 positions (four blocks and a rest): mean 19, sd 6.2."""
    prob_LA = np.random.default_rng(0).dirichlet(np.full(N_AA, 2.0), 130)
    codes_NL = pseudo_msa(prob_LA, np.zeros(130, dtype=np.uint8), np.random.default_rng(2), 20_000)
    expected_LA = 20_000 * prob_LA
    counts_LA = count_residues(codes_NL[1:])
    chi_L = ((counts_LA - expected_LA) ** 2 / expected_LA).sum(axis=1)
    assert chi_L.mean() == pytest.approx(19, abs=2)  # standard error 0.54
    assert chi_L.max() < 60  # a position in 250,000 is above


def test_drawn_positions_are_independent() -> None:
    """64 equal positions of A or R, 2,000 rows: correlations have the standard error 1 / sqrt(2000) = 0.022."""
    prob_LA = np.zeros((64, N_AA))
    prob_LA[:, :2] = 0.5
    codes_NL = pseudo_msa(prob_LA, np.zeros(64, dtype=np.uint8), np.random.default_rng(3))[1:]
    columns = np.corrcoef(codes_NL.T)[np.triu_indices(64, 1)]
    assert np.abs(columns).max() < 0.11
    assert columns.std() == pytest.approx(0.0224, abs=0.002)


@pytest.mark.parametrize("code", [0, 1, 19])
def test_certain_residues(code) -> None:
    prob_LA = np.zeros((3, N_AA))
    prob_LA[:, code] = 1
    codes_NL = pseudo_msa(prob_LA, encode("AXW"), np.random.default_rng(0), 70_000)
    assert decode(codes_NL[0]) == "AXW"
    assert (codes_NL[1:] == code).all()


def test_probabilities_are_resolved_to_2_to_the_minus_16() -> None:
    """p = 2^-16, the first of 20: 1,000 x 2,000 numbers hold it about 30.5 times (standard deviation 5.5)."""
    prob_LA = np.zeros((1000, N_AA))
    prob_LA[:, 0], prob_LA[:, 1] = 2**-16, 1 - 2**-16
    codes_NL = pseudo_msa(prob_LA, np.ones(1000, dtype=np.uint8), np.random.default_rng(0))
    assert 8 < (codes_NL == 0).sum() < 53


def test_alignment_as_text_is_read_back() -> None:
    codes_NL = pseudo_msa(UNIFORM_LA, encode("WX"), np.random.default_rng(0), 3)
    text = a3m(codes_NL, "my\nprotein")
    rows = [decode(row) for row in codes_NL]
    assert rows[0] == "WX"
    assert text.decode().split("\n") == [
        ">my protein", "WX", ">pseudo_1", rows[1], ">pseudo_2", rows[2], ">pseudo_3", rows[3], "",
    ]  # fmt: skip
    np.testing.assert_array_equal(parse_msa(text, "a3m", "p.a3m").codes_NL, codes_NL)


@pytest.mark.parametrize(("dtype", "off"), [(np.float32, 0.0009), (np.float16, 0.009)])
def test_stored_maps_may_be_off_by_their_rounding(dtype, off) -> None:
    flat = UNIFORM_LA.ravel().astype(np.float64)
    flat[0] += off
    prob_LA, query_L = check_map(flat.astype(dtype), "aX")
    assert decode(query_L) == "AX"
    assert prob_LA.dtype == np.float64
    assert prob_LA.sum(axis=1) == pytest.approx([1, 1], abs=1e-12)
    flat[0] += 0.2 * off
    with pytest.raises(ValueError, match="position 1 sum to 1.0"):
        check_map(flat.astype(dtype), "AX")


def test_unusable_maps() -> None:
    flat = UNIFORM_LA.ravel()
    for sequence, reason in (("", "is empty"), ("A", "40 numbers, but 1 residues need 20"), ("A-", "2 .* is '-'")):
        with pytest.raises(ValueError, match=reason):
            check_map(flat, sequence)
    for number, reason in ((np.nan, "not finite at position 2"), (np.inf, "not finite"), (-0.1, "probability -0.1 at")):
        with pytest.raises(ValueError, match=reason):
            check_map(np.where(np.arange(40) == 33, np.float32(number), flat), "AC")
