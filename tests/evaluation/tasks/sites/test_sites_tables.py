"""The table of interaction sites, and its baselines."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sites_here import proteins
from sklearn.linear_model import LogisticRegression

from protray.data.sites.batch import FeatureSet
from protray.evaluation.tasks.sites.baselines import best_logistic, fit_logistic, windows
from protray.evaluation.tasks.sites.tables import Trained, markdown, measures_of, site_tables

pytestmark = pytest.mark.usefixtures("few_clusters")


def guesses(of: list, seed: int, strength: float) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random(len(one.sequence)) + strength * one.label_L for one in of]


def test_mean_and_spread_over_trainings() -> None:
    some = proteins(6)
    trainings = [Trained(guesses(some, seed, 0.3), 0.8) for seed in range(3)]
    better = [Trained(guesses(some, seed, 0.9), 0.9) for seed in range(3)]
    rows, gains = site_tables(some, {"one": trainings, "other": better}, "one")
    each = [measures_of(some, one) for one in trainings]
    for name in ("f", "mcc", "auprc", "acc_test"):
        values = [found[name] for found in each]
        assert rows[0][name] == pytest.approx(np.mean(values))
        assert rows[0][f"{name}_sd"] == pytest.approx(np.std(values, ddof=1))
        low, high = rows[0][f"{name}_ci95"]
        assert low < rows[0][name] < high
    assert rows[0]["trainings"] == 3 and rows[0]["proteins"] == rows[0]["clusters"] == 6
    gain = {row["column"]: row for row in gains}["auprc"]
    assert gain["gain"] == pytest.approx(rows[1]["auprc"] - rows[0]["auprc"]) and gain["gain_ci95"][0] > 0
    text = markdown(rows, gains)
    assert "mean ± sd of 3 trainings" in text and "gain over one" in text and f"{rows[1]['f']:.3f} [" in text


def test_one_training_has_no_spread_and_one_protein_no_interval() -> None:
    some = proteins(1)
    rows, gains = site_tables(some, {"one": [Trained(guesses(some, 0, 0.5), 0.5)]}, "one")
    assert rows[0]["f_sd"] is None and gains == [] and rows[0]["f_ci95"] == [None, None]
    assert "±" not in markdown(rows, gains)


def test_windows_are_zero_beyond_the_ends() -> None:
    (one,) = proteins(1, length=5)
    found = windows(one, FeatureSet(), 3)
    assert found.shape == (len(one.sequence), 61)
    assert not found[0, :20].any() and not found[-1, 40:60].any()
    assert (found[1, :20] == found[0, 20:40]).all() and found[:, 20:40].sum() == len(one.sequence)
    assert found[:, 60] == pytest.approx(np.log(len(one.sequence)))


def test_logistic_regression_agrees_with_scikit_learn() -> None:
    """Whose C is 1 / (N lambda)."""
    some, penalty = proteins(30), 1e-2
    torch.manual_seed(0)
    fitted = fit_logistic(some, FeatureSet(), 1, penalty)
    x_NF = np.concatenate([windows(one, FeatureSet(), 1) for one in some])
    y_N = np.concatenate([one.label_L for one in some])
    x_NF = (x_NF - fitted.mean_F) / fitted.deviation_F
    other = LogisticRegression(C=1 / (len(y_N) * penalty), tol=1e-8, max_iter=1000).fit(x_NF, y_N)
    np.testing.assert_allclose(fitted.weight_F, other.coef_[0], atol=5e-3)
    assert fitted.bias == pytest.approx(other.intercept_[0], abs=5e-3)


def test_the_best_logistic_regression_finds_what_residue_types_tell() -> None:
    chosen = best_logistic(proteins(40), proteins(10, start=100))
    some = proteins(10, start=200)
    assert measures_of(some, Trained(chosen.predict(some), 0.5))["auprc"] > 0.95


def test_unlabelled_residues_are_left_out_of_the_fit() -> None:
    some = proteins(10)
    hidden = [replace(one, label_L=np.where(np.arange(len(one.label_L)) == 3, -1, one.label_L)) for one in some]
    kept = [one.label_L[one.known_L] for one in hidden]
    assert sum(map(len, kept)) == sum(len(one.sequence) for one in some) - 10
    assert np.isfinite(fit_logistic(hidden, FeatureSet(), 3, 1e-2).weight_F).all()
