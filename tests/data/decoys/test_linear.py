"""Least squares from simple features, as what a network starts from."""

import numpy as np
import pytest
import torch
from decoys_here import decoys

from protray.data.decoys.graphs import Widths
from protray.data.decoys.linear import features, logit_fits, ridge
from protray.models.tasks.graphqa import GraphQa
from protray.models.tasks.graphqa_config import GLOBAL, GraphQaConfig
from protray.training.tasks.quality.fit import fit, predict
from protray.training.tasks.quality.steps import QualityFitConfig


def test_ridge_by_hand() -> None:
    """y = 1 + 2 x, with a penalty that is small beside the spread of x; what nobody knows has 0."""
    x_NF = np.array([[1.0, -10.0], [1, 0], [1, 10]])
    found_FS = ridge(x_NF, np.array([[-19.0, np.nan], [1, np.nan], [21, np.nan]]))
    np.testing.assert_allclose(found_FS, [[1, 0], [2, 0]], atol=1e-3)


def test_scores_at_the_ends_have_finite_logits() -> None:
    some = decoys(4, 2)
    some[0].global_S[:] = 0.0
    some[1].global_S[:] = 1.0
    assert all(np.isfinite(fits_FS).all() for fits_FS in logit_fits(some))


def test_a_network_begins_with_the_fit() -> None:
    some = decoys(6, 2)
    local_FS, global_FS = logit_fits(some)
    torch.manual_seed(0)
    net = GraphQa(GraphQaConfig(layers=2))
    net.set_linear(local_FS, global_FS)
    for decoy, (local_LS, global_S) in zip(some, predict(net, some), strict=True):
        of_residues_LF, of_model_F = features(decoy)
        np.testing.assert_allclose(local_LS, 1 / (1 + np.exp(-of_residues_LF @ local_FS)), atol=1e-5)
        np.testing.assert_allclose(global_S, 1 / (1 + np.exp(-of_model_F @ global_FS)), atol=1e-5)


@pytest.mark.parametrize("linear", [True, False])
def test_the_fit_stays_with_the_weights(linear) -> None:
    """It is no weight that training changes; the paper's network has none."""
    some = decoys(3, 2)
    net, config = GraphQaConfig(layers=1, linear=linear), QualityFitConfig(epochs=1, batch=3, micro_batch=3)
    best = fit(net, Widths(), some, some, config, lambda *_: None)["best"]
    expected = logit_fits(some)[1] if linear else np.zeros_like(best["linear_global_FS"])
    np.testing.assert_array_equal(best["linear_global_FS"], expected)
    assert best["linear_global_FS"].shape[1] == len(GLOBAL)
