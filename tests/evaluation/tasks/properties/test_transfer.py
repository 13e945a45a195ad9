"""Transfer by hand, its setting from validation, and phmmer's hits."""

import numpy as np
import pytest
from decoys_here import decoys

from protray.evaluation.tasks.properties.function_baselines import (
    PENALTIES,
    choose_logistic,
    composition,
    cross_entropy,
    fit_logistic,
)
from protray.evaluation.tasks.properties.transfer import Transfer, choose_transfer, training_hits

Y_MT = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
HITS = [(0, 30.0, 1e-5), (1, 10.0, 0.5), (2, -1.0, 5.0)]


def test_by_hand() -> None:
    """All: (30 (1, 0) + 10 (0, 1)) / 40; c = 10 gives the hits 3/4; the mean is 1/2."""
    assert Transfer(False, 1.0, 0).predict([HITS], Y_MT)[0].tolist() == [0.75, 0.25]
    assert Transfer(False, 10.0, 0).predict([HITS], Y_MT)[0].tolist() == [0.75, 0.25]  # no weight below 0 bits
    assert Transfer(True, 1.0, 10).predict([HITS], Y_MT)[0].tolist() == [0.875, 0.125]
    assert Transfer(True, 1e-6, 0).predict([HITS, []], Y_MT).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_the_validation_chooses() -> None:
    """Wanted is the label of the second hit alone, which only all hits give."""
    wanted = np.array([[0.75, 0.25]])
    best = choose_transfer([HITS], Y_MT, lambda found: -float(np.abs(found - wanted).sum()))
    assert (best.best_only, best.half) == (False, 0.0)


def test_a_protein_finds_itself_first() -> None:
    sequences = [one.sequence for one in decoys(3, 1)]
    hits = training_hits(sequences[:2] + ["MKVLAAGGHHTW"], sequences)
    assert [found[0][0] for found in hits[:2]] == [0, 1] and hits[0][0][1] > 50 and hits[0][0][2] < 1e-3
    assert training_hits(["MKV"], []) == [[]]


def test_composition() -> None:
    found = composition(["AARX"])[0]
    assert found[:2].tolist() == pytest.approx([0.5, 0.25]) and found[20] == pytest.approx(np.log(4))


def test_logistic_regression_is_scikit_learns() -> None:
    """Its C is 1 / (2 N penalty) on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    x_NF = rng.normal(size=(200, 5))
    y_N = (x_NF[:, 0] + rng.normal(size=200) > 0).astype(float)
    ours = fit_logistic(x_NF, y_N[:, None], 1e-2)
    theirs = LogisticRegression(C=1 / (2 * 200 * 1e-2)).fit(StandardScaler().fit_transform(x_NF), y_N)
    assert ours.weight_FT[:, 0] == pytest.approx(theirs.coef_[0], abs=1e-3)
    assert ours.predict(x_NF)[:, 0] == pytest.approx(
        theirs.predict_proba(StandardScaler().fit_transform(x_NF))[:, 1], abs=1e-3
    )


def test_the_penalty_is_the_validations_best() -> None:
    """Labels that have nothing to do with the features ask for the largest."""
    rng = np.random.default_rng(0)
    x_NF, y_NT = rng.normal(size=(60, 20)), (rng.random((60, 3)) < 0.5).astype(float)
    best = choose_logistic(x_NF[:30], y_NT[:30], x_NF[30:], y_NT[30:])
    assert best.penalty == 1e-1
    assert cross_entropy(np.array([[0.5]]), np.array([[1.0]])) == pytest.approx(np.log(2))


def clear(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Four labels that follow from ten features, and noise."""
    rng = np.random.default_rng(1)
    x_NF = rng.normal(size=(400, 10))
    return x_NF, (x_NF @ rng.normal(size=(10, 4)) + noise * rng.normal(size=(400, 4)) > 0).astype(float)


def hidden() -> tuple[np.ndarray, np.ndarray]:
    """A label that pairs of nearly equal features tell by their difference, among others that tell nothing.

    Validation gets worse with the second penalty before it gets better with the fourth.
    """
    rng = np.random.default_rng(2)
    common_N8, small_N = rng.normal(size=(400, 8)), rng.normal(size=400)
    pairs = [common_N8 + sign * 0.03 * small_N[:, None] for sign in (1, -1)]
    return np.concatenate([*pairs, rng.normal(size=(400, 30))], axis=1), (small_N > 0).astype(float)[:, None]


@pytest.mark.parametrize("examples", [clear(0.3), clear(1.0), clear(3.0), hidden()])
def test_begun_with_the_last_weights_the_choice_and_its_minimum_are_the_same(examples) -> None:
    x_NF, y_NT = examples
    best = choose_logistic(x_NF[:150], y_NT[:150], x_NF[150:], y_NT[150:])
    all_of_them = [fit_logistic(x_NF[:150], y_NT[:150], penalty) for penalty in PENALTIES]
    found = [cross_entropy(one.predict(x_NF[150:]), y_NT[150:]) for one in all_of_them]
    cold = all_of_them[int(np.argmin(found))]
    assert best.penalty == cold.penalty
    np.testing.assert_allclose(best.predict(x_NF), cold.predict(x_NF), atol=5e-3)


def test_all_penalties_are_tried() -> None:
    x_NF, y_NT = hidden()
    first, second = (fit_logistic(x_NF[:150], y_NT[:150], penalty) for penalty in PENALTIES[:2])
    assert cross_entropy(second.predict(x_NF[150:]), y_NT[150:]) > cross_entropy(first.predict(x_NF[150:]), y_NT[150:])
    assert choose_logistic(x_NF[:150], y_NT[:150], x_NF[150:], y_NT[150:]).penalty == PENALTIES[3]
