"""Trivial baselines."""

import numpy as np
import pytest

from protray.evaluation.baselines import MAJORITY, RESIDUE_MAJORITY, TRIVIAL, state_counts, trivial_predictions
from protray.seq.alphabet import GAP, N_AA, UNKNOWN, encode
from protray.seq.secondary import IGNORE

H, E, C = 0, 1, 2


def fitted() -> np.ndarray:
    """Training: A is H twice, V is E once; G is C three times and once without label: C is the commonest state."""
    sequences = [encode("AAV"), encode("GGGG")]
    labels = [np.array([H, H, E], dtype=np.int8), np.array([C, C, C, IGNORE], dtype=np.int8)]
    return state_counts(sequences, labels)


def test_counts_by_hand() -> None:
    counts_AS = fitted()
    assert counts_AS.sum() == 6
    assert counts_AS[encode("A")[0]].tolist() == [2, 0, 0]
    assert counts_AS[encode("G")[0]].tolist() == [0, 0, 3]


def test_predictions_by_hand() -> None:
    """W was never seen in training and X is no amino acid: both get the commonest state, C."""
    found = trivial_predictions(fitted(), {"t": encode("AVGWX")})
    assert list(found) == list(TRIVIAL)
    assert found[MAJORITY]["t"].tolist() == [C] * 5
    assert found[RESIDUE_MAJORITY]["t"].tolist() == [H, E, C, C, C]


def test_every_residue_code_has_a_prediction() -> None:
    found = trivial_predictions(fitted(), {"t": np.arange(GAP + 1, dtype=np.uint8)})
    assert set(found[RESIDUE_MAJORITY]["t"][[UNKNOWN, GAP]].tolist()) == {C}
    assert len(found[RESIDUE_MAJORITY]["t"]) == N_AA + 2


def test_training_data_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="training protein 0 has 2 residues but 1 labels"):
        state_counts([encode("AA")], [np.array([H])])
    with pytest.raises(ValueError, match="1 sequences but 0 label strings"):
        state_counts([encode("AA")], [])
    with pytest.raises(ValueError, match="1 training proteins have no labelled residue"):
        state_counts([encode("A")], [np.array([IGNORE])])
