"""Columns of Table 1 by hand, against SciPy, and for predictions that say nothing."""

import itertools

import numpy as np
import pytest
from scipy import stats

from protray.evaluation.bootstrap import correlation_draws, correlation_interval
from protray.evaluation.tasks.quality.scores import expected_best, global_row, local_row, pearson, ranks

pytestmark = pytest.mark.usefixtures("few_clusters")

# two targets of three decoys; the second prediction has the order of target b reversed
TRUE = np.array([0.2, 0.4, 0.9, 0.1, 0.2, 0.3])
PREDICTED = np.array([0.2, 0.5, 0.8, 0.3, 0.2, 0.1])
TARGETS = list("aaabbb")


def test_global_by_hand() -> None:
    """Errors 0, .1, -.1, .2, 0, -.2.  b: r = -1.  Top of a is its best: z = (.9 - .5) / sd; of b its worst."""
    row = global_row(PREDICTED, TRUE, TARGETS)
    assert row["rmse"] == pytest.approx(np.sqrt((0.01 + 0.01 + 0.04 + 0.04) / 6))
    of_a = stats.pearsonr(PREDICTED[:3], TRUE[:3]).statistic
    assert row["r_target"] == pytest.approx((of_a - 1) / 2)
    assert row["spearman_target"] == pytest.approx(0)  # +1 and -1
    sd_a, sd_b = np.sqrt((0.09 + 0.01 + 0.16) / 3), np.sqrt((0.01 + 0 + 0.01) / 3)
    assert row["z"] == pytest.approx((0.4 / sd_a - 0.1 / sd_b) / 2)
    assert row["frl5"] == 0  # three decoys, of which five are looked at
    assert (row["decoys"], row["targets"], row["skipped"], row["alike"]) == (6, 2, 0, 0)


