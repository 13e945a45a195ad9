"""Measures of interaction sites: by hand, against scikit-learn, and what a bootstrap draws."""

import numpy as np
import pytest
from sklearn import metrics

from protray.evaluation.bootstrap import cluster_draws
from protray.evaluation.tasks.sites.scores import (
    Scored,
    areas,
    average_precision,
    best_threshold,
    measured,
    rates,
)


def test_rates_by_hand() -> None:
    """30 of 40 sites found among 50 calls: P 0.6, R 0.75, MCC (30 * 40 - 20 * 10) / sqrt(50 * 40 * 60 * 50)."""
    found = rates(*np.array([30.0, 20, 10, 40]))
    assert found["acc"] == pytest.approx(0.7) and found["precision"] == pytest.approx(0.6)
    assert found["recall"] == pytest.approx(0.75) and found["f"] == pytest.approx(2 * 0.6 * 0.75 / 1.35)
    assert found["mcc"] == pytest.approx(1000 / 6_000_000**0.5)


def test_every_residue_a_site() -> None:
    """F = 2 s / (1 + s), which is 0.330 on DeepPPISP's test set, where s = 0.198; its MCC is no number, so 0."""
    found = rates(*np.array([198.0, 802, 0, 0]))
    assert found["f"] == pytest.approx(2 * 0.198 / 1.198) == pytest.approx(0.3306, abs=1e-4)
    assert found["mcc"] == 0 and found["recall"] == 1


@pytest.mark.parametrize("decimals", [1, 6])
def test_parity_with_scikit_learn(decimals) -> None:
    """Also with many equal scores."""
    rng = np.random.default_rng(0)
    site_N = rng.random(500) < 0.2
    score_N = (rng.standard_normal(500) + site_N).round(decimals)
    scored = Scored(score_N, site_N, np.zeros(500, int))
    found = {name: float(value[0]) for name, value in measured(scored, 0.5, np.ones((1, 1))).items()}
    called_N = score_N >= 0.5
    assert found["acc"] == pytest.approx(metrics.accuracy_score(site_N, called_N))
    assert found["precision"] == pytest.approx(metrics.precision_score(site_N, called_N))
    assert found["recall"] == pytest.approx(metrics.recall_score(site_N, called_N))
    assert found["f"] == pytest.approx(metrics.f1_score(site_N, called_N))
    assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(site_N, called_N))
    assert found["auprc"] == pytest.approx(metrics.average_precision_score(site_N, score_N))
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(site_N, score_N))
    every = [metrics.f1_score(site_N, score_N >= threshold) for threshold in np.unique(score_N)]
    assert found["f_test"] == pytest.approx(max(every))
    assert metrics.f1_score(site_N, score_N >= best_threshold(score_N, site_N)) == pytest.approx(max(every))


def test_weights_are_repeated_residues() -> None:
    rng = np.random.default_rng(1)
    site_N, score_N, times_N = rng.random(60) < 0.3, rng.random(60).round(1), rng.integers(0, 3, 60)
    weighted = areas(score_N, site_N, times_N[None].astype(float))
    again = np.repeat(site_N, times_N), np.repeat(score_N, times_N)
    assert weighted["auprc"][0] == pytest.approx(metrics.average_precision_score(*again))
    assert weighted["auroc"][0] == pytest.approx(metrics.roc_auc_score(*again))


def test_draws_take_whole_clusters(few_clusters) -> None:
    """Two clusters, in one all is right and in the other all is wrong: every draw is one of three accuracies."""
    scores = [np.array([0.9, 0.1]), np.array([0.9, 0.1])]
    labels = [np.array([1, 0]), np.array([0, 1])]
    scored = Scored.of(scores, labels, ["a", "b"])
    found = measured(scored, 0.5, cluster_draws(2))["acc"]
    assert set(found.tolist()) == {0.0, 0.5, 1.0} and len(found) == 1000


def test_residues_without_a_label_count_nowhere() -> None:
    scored = Scored.of([np.array([0.9, 0.8, 0.1])], [np.array([1, -1, 0])], ["a"])
    assert scored.score_N.tolist() == [0.9, 0.1] and scored.site_N.tolist() == [True, False]


def test_without_a_site_there_is_no_area() -> None:
    assert np.isnan(average_precision(np.array([0.1, 0.2]), np.array([False, False])))


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="2 scores for 1 residues"):
        Scored.of([np.array([0.1, 0.2])], [np.array([1])], ["a"])
    with pytest.raises(ValueError, match="0 residues have labels"):
        Scored.of([np.array([0.1])], [np.array([-1])], ["a"])
    with pytest.raises(ValueError, match="1 residues have labels, and 0 finite scores"):
        Scored.of([np.array([np.nan])], [np.array([1])], ["a"])
