"""Folds: accuracies by hand, gains on the same draws, and the nearest chain."""

import numpy as np
import pytest

from protray.evaluation.tasks.properties.cath import cath_rows, cath_tables, retrieval_rows, same_class
from protray.evaluation.tasks.properties.function_tables import markdown
from protray.plots.tasks.cath_report import write_cath_report
from protray.plots.tasks.function import scores_figure

pytestmark = pytest.mark.usefixtures("few_clusters")

LABEL_B = np.array([0, 0, 0, 2])
CLUSTERS = ["a", "a", "b", "c"]
HISTORY = {"net a": [{"epoch": 1, "train/loss": 1.0, "validation/loss": 1.1}]}


def scores(*labels: int) -> np.ndarray:
    """Of three classes, the highest for these."""
    return 0.1 + np.eye(3)[list(labels)]


def test_accuracies_by_hand() -> None:
    """Of 0 0 0 2 as 0 0 1 2 three are right, of class 0 two of three; class 1 has no chain and does not count."""
    (row,) = cath_rows({"net a": scores(0, 0, 1, 2)}, LABEL_B, CLUSTERS, ["net a"])
    assert (row["chains"], row["clusters"], row["classes"], row["read_out"]) == (4, 3, 2, "3-layer head")
    assert row["accuracy"] == 0.75 and row["balanced"] == pytest.approx((2 / 3 + 1) / 2)
    low, high = row["accuracy_ci95"]
    assert low == 0 and high == 1  # of cluster b alone none is right, of a and c all
    assert row["balanced_ci95"] == [0, 1] and "gain" not in row


def test_gains_are_over_the_first_with_the_same_read_out() -> None:
    found = {
        "majority": scores(0, 0, 0, 0), "log L, linear": scores(0, 0, 1, 1), "net a": scores(1, 1, 1, 1),
        "net a, linear": scores(0, 0, 1, 2), "net b": scores(0, 0, 1, 1), "net b, linear": scores(0, 0, 1, 2),
    }  # fmt: skip
    rows = {row["method"]: row for row in cath_rows(found, LABEL_B, CLUSTERS, ["net a", "net b"], "net a")}
    assert "gain" not in rows["majority"] and "gain" not in rows["net a"] and "gain" not in rows["net a, linear"]
    assert rows["log L, linear"]["gain"] == -0.25 and rows["net b"]["gain"] == 0.5
    assert rows["net b, linear"]["gain"] == 0 and rows["net b, linear"]["gain_ci95"] == [0, 0]  # paired
    low, high = rows["net b"]["gain_ci95"]
    assert low == 0 and high == 1


def test_intervals_draw_clusters() -> None:
    """Chains of one cluster are right or wrong together: the interval is that of 10 chains, not of 1,000."""
    rng = np.random.default_rng(0)
    label_B, right_B = np.arange(1000) % 5, np.repeat(rng.random(10) < 0.5, 100)
    found = {"net": np.eye(5)[np.where(right_B, label_B, (label_B + 1) % 5)]}
    (one,) = cath_rows(found, label_B, [str(n // 100) for n in range(1000)])
    (own,) = cath_rows(found, label_B, [str(n) for n in range(1000)])
    widths = [row["accuracy_ci95"][1] - row["accuracy_ci95"][0] for row in (one, own)]
    assert one["accuracy"] == own["accuracy"] == right_B.mean() and widths[0] > 5 * widths[1]
    assert one["balanced"] == pytest.approx(one["accuracy"])  # classes of one size
    (single,) = cath_rows(found, label_B, ["a"] * 1000)
    assert single["accuracy_ci95"] == [None, None] == single["balanced_ci95"]


def test_the_nearest_chain_by_hand() -> None:
    """Angles 0, 10, 180, 190 degrees: neighbours are pairs, unless they are of one cluster."""
    angle = np.deg2rad([0, 10, 180, 190])
    x_NF = np.column_stack([np.cos(angle), np.sin(angle)])
    label_N = np.array([0, 0, 1, 0])
    assert same_class(x_NF, label_N, list("abcd")).tolist() == [1, 1, 0, 0]
    apart = same_class(x_NF, label_N, list("aacd"))  # the first two have to take one of the others
    assert apart[2:].tolist() == [0, 0] and set(apart[:2]) <= {0, 1} and np.isfinite(apart).all()
    assert np.isnan(same_class(x_NF, label_N, list("aaaa"))).all()
    x_NF[1] = np.nan
    found = same_class(x_NF, label_N, list("abcd"))
    assert np.isnan(found[1]) and np.isfinite(found[[0, 2, 3]]).all()
    assert np.isnan(same_class(np.full((2, 2), np.nan), np.array([0, 0]), ["a", "b"])).all()


def test_many_chains_are_looked_at_in_parts() -> None:
    rng = np.random.default_rng(0)
    label_N = np.arange(1300) % 4
    x_NF = rng.normal(size=(1300, 8)) + 4 * np.eye(4, 8)[label_N]
    found = same_class(x_NF, label_N, [str(n) for n in range(1300)])
    z_NF = (x_NF - x_NF.mean(axis=0)) / x_NF.std(axis=0)
    z_NF /= np.linalg.norm(z_NF, axis=1, keepdims=True)
    cosine_NN = z_NF @ z_NF.T - 9 * np.eye(1300)
    assert (found == (label_N[cosine_NN.argmax(axis=1)] == label_N)).all() and 0.9 < found.mean() < 1


def test_retrieval_counts_what_both_have() -> None:
    """Of the four chains b has no vector of the third: 1 + 0 - 0 - 1 over three."""
    same = {"a": np.array([0.0, 1, 1, 0]), "b": np.array([1.0, 0, np.nan, 0])}
    first, second = retrieval_rows(same, list("abcd"), "a")
    assert (first["agreement"], first["chains"], first["clusters"]) == (0.5, 4, 4) and "gain" not in first
    assert second["agreement"] == pytest.approx(1 / 3) and second["chains"] == 3 and second["gain"] == 0
    low, high = second["gain_ci95"]
    assert -1 <= low < 0 < high <= 1
    (none,) = retrieval_rows({"c": np.full(4, np.nan)}, list("abcd"))
    assert none["agreement"] is None and none["agreement_ci95"] == [None, None]


def test_tables_and_the_page(tmp_path) -> None:
    found = {"majority": scores(0, 0, 0, 0), "net a": scores(0, 0, 1, 2), "net a, linear": scores(0, 0, 0, 2)}
    rows = cath_rows(found, LABEL_B, CLUSTERS, ["net a"])
    same = retrieval_rows({"net a": np.array([0.0, 1, 1, 0])}, CLUSTERS)
    tables = cath_tables(rows, same, "topology", None)
    lines = markdown(tables).splitlines()
    assert lines[0] == (
        "| 4 test chains in 3 clusters, 2 topologies | read-out | accuracy | balanced accuracy | gain, same read-out |"
    )
    assert lines[2].startswith("| majority | – | 0.750 [") and lines[4].startswith("| net a | linear | 1.000 [1.00, 1")
    assert lines[6] == "| nearest of 4 chains in 3 clusters | chains | same topology | gain |"
    assert lines[8].startswith("| net a | 4 | 0.500 [")
    write_cath_report(tmp_path / "r.html", "protray: folds", rows, tables, HISTORY, {"lm": "<b>"})
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") == 2 and "&lt;b&gt;" in page
    assert "net a, linear has the most right: accuracy 1.000" in page
    assert len(scores_figure(rows, "accuracy", "accuracy").axes[0].containers) == 3
