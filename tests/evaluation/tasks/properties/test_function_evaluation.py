"""Fmax by hand and by brute force with ties, torchdrug's variant, both AUPR against scikit-learn, and intervals."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from protray.evaluation.tasks.properties.function import (
    curve,
    fmax,
    fmax_pairs,
    interval_of,
    macro_aupr,
    macro_row,
    score_function,
)

SCORE_BT = np.array([[0.9, 0.5, 0.1], [0.5, 0.7, 0.0]])
TRUE_BT = np.array([[True, True, False], [True, False, False]])


def test_fmax_by_hand() -> None:
    """At 0.5 the first protein has both labels (1, 1), the second one of two (1/2, 1): pr = 3/4, rc = 1."""
    found = curve(SCORE_BT, TRUE_BT)
    assert found.threshold_K.tolist() == [0.9, 0.7, 0.5, 0.1]  # 0 is no prediction
    assert found.precision_K.tolist() == pytest.approx([1, 1 / 2, 3 / 4, (2 / 3 + 1 / 2) / 2])
    assert found.recall_K.tolist() == pytest.approx([1 / 4, 1 / 4, 1, 1])
    assert found.best() == (pytest.approx(2 * 0.75 / 1.75), 0.5)


def test_only_proteins_with_predictions_count_for_precision() -> None:
    """At 0.9 the second protein has none: pr = 1, not 1/2."""
    assert curve(SCORE_BT, TRUE_BT).precision_K[0] == 1


def brute_force(score_BT: np.ndarray, true_BT: np.ndarray) -> float:
    best = 0.0
    for t in np.unique(score_BT[score_BT > 0]):
        precision, recall = [], []
        for score_T, true_T in zip(score_BT, true_BT, strict=True):
            predicted = {int(k) for k in np.flatnonzero(score_T >= t)}
            true = {int(k) for k in np.flatnonzero(true_T)}
            if predicted:
                precision.append(len(predicted & true) / len(predicted))
            recall.append(len(predicted & true) / len(true))
        pr, rc = np.mean(precision), np.mean(recall)
        best = max(best, 2 * pr * rc / (pr + rc) if pr + rc else 0.0)
    return best


@pytest.mark.parametrize("levels", [3, 10, 10**9], ids=["many ties", "some ties", "no ties"])
def test_fmax_against_brute_force(levels) -> None:
    rng = np.random.default_rng(levels)
    for _ in range(20):
        true_BT = rng.random((12, 9)) < 0.3
        true_BT[:, 0] |= ~true_BT.any(axis=1)
        score_BT = np.floor(np.clip(rng.random((12, 9)) + 0.3 * true_BT, 0, 1) * levels) / levels
        assert fmax(score_BT, true_BT) == pytest.approx(brute_force(score_BT, true_BT), abs=1e-12)
        assert fmax_pairs(score_BT, true_BT) == pytest.approx(one_by_one(score_BT, true_BT), abs=1e-12)
        if levels > 10:
            assert fmax_pairs(score_BT, true_BT) == pytest.approx(fmax(score_BT, true_BT), abs=1e-11)


def one_by_one(score_BT: np.ndarray, true_BT: np.ndarray) -> float:
    """torchdrug's Fmax: pairs are predicted one after another, equal ones in the order of proteins, then labels."""
    predicted_BT, best = np.zeros_like(true_BT), 0.0
    for _, b, t in sorted((-score, b, t) for (b, t), score in np.ndenumerate(score_BT)):
        predicted_BT[b, t] = True
        any_B, hits_B = predicted_BT.sum(axis=1), (predicted_BT & true_BT).sum(axis=1)
        precision = (hits_B[any_B > 0] / any_B[any_B > 0]).mean()
        recall = (hits_B / true_BT.sum(axis=1)).mean()
        best = max(best, 2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return best


def test_the_order_of_proteins_and_labels_is_no_matter() -> None:
    """Of Fmax and AUPR; torchdrug's depends on it where scores are equal."""
    rng = np.random.default_rng(2)
    true_BT = rng.random((12, 9)) < 0.3
    true_BT[:, 0] |= ~true_BT.any(axis=1)
    score_BT = np.floor(5 * rng.random((12, 9))) / 5
    rows, columns = rng.permutation(12), rng.permutation(9)
    names = [str(n) for n in range(12)]
    one = score_function(score_BT, true_BT, names, 0.4).row
    other = score_function(score_BT[rows][:, columns], true_BT[rows][:, columns], [names[n] for n in rows], 0.4).row
    for name in ("fmax", "f_validation", "aupr"):
        assert other[name] == pytest.approx(one[name], abs=1e-12)


def test_equal_scores_are_no_order() -> None:
    """A constant predicts all labels or none: F = 2 (1/4) / (1/4 + 1); one pair after another is more."""
    true_BT = np.array([[True, False, False, False]])
    assert fmax(np.full((1, 4), 0.5), true_BT) == pytest.approx(0.4)
    assert fmax_pairs(np.full((1, 4), 0.5), true_BT) == 1


def test_nothing_predicted() -> None:
    assert curve(np.zeros((2, 3)), TRUE_BT).best() == (0.0, float("inf"))


def test_aupr_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    score_BT, true_BT = np.floor(rng.random((50, 10)) * 20) / 20, rng.random((50, 10)) < 0.3
    true_BT[:, 0] |= ~true_BT.any(axis=1)
    row = score_function(score_BT, true_BT, [str(n) for n in range(50)], 0.5).row
    assert row["aupr"] == pytest.approx(average_precision_score(true_BT.ravel(), score_BT.ravel()))
    macro = macro_row(score_BT, true_BT, ["a"] * 50)
    assert macro["aupr_macro"] == pytest.approx(average_precision_score(true_BT, score_BT, average="macro"))
    assert macro["aupr_macro_ci95"] == [None, None]


def test_the_interval_of_rare_labels_is_about_their_value() -> None:
    """Of two positives each, whose draws by themselves are all but above it."""
    rng = np.random.default_rng(0)
    true_BT = np.zeros((200, 100), bool)
    true_BT[np.arange(200), np.arange(200) % 100] = True
    row = macro_row(rng.random((200, 100)) + 0.3 * true_BT, true_BT, [str(n) for n in range(200)])
    low, high = row["aupr_macro_ci95"]
    assert low < row["aupr_macro"] < high and high - low < 0.2


def test_macro_aupr_of_a_draw_is_that_of_its_proteins() -> None:
    """Each as often as it was drawn; the last label, of the last protein alone, is in the second draw's mean only."""
    rng = np.random.default_rng(2)
    score_BT = np.floor(rng.random((6, 3)) * 4) / 4
    true_BT = np.tile([[True, False, False], [False, True, False]], (3, 1))
    true_BT[5] = [False, False, True]
    times_DB = np.array([[2, 1, 0, 3, 0, 0], [0, 1, 1, 1, 1, 2]])
    for times_B, found in zip(times_DB, macro_aupr(score_BT, true_BT, times_DB), strict=True):
        rows = np.repeat(np.arange(6), times_B)
        there_T = true_BT[rows].any(axis=0)
        expected = average_precision_score(true_BT[rows][:, there_T], score_BT[rows][:, there_T], average="macro")
        assert found == pytest.approx(expected)


def test_proteins_without_labels_are_dropped_and_unusable_input_is_refused() -> None:
    more = np.vstack([SCORE_BT, [[0.9, 0.9, 0.9]]]), np.vstack([TRUE_BT, [[False] * 3]])
    row = score_function(*more, ["a", "b", "c"], 0.5).row
    assert (row["proteins"], row["clusters"], row["labels"]) == (2, 2, 2)
    assert row["fmax"] == pytest.approx(fmax(SCORE_BT, TRUE_BT)) == row["f_validation"]
    with pytest.raises(ValueError, match="1 of 3 proteins have no label"):
        fmax(*more)
    with pytest.raises(ValueError, match="finite: False"):
        fmax(np.full((2, 3), np.nan), TRUE_BT)


def noisy(proteins: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true_BT = rng.random((proteins, 40)) < 0.1
    true_BT[:, 0] |= ~true_BT.any(axis=1)
    return 1 / (1 + np.exp(2 - 2 * true_BT - rng.normal(size=true_BT.shape))), true_BT


def test_intervals_contain_the_value_and_shrink_with_clusters() -> None:
    score_BT, true_BT = noisy(400)
    own = score_function(score_BT, true_BT, [str(n) for n in range(400)], 0.4)
    few = score_function(score_BT, true_BT, [str(n // 40) for n in range(400)], 0.4)
    for name in ("fmax", "f_validation", "aupr"):
        low, high = own.row[f"{name}_ci95"]
        assert low < own.row[name] < high and high - low < 0.1
    assert own.fmax_D.mean() == pytest.approx(own.row["fmax"], abs=0.005)  # the grid is fine enough
    assert own.row["f_validation"] <= own.row["fmax"]
    assert few.row["clusters"] == 10 and few.row["fmax"] == own.row["fmax"]
    single = score_function(score_BT, true_BT, ["a"] * 400, 0.4)
    assert single.row["fmax_ci95"] == [None, None] == interval_of(single.fmax_D)


def test_the_threshold_of_validation_is_used() -> None:
    row = score_function(SCORE_BT, TRUE_BT, ["a", "b"], 0.6).row
    assert row["f_validation"] == pytest.approx(2 * (1 / 2) * (1 / 4) / (1 / 2 + 1 / 4))
    assert score_function(SCORE_BT, TRUE_BT, ["a", "b"], 1.1).row["f_validation"] == 0
