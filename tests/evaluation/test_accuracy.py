"""Q3, Q8, per-protein and per-residue accuracy, and the confusion matrix."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

from protray.evaluation.secondary import confusion, count_correct, score_set
from protray.seq.secondary import IGNORE

H, E, C = 0, 1, 2


def codes(*states: int) -> np.ndarray:
    return np.array(states, dtype=np.int8)


def test_unlabelled_residues_count_nowhere() -> None:
    """HHEC against HE?C: residues 1 and 4 are right, 2 is wrong, 3 has no label."""
    assert count_correct(codes(H, H, E, C), codes(H, E, IGNORE, C)) == (2, 3)


def test_per_protein_and_per_residue_by_hand() -> None:
    """a: 1 of 1 right.  b: 1 of 4 right.  Per protein (1 + 1/4) / 2 = 0.625, per residue 2/5 = 0.4."""
    scores = score_set({"a": codes(H), "b": codes(E, E, E, E)}, {"a": codes(H), "b": codes(E, C, C, H)})
    assert scores.accuracy.tolist() == [1.0, 0.25]
    assert scores.accuracy.mean() == 0.625
    assert scores.correct.sum() / scores.labelled.sum() == 0.4


def test_eight_states_use_the_same_function() -> None:
    scores = score_set({"a": codes(7, 6, 5)}, {"a": codes(7, 6, 4)}, n_states=8)
    assert scores.accuracy[0] == pytest.approx(2 / 3)


def test_parity_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = {str(b): rng.integers(3, size=10 + b).astype(np.int8) for b in range(20)}
    predictions = {id: rng.integers(3, size=len(label_L)).astype(np.uint8) for id, label_L in labels.items()}
    scores = score_set(predictions, labels)
    for b, (id, label_L) in enumerate(labels.items()):
        assert scores.accuracy[b] == accuracy_score(label_L, predictions[id])
    true, predicted = np.concatenate([*labels.values()]), np.concatenate([*predictions.values()])
    np.testing.assert_array_equal(confusion(predictions, labels), confusion_matrix(true, predicted))


def test_order_is_that_of_the_labels_and_other_predictions_are_ignored() -> None:
    predictions = {"other": codes(C), "b": codes(H), "a": codes(E)}
    scores = score_set(predictions, {"a": codes(E), "b": codes(E)})
    assert scores.accuracy.tolist() == [1.0, 0.0]


def test_confusion_leaves_unlabelled_residues_out() -> None:
    """Row = true state, column = predicted state."""
    found = confusion({"a": codes(H, E, C, C)}, {"a": codes(H, H, IGNORE, E)})
    assert found.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({}, "no prediction for protein 'p'"),
        ({"p": codes(H)}, "2 labels but 1 predicted"),
        ({"p": codes(H, 3)}, "code 3 at residue 2 is not in 0..2"),
        ({"p": codes(-100, H)}, "code -100 at residue 1"),
    ],
)
def test_a_prediction_that_does_not_fit_is_named(predictions, message) -> None:
    with pytest.raises(ValueError, match=message):
        score_set(predictions, {"p": codes(H, E)})


def test_a_protein_without_labels_is_an_error_not_a_nan() -> None:
    with pytest.raises(ValueError, match="'p' has no labelled residue among 2"):
        score_set({"p": codes(H, E)}, {"p": codes(IGNORE, IGNORE)})
