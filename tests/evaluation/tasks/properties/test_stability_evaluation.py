"""Rows of a table, with AUROC as scikit-learn gives it, and the linear fits."""

import numpy as np
import pytest

from protray.evaluation.tasks.properties.function_tables import markdown
from protray.evaluation.tasks.properties.stability import ranking_rows, stability_tables, value_rows
from protray.evaluation.tasks.properties.stability_baselines import (
    HYDROPATHY,
    VOLUME,
    choose_ridge,
    fit_ridge,
    substitution,
)
from protray.seq.alphabet import AMINO_ACIDS

pytestmark = pytest.mark.usefixtures("few_clusters")


def test_rankings_with_intervals_over_clusters() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    true_N = rng.random(200) < 0.3
    predictions = {"constant": np.zeros(200), "good": true_N + rng.normal(size=200)}
    rows = ranking_rows(predictions, true_N, [str(n // 10) for n in range(200)])
    assert rows[0]["auroc"] == 0.5 and rows[0]["auroc_ci95"] == [0.5, 0.5]
    assert rows[0]["aupr"] == pytest.approx(true_N.mean())
    assert rows[1]["auroc"] == pytest.approx(roc_auc_score(true_N, predictions["good"]))
    low, high = rows[1]["auroc_ci95"]
    assert low < rows[1]["auroc"] < high and low > 0.6 and rows[1]["clusters"] == 20
    assert markdown(stability_tables(rows)).startswith("| 200 test measurements in 20 clusters, ")
    assert ranking_rows(predictions, true_N, ["a"] * 200)[1]["auroc_ci95"] == [None, None]
    assert rows[0]["auroc_within"] == 0.5 and rows[1]["within"] == sum(
        0 < one.sum() < 10 for one in true_N.reshape(20, 10)
    )
    with pytest.raises(ValueError, match="all 200 test measurements are of one kind"):
        ranking_rows(predictions, np.zeros(200, bool), ["a"] * 200)


def test_rankings_within_clusters_by_hand() -> None:
    """Right in the first cluster and wrong in the second; the third has nothing to rank.  All together 4 of 8 pairs."""
    true_N = np.array([True, False, True, False, False, False])
    row = ranking_rows({"a": np.array([2.0, 1, 1, 2, 0, 3])}, true_N, list("aabbcc"))[0]
    assert (row["within"], row["auroc_within"], row["auroc_within_ci95"]) == (2, 0.5, [0.0, 1.0])
    assert row["auroc"] == pytest.approx(((1 + 0.5 + 1 + 0) + (0.5 + 0 + 1 + 0)) / 8)
    assert "| AUROC within clusters (n = 2) |" in markdown(stability_tables([row]))


def test_values_with_correlations_within_clusters() -> None:
    true_N = np.array([1.0, 2, 3, 11, 12, 13])
    rows = value_rows({"mean": np.full(6, 7.0), "reversed": -true_N}, true_N, list("aaabbb"))
    assert rows[0]["spearman"] is None and rows[0]["rmse"] == pytest.approx(np.sqrt(np.square(true_N - 7).mean()))
    assert rows[1]["spearman"] == pytest.approx(-1) == rows[1]["spearman_target"] and rows[1]["within"] == 2
    text = markdown(stability_tables(rows))
    assert "| reversed | – | -1.000 [-1.00, -1.00] |" in text and "Spearman within clusters (n = 2)" in text


def test_gains_are_paired() -> None:
    """Over the reference, and over the first embedding with the same read-out; what has no correlation has no gain."""
    rng = np.random.default_rng(0)
    true_N, clusters = rng.normal(size=300), [str(n // 10) for n in range(300)]
    near_N = true_N + rng.normal(size=300)
    found = {"mean": np.zeros(300), "base": rng.normal(size=300), "one, linear": near_N, "two, linear": near_N + 0.01,
             "three, linear": -near_N}  # fmt: skip
    rows = value_rows(found, true_N, clusters, reference="base", first="one")
    mean, base, one, two, three = rows
    assert "gain" not in mean and "gain" not in base and "gain_first" not in one
    assert one["gain"] == pytest.approx(one["spearman"] - base["spearman"]) and one["gain_ci95"][0] > 0.3
    assert two["gain_first"] == 0 and two["gain_first_ci95"] == pytest.approx([0, 0], abs=1e-9)
    assert three["gain_first"] == pytest.approx(-2 * one["spearman"])
    ((_, header, lines),) = stability_tables(rows, "base", "one")
    assert header[-2:] == ["gain in Spearman over base", "gain over one, same read-out"]
    assert lines[0][-2:] == ["–", "–"] and lines[3][-1].startswith("+0.000 [")
    ranked = ranking_rows(found, true_N > 0, clusters, reference="base", first="one")
    assert ranked[2]["gain"] == pytest.approx(ranked[2]["auroc"] - ranked[1]["auroc"]) and ranked[2]["gain_ci95"][0] > 0
    assert ranked[0]["gain"] == pytest.approx(0.5 - ranked[1]["auroc"])
    assert value_rows(found, true_N, ["a"] * 300, reference="base")[2]["gain_ci95"] == [None, None]


def test_features_of_a_substitution_by_hand() -> None:
    """A to W: BLOSUM62 -3; -0.9 - 1.8; 227.8 - 88.6; of two sites the sum."""
    one = substitution("A", "W")
    assert one[:5].tolist() == pytest.approx([-3, -2.7, 139.2, 2.7, 139.2])
    assert one[5 + AMINO_ACIDS.index("A")] == 1 == one[25 + AMINO_ACIDS.index("W")] and one[5:].sum() == 2
    assert substitution("AG", "WP") == pytest.approx(one + substitution("G", "P"))
    assert set(HYDROPATHY) == set(AMINO_ACIDS) == set(VOLUME)


def test_ridge_is_scikit_learns() -> None:
    """Its alpha is N times the penalty, on standardised features."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    x_NF = rng.normal(size=(60, 4)) * [1, 10, 0.1, 1]
    y_N = x_NF[:, 0] + rng.normal(size=60)
    scaled = StandardScaler().fit_transform(x_NF)
    theirs = Ridge(alpha=60 * 0.1).fit(scaled, y_N).predict(scaled)
    assert fit_ridge(x_NF, y_N, 0.1).predict(x_NF) == pytest.approx(theirs, abs=1e-6)


def test_the_penalty_is_the_validations_best() -> None:
    rng = np.random.default_rng(0)
    x_NF, y_N = rng.normal(size=(40, 20)), rng.normal(size=40)
    assert choose_ridge(x_NF[:20], y_N[:20], x_NF[20:], y_N[20:]).penalty == 10
    assert choose_ridge(x_NF[:20], x_NF[:20, 0], x_NF[20:], x_NF[20:, 0]).penalty == 1e-4
