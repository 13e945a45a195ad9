"""Baselines of quality assessment: the mean by hand, and that the linear fit learns what is linear."""

from dataclasses import replace

import numpy as np
import pytest
from decoys_here import decoys

from protray.data.decoys.linear import features
from protray.evaluation.tasks.quality.baselines import fit_constant, fit_linear
from protray.models.tasks.graphqa_config import GLOBAL


def test_the_constant_is_the_mean_of_the_training_decoys() -> None:
    some = decoys(3, 2)
    found = fit_constant(some).predict(decoys(2, 1, start=20))
    for local_LS, global_S in found:
        assert global_S[:4] == pytest.approx(np.mean([one.global_S[:4] for one in some], axis=0), abs=1e-6)
        mean = np.concatenate([one.local_LS[:, 0] for one in some]).mean()
        np.testing.assert_allclose(local_LS[:, 0], mean, atol=1e-6)
        assert global_S[4] == 0  # CAD, of which nothing is known


def test_a_linear_score_is_found() -> None:
    """A score that is 0.5 and a tenth of a feature of the model; more decoys than features."""
    some = [
        replace(one, global_S=np.full(len(GLOBAL), 0.5 + 0.1 * features(one)[1][2], np.float32))
        for one in decoys(12, 6)
    ]
    found = fit_linear(some).predict(some)
    true = np.array([one.global_S[0] for one in some])
    predicted = np.array([global_S[0] for _, global_S in found])
    assert np.corrcoef(predicted, true)[0, 1] > 0.99
    assert np.abs(predicted - true).max() < 0.3 * np.ptp(true)


def test_unknown_scores_are_left_out_of_the_fit() -> None:
    some = list(decoys(6, 3))
    lost = replace(some[0], local_LS=np.full_like(some[0].local_LS, np.nan), global_S=np.full(5, np.nan, np.float32))
    one, two = fit_linear([*some, lost]), fit_linear(some)
    np.testing.assert_allclose(one.global_FS, two.global_FS)
    np.testing.assert_allclose(one.local_FS, two.local_FS)
    assert not np.isnan(fit_constant([*some, lost]).global_FS).any()
