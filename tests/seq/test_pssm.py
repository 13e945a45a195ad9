"""A toy alignment of 7 rows and 4 columns, its numbers by hand, and parity with Biopython."""

import math
from typing import get_args

import numpy as np
import pytest

from protray.seq.alphabet import AMINO_ACIDS, GAP, encode
from protray.seq.pssm import SWISSPROT_A, Background, background, count_residues, probabilities, profile, pssm

ROWS = ["ACDX", "ACDW", "AC-W", "GC-W", "GC-W", "GC-W", "G--W"]  # the query and six homologs
MSA_NL = np.stack([encode(row) for row in ROWS])
A, C, D, G, H, W = (AMINO_ACIDS.index(letter) for letter in "ACDGHW")


def test_counts_leave_gaps_and_x_out() -> None:
    counts_LA = count_residues(MSA_NL)
    expected_LA = np.zeros((4, 20), dtype=np.int32)
    expected_LA[0, A], expected_LA[0, G] = 3, 4
    expected_LA[1, C] = 6  # one gap
    expected_LA[2, D] = 2  # five gaps
    expected_LA[3, W] = 6  # the query's X
    np.testing.assert_array_equal(counts_LA, expected_LA)


def test_probabilities_by_hand() -> None:
    """N = 7 counts the query, gaps and X: the denominator is 7 + 20 in every column."""
    prob_LA = probabilities(count_residues(MSA_NL), n_rows=7)
    assert prob_LA[0, [A, G, H]] == pytest.approx([4 / 27, 5 / 27, 1 / 27])
    assert prob_LA[2, [D, H]] == pytest.approx([3 / 27, 1 / 27])
    assert prob_LA.sum(axis=1) == pytest.approx(
        [27 / 27, 26 / 27, 22 / 27, 26 / 27]
    )  # a gap column sums to less than 1


def test_pseudocount_by_hand() -> None:
    assert probabilities(count_residues(MSA_NL), 7, pseudocount=0.5)[0, A] == pytest.approx(3.5 / 17)


def test_paper_background_by_hand() -> None:
    """21 residues in all: A 3, G 4, C 6, D 2, W 6."""
    pssm_LA = pssm(count_residues(MSA_NL), 7, "paper")
    assert pssm_LA[0, A] == pytest.approx(math.log((4 / 27) / (3 / 21)), abs=2e-6)  # 0.036
    assert pssm_LA[2, D] == pytest.approx(0.15415, abs=5e-6)  # ln((3/27) / (2/21)) = ln(7/6)
    assert pssm_LA[3, G] == pytest.approx(-1.63761, abs=5e-6)  # ln((1/27) / (4/21)) = ln(7/36)


def test_only_the_paper_background_rewards_an_absent_amino_acid() -> None:
    """No H anywhere: ln((1/27) / 1e-7) = 12.82.  Smoothed: B_H = 200 x 0.0227 / 221, X = ln 1.80 = 0.59."""
    counts_LA = count_residues(MSA_NL)
    assert pssm(counts_LA, 7, "paper")[:, H] == pytest.approx(np.full(4, 12.8222), abs=1e-4)
    by_hand = math.log((1 / 27) / (200 * SWISSPROT_A[H] / (21 + 200)))
    assert pssm(counts_LA, 7, "smoothed")[:, H] == pytest.approx(np.full(4, by_hand), abs=1e-6)
    assert np.abs(pssm(counts_LA, 7, "smoothed")).max() < 3


def test_smoothed_lies_between_swissprot_and_the_alignment() -> None:
    few, many = np.zeros((1, 20)), np.zeros((1, 20))
    few[0, W], many[0, W] = 1, 1e9
    assert background(few)[W] == pytest.approx((1 + 200 * SWISSPROT_A[W]) / 201)
    assert background(many)[W] == pytest.approx(1, abs=1e-6)
    assert background(np.zeros((1, 20))) == pytest.approx(SWISSPROT_A)


@pytest.mark.parametrize("kind", get_args(Background))
def test_backgrounds_are_distributions(kind) -> None:
    assert background(count_residues(MSA_NL), kind).sum() == pytest.approx(1, abs=3e-6)  # `paper` adds 20 x 1e-7


