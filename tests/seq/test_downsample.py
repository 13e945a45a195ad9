import numpy as np
import pytest
from scipy.stats import chisquare

from protray.seq.downsample import LOW_QUALITY, Prior, downsample
from protray.seq.keyed import generator

MSA_NL = np.arange(100, dtype=np.uint8)[:, None].repeat(2, axis=1)  # row i holds i: rows can be told apart


def test_prior_counts_proteins_below_60() -> None:
    prior = Prior.of(np.array([0, 0, 3, 59, 60, 61, 5000]))
    assert len(prior.counts) == LOW_QUALITY == 60
    assert {depth: n for depth, n in enumerate(prior.counts) if n} == {0: 2, 3: 1, 59: 1}


def test_drawn_depths_follow_the_histogram() -> None:
    prior = Prior.of(np.array([0] * 50 + [7] * 30 + [20] * 15 + [59] * 5 + [1000] * 900))
    rng = np.random.default_rng(0)
    drawn = np.bincount([prior.draw(rng) for _ in range(4000)], minlength=60)
    assert drawn.sum() == drawn[[0, 7, 20, 59]].sum() == 4000
    assert chisquare(drawn[[0, 7, 20, 59]], [2000, 1200, 600, 200]).pvalue > 0.01


def test_a_depth_without_proteins_is_never_drawn() -> None:
    """One protein each with 1, 2 and 4 homologs: a third each, and none with 0 or 3."""
    prior, rng = Prior.of(np.array([1, 2, 4])), np.random.default_rng(0)
    drawn = np.bincount([prior.draw(rng) for _ in range(900)])
    assert (drawn > 0).tolist() == [False, True, True, False, True]
    assert chisquare(drawn[[1, 2, 4]]).pvalue > 0.01


def test_a_training_set_without_shallow_proteins_has_no_prior() -> None:
    with pytest.raises(ValueError, match="none of the 2 training proteins has fewer than 60 homologs"):
        Prior.of(np.array([60, 900]))


@pytest.mark.parametrize("n_homologs", [0, 1, 12, 98])
def test_rows_are_drawn_without_replacement_and_the_query_stays(n_homologs) -> None:
    kept_NL = downsample(MSA_NL, n_homologs, generator(0))
    assert kept_NL.shape == (n_homologs + 1, 2)
    assert kept_NL[0].tolist() == [0, 0]
    assert len(np.unique(kept_NL[:, 0])) == n_homologs + 1


@pytest.mark.parametrize("n_homologs", [99, 100, 5000])
def test_never_more_rows_than_exist(n_homologs) -> None:
    np.testing.assert_array_equal(downsample(MSA_NL, n_homologs, generator(0)), MSA_NL)


def test_query_alone() -> None:
    np.testing.assert_array_equal(downsample(MSA_NL[:1], 30, generator(0)), MSA_NL[:1])


def test_every_homolog_is_as_likely() -> None:
    rng = np.random.default_rng(0)
    drawn = np.concatenate([downsample(MSA_NL[:11], 3, rng)[1:, 0] for _ in range(1000)])
    assert chisquare(np.bincount(drawn, minlength=11)[1:]).pvalue > 0.01


def test_rows_follow_from_the_key() -> None:
    def rows(*parts: object) -> list[int]:
        return downsample(MSA_NL, 10, generator(*parts))[:, 0].tolist()

    assert rows(0, "downsample", 1, "p") == rows(0, "downsample", 1, "p")
    others = [rows(0, "downsample", 2, "p"), rows(0, "downsample", 1, "q"), rows(1, "downsample", 1, "p")]
    assert rows(0, "downsample", 1, "p") not in others