def test_first_ranked_loss_by_hand() -> None:
    """Of seven decoys the best one, 0.9, is predicted last but one: the best of the other five is 0.6."""
    true_N = np.array([0.9, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    predicted_N = np.array([0.15, 0.9, 0.8, 0.7, 0.6, 0.5, 0.1])
    assert global_row(predicted_N, true_N, ["a"] * 7)["frl5"] == pytest.approx(0.3)


def test_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    true_N = rng.random(200).round(2)  # with ties
    predicted_N = (true_N + rng.normal(0, 0.2, 200)).round(2)
    targets = [f"t{n // 20}" for n in range(200)]
    row = global_row(predicted_N, true_N, targets)
    assert row["r"] == pytest.approx(stats.pearsonr(predicted_N, true_N).statistic)
    assert row["spearman"] == pytest.approx(stats.spearmanr(predicted_N, true_N).statistic)
    parts = [slice(20 * n, 20 * n + 20) for n in range(10)]
    for name, measure in (("r_target", stats.pearsonr), ("spearman_target", stats.spearmanr)):
        each = [measure(predicted_N[part], true_N[part]).statistic for part in parts]
        assert row[name] == pytest.approx(np.mean(each))
    z = [stats.zscore(true_N[part])[predicted_N[part].argmax()] for part in parts]
    assert [row["z"] <= max(z), row["z"] >= min(z)] == [True, True]
    np.testing.assert_allclose(ranks(true_N), stats.rankdata(true_N))
    for name in ("rmse", "r", "r_target", "spearman", "spearman_target", "z", "frl5"):
        low, high = row[f"{name}_ci95"]
        assert low < row[name] < high


def test_order_of_decoys_is_of_no_matter() -> None:
    rng = np.random.default_rng(1)
    order = rng.permutation(6)
    shuffled = global_row(PREDICTED[order], TRUE[order], [TARGETS[n] for n in order])
    plain = global_row(PREDICTED, TRUE, TARGETS)
    assert {name: shuffled[name] for name in ("rmse", "r", "z")} == pytest.approx(
        {name: plain[name] for name in ("rmse", "r", "z")}
    )


def test_a_constant_prediction_is_defined() -> None:
    """No correlation, which is counted; z = 0; and the loss of five of six decoys by chance: 1 / 6 miss the best."""
    true_N = np.array([0.9, 0.5, 0.4, 0.3, 0.2, 0.1])
    row = global_row(np.full(6, 0.4), true_N, ["a"] * 6)
    assert (row["r"], row["r_target"], row["spearman"], row["skipped"]) == (None, None, None, 1)
    assert row["z"] == pytest.approx(0)
    assert row["frl5"] == pytest.approx((0.9 - 0.5) / 6)
    assert row["r_ci95"] == [None, None]


def test_a_mean_of_each_target_says_nothing_of_its_decoys() -> None:
    row = global_row(np.array([0.5] * 3 + [0.2] * 3), TRUE, TARGETS)
    assert row["r_target"] is None and row["skipped"] == 2
    assert row["r"] is not None


def test_targets_of_equal_decoys_have_no_z() -> None:
    row = global_row(np.array([0.1, 0.2, 0.3]), np.full(3, 0.5), ["a"] * 3)
    assert (row["z"], row["alike"], row["skipped"], row["frl5"]) == (None, 1, 1, 0)


@pytest.mark.parametrize("top", [1, 2, 5])
def test_ties_are_the_mean_over_their_orders(top) -> None:
    predicted_N = np.array([0.5, 0.7, 0.5, 0.5, 0.1])
    true_N = np.array([0.3, 0.1, 0.8, 0.6, 0.9])
    found = []
    for order in itertools.permutations(range(5)):
        first = sorted(order, key=lambda n: -predicted_N[n])[:top]
        found.append(true_N[first].max())
    assert expected_best(predicted_N, true_N, top) == pytest.approx(np.mean(found))


def test_local_by_hand() -> None:
    """Decoy 1: perfect order, decoy 2: reversed, decoy 3: constant, which has no correlation."""
    true_N = np.array([0.1, 0.5, 0.9, 0.2, 0.4, 0.6, 0.3, 0.4, 0.5])
    predicted_N = np.array([0.2, 0.3, 0.4, 0.9, 0.8, 0.7, 0.5, 0.5, 0.5])
    decoys, targets = list("111222333"), list("aaaabbbbb")
    targets[3] = "b"
    row = local_row(predicted_N, true_N, decoys, targets)
    assert row["rho_decoy"] == pytest.approx(0)
    assert row["rho"] == pytest.approx(stats.spearmanr(predicted_N, true_N).statistic)
    assert (row["residues"], row["decoys"], row["skipped"]) == (9, 3, 1)
    assert row["rho_decoy_ci95"] == [-1, 1]


def test_local_of_constants_only() -> None:
    row = local_row(np.full(4, 0.5), np.array([0.1, 0.2, 0.3, 0.4]), ["1"] * 4, ["a"] * 4)
    assert (row["rho"], row["rho_decoy"], row["skipped"]) == (None, None, 1)


def test_correlation_of_two_or_of_constants_is_none() -> None:
    assert pearson(np.array([1.0, 2]), np.array([1.0, 2])) is None
    assert pearson(np.array([1.0, 2, 4]), np.array([3.0, 2, 1])) == pytest.approx(-0.9819805)


def test_interval_of_a_correlation_draws_whole_clusters() -> None:
    """Against draws by hand: concatenate the clusters drawn and take SciPy's correlation."""
    rng = np.random.default_rng(2)
    x_N = rng.standard_normal(120)
    y_N = x_N + rng.standard_normal(120)
    clusters = [f"c{n // 10}" for n in range(120)]
    found = []
    for _ in range(2000):
        rows = np.concatenate([np.arange(10 * c, 10 * c + 10) for c in rng.integers(12, size=12)])
        found.append(stats.pearsonr(x_N[rows], y_N[rows]).statistic)
    assert correlation_interval(x_N, y_N, clusters) == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.015)
    assert np.isnan(correlation_interval(x_N, y_N, ["one"] * 120)).all()


def test_draws_without_a_correlation_are_left_out() -> None:
    """Of three clusters one has a single prediction: a draw of it alone has none, whatever its sums round to."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(["a", "b", "c"], 5)
    for _ in range(50):
        x_N, y_N = rng.normal(size=15), rng.normal(size=15)
        x_N[:5] = rng.normal() * 10
        found_D = correlation_draws(x_N, y_N, clusters)
        assert 0.02 < np.isnan(found_D).mean() < 0.06  # 1 in 27
        assert np.nanmax(np.abs(found_D)) <= 1 + 1e-9
        assert np.isfinite(correlation_interval(x_N, y_N, clusters)).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 predictions, 2 true scores"):
        global_row(np.ones(1), np.ones(2), ["a", "b"])
    with pytest.raises(ValueError, match="not finite"):
        global_row(np.array([np.nan]), np.ones(1), ["a"])