def test_fixed_background_is_swissprot() -> None:
    """Leu 9.65 % is the most frequent, Trp 1.10 % the rarest; the stated per cents sum to 99.93."""
    assert AMINO_ACIDS[SWISSPROT_A.argmax()] == "L"
    assert AMINO_ACIDS[SWISSPROT_A.argmin()] == "W"
    assert SWISSPROT_A[W] == pytest.approx(1.10 / 99.93)
    assert pssm(count_residues(MSA_NL), 7, "fixed")[3, W] == pytest.approx(
        math.log((7 / 27) / (1.10 / 99.93)), abs=1e-6
    )


def test_log_odds_of_biopython() -> None:
    """Bio.motifs counts (C + p) / (N + 20 p) on columns without gaps, in bits."""
    from Bio import motifs
    from Bio.motifs.matrix import FrequencyPositionMatrix

    msa_NL = np.random.default_rng(0).integers(0, 20, (30, 12)).astype(np.uint8)
    counts_LA = count_residues(msa_NL)
    assert motifs.Motif(AMINO_ACIDS).alphabet == AMINO_ACIDS
    matrix = FrequencyPositionMatrix(AMINO_ACIDS, dict(zip(AMINO_ACIDS, counts_LA.T.tolist(), strict=True)))
    odds = matrix.normalize(pseudocounts=1).log_odds(dict(zip(AMINO_ACIDS, SWISSPROT_A, strict=True)))
    bits_LA = np.array([odds[letter] for letter in AMINO_ACIDS]).T
    np.testing.assert_allclose(pssm(counts_LA, 30, "fixed"), bits_LA * math.log(2), atol=1e-6)


@pytest.mark.parametrize("kind", get_args(Background))
def test_profile_inverts(kind) -> None:
    counts_LA = count_residues(MSA_NL)
    prob_LA = probabilities(counts_LA, 7)
    found_LA = profile(pssm(counts_LA, 7, kind), background(counts_LA, kind))
    np.testing.assert_allclose(found_LA, prob_LA / prob_LA.sum(axis=1, keepdims=True), atol=1e-6)


def test_row_order_does_not_matter() -> None:
    np.testing.assert_array_equal(count_residues(MSA_NL[::-1]), count_residues(MSA_NL))


def test_counts_are_a_plain_loop() -> None:
    msa_NL = np.random.default_rng(1).integers(0, GAP + 1, (40, 15)).astype(np.uint8)
    counts_LA = np.zeros((15, 20), dtype=int)
    for row in msa_NL:
        for column, code in enumerate(row):
            if code < 20:
                counts_LA[column, code] += 1
    np.testing.assert_array_equal(count_residues(msa_NL), counts_LA)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 127, 128, 129, 4001])
def test_counts_are_those_of_bincount(n_rows) -> None:
    """Numbers of rows around powers of two: the halves that are added differ in size."""
    msa_NL = np.random.default_rng(n_rows).integers(0, GAP + 1, (n_rows, 131), dtype=np.uint8)
    bins = msa_NL + 22 * np.arange(131)
    counts = np.bincount(bins.ravel(), minlength=22 * 131).reshape(131, 22)[:, :20]
    found_LA = count_residues(msa_NL)
    np.testing.assert_array_equal(found_LA, counts)
    assert found_LA.dtype == np.int32 and found_LA.flags.c_contiguous


def test_counts_over_the_border_of_a_block() -> None:
    """1,000 columns are counted 262 rows at a time; bytes hold counts up to 128 of one residue and no more."""
    msa_NL = np.zeros((1200, 1000), dtype=np.uint8)
    msa_NL[524:, 7] = W
    counts_LA = count_residues(msa_NL)
    assert (counts_LA[:, 0] == [*[1200] * 7, 524, *[1200] * 992]).all()
    assert counts_LA[7, W] == 676 and counts_LA.sum() == 1200 * 1000


def test_counts_of_columns_that_are_not_contiguous() -> None:
    msa_NL = np.random.default_rng(2).integers(0, GAP + 1, (30, 40), dtype=np.uint8)
    np.testing.assert_array_equal(count_residues(msa_NL[:, ::3]), count_residues(msa_NL)[::3])


def test_undefined_background() -> None:
    with pytest.raises(ValueError, match="without a known residue; use 'smoothed'"):
        pssm(count_residues(np.array([encode("XX")])), 1, "paper")
    with pytest.raises(ValueError, match="must be one of .*'smoothed'.* got 'uniprot'"):
        background(np.zeros((1, 20)), "uniprot")  # type: ignore[arg-type]
