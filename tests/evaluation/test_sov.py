"""SOV'99: the numbers printed by its authors, a calculation by hand, and properties."""

import numpy as np
import pytest

from protray.evaluation.secondary import sov, sov_sums
from protray.seq.secondary import IGNORE

H, E, C = 0, 1, 2


def codes(states: str) -> np.ndarray:
    return np.array([IGNORE if state == "-" else "HEC".index(state) for state in states], dtype=np.int16)


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ("CHCHCHCHCHCC", 0.125),
        ("CCCHHHHHCCCC", 0.632),
        ("CHHHCHHHCHHC", 0.406),
        ("CHHCCHHHHHCC", 0.523),
        ("CCCHHHHHHCCC", 0.806),
    ],
)
def test_table_1_of_zemla_1999(predicted, expected) -> None:
    assert sov(codes(predicted), codes("CHHHHHHHHHHC")) == pytest.approx(expected, abs=0.0005)


def test_figure_1_of_zemla_1999_by_hand() -> None:
    """Strands.  Observed: 3 long without partner, 6 long with two partners of 5 and 2 residues.

    With the first: minov 1, maxov 10, delta = min(9, 1, 3, 2) = 1; with the second: minov 2, maxov 6, delta =
    min(4, 2, 3, 1) = 1.  Sum = (2/10 + 3/6) 6 = 4.2, N = 6 + 6 + 3 = 15, SOV = 0.28.
    """
    score_S, norm_S = sov_sums(codes("CCCCCCCEEEEECCCEECCC"), codes("CCEEECCCCCCEEEEEECCC"))
    assert score_S[E] == pytest.approx(4.2)
    assert norm_S[E] == 15
    assert norm_S[H] == 0


def test_a_perfect_prediction_scores_one() -> None:
    rng = np.random.default_rng(0)
    for length in (1, 2, 50, 500):
        label_L = rng.integers(3, size=length)
        assert sov(label_L, label_L) == 1


def test_range_and_no_overlap() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        pred_L, label_L = np.repeat(rng.integers(3, size=(2, 12)), rng.integers(1, 6, size=12), axis=1)
        assert 0 <= sov(pred_L, label_L) <= 1
    assert sov(codes("HHHH"), codes("CCCC")) == 0


def test_symmetric_under_reversal_of_the_chain() -> None:
    rng = np.random.default_rng(2)
    pred_L, label_L = np.repeat(rng.integers(3, size=(2, 30)), 3, axis=1)
    pred_L = np.roll(pred_L, 1)
    assert 0 < sov(pred_L, label_L) < 1
    assert sov(pred_L[::-1], label_L[::-1]) == pytest.approx(sov(pred_L, label_L))


def test_unlabelled_residues_end_segments_and_score_nothing() -> None:
    """HH--HH is two helices of 2; one predicted helix of 6 becomes two of 2 as well: all right."""
    assert sov(codes("HHHHHH"), codes("HH--HH")) == 1
    _, norm_S = sov_sums(codes("HHHHHH"), codes("HH--HH"))
    assert norm_S[H] == 4


def test_without_labels_there_is_no_score() -> None:
    assert np.isnan(sov(codes("HH"), codes("--")))
    assert np.isnan(sov(codes(""), codes("")))
