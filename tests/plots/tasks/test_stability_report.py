"""The report of a stability run: what it says, and its figures."""

import numpy as np

from protray.evaluation.tasks.properties.stability import ranking_rows, stability_tables, value_rows
from protray.plots.tasks.stability import roc_figure, values_figure
from protray.plots.tasks.stability_report import _named as named
from protray.plots.tasks.stability_report import headline, write_stability_report

HISTORY = {"language model": [{"epoch": 1, "train/loss": 1.0, "validation/loss": 1.1}]}


def test_numbers(tmp_path) -> None:
    rng = np.random.default_rng(0)
    true_N, clusters = rng.normal(size=60), [str(n // 6) for n in range(60)]
    found = {"training mean": np.zeros(60), "language model": true_N + rng.normal(size=60)}
    rows = value_rows(found, true_N, clusters, heads=["language model"])
    write_stability_report(tmp_path / "r.html", "t", found, true_N, rows, stability_tables(rows), HISTORY, {"a": "<b>"})
    assert named(rows[1]) == "language model, 3-layer head" and named(rows[0]) == "training mean"
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") == 3 and "&lt;b&gt;" in page and "language model has the highest Spearman" in page
    many = {f"method {n}": true_N + n for n in range(8)}
    shown = [ax.get_title(loc="left") for ax in values_figure(many, true_N).axes if ax.get_visible()]
    assert shown == list(many)[:6]
    assert [ax.get_title(loc="left") for ax in values_figure(found, true_N).axes if ax.get_visible()] == list(found)
    panel = values_figure({"far": true_N + 9}, true_N).axes[0]
    assert panel.get_xlim()[0] < true_N.min() and panel.get_ylim()[1] > true_N.max() + 9  # no point is cut off
    assert headline(rows[:1], None) == "No method tells the test measurements apart."


def test_equal_measurements_are_told_apart_by_nothing(tmp_path) -> None:
    """No correlation, so no figure of any."""
    true_N = np.ones(6)
    found = {"training mean": np.zeros(6), "language model": np.arange(6.0)}
    rows = value_rows(found, true_N, list("aabbcc"))
    write_stability_report(tmp_path / "r.html", "t", found, true_N, rows, stability_tables(rows), HISTORY, {})
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") == 1 and "No method tells the test measurements apart." in page


def test_rankings(tmp_path) -> None:
    rng = np.random.default_rng(0)
    true_N = rng.random(60) < 0.3
    found = {"substitution": rng.random(60), "score net": true_N.astype(float)}
    rows = ranking_rows(found, true_N, [str(n) for n in range(60)])
    write_stability_report(
        tmp_path / "r.html",
        "t",
        found,
        true_N.astype(float),
        rows,
        stability_tables(rows),
        HISTORY,
        {},
        "substitution",
    )
    assert (
        "score net has the highest AUROC: 1.000 [1.00, 1.00]; substitution has 0." in (tmp_path / "r.html").read_text()
    )
    lines = roc_figure(found, true_N).axes[0].lines
    assert lines[1].get_ydata().tolist() == [0, 1, 1] and lines[1].get_xdata().tolist() == [0, 0, 1]
