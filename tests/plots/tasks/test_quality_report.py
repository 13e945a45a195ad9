"""The report of a quality run: what it says, and which decoy it shows."""

from dataclasses import replace

import numpy as np
import pytest
from decoys_here import decoys

from protray.evaluation.tasks.quality.tables import kind_rows, quality_rows
from protray.plots.tasks.quality import curves_figure, profile_figure, scatter_figure
from protray.plots.tasks.quality_report import example, headline, write_quality_report

pytestmark = pytest.mark.usefixtures("few_clusters")

HISTORY = [{"epoch": 2, "train/loss": 0.4, "validation/loss": 0.5, "validation/gdt_ts_rmse": 0.2},
           {"epoch": 4, "train/loss": 0.3, "validation/loss": 0.4, "validation/gdt_ts_rmse": 0.1}]  # fmt: skip


def guesses(some) -> dict:  # noqa: ANN001
    """A constant, and the truth off by a tenth."""
    rng, near = np.random.default_rng(0), []
    for one in some:
        noise_LS = rng.normal(0, 0.1, one.local_LS.shape)
        near.append((np.nan_to_num(one.local_LS) + noise_LS, np.nan_to_num(one.global_S) + 0.1))
    constant = [(np.full_like(one.local_LS, 0.5), np.full_like(one.global_S, 0.5)) for one in some]
    return {"constant": constant, "GraphQA": near}


@pytest.mark.parametrize("derived", [True, False])
def test_the_page_says_what_the_decoys_are(tmp_path, derived) -> None:
    some = decoys(3, 6)
    found = guesses(some)
    rows, kinds, facts = quality_rows(some, found), kind_rows(some, found), {"lm": "<b>none"}
    write_quality_report(tmp_path / "r.html", some, found, rows, kinds, {"GraphQA": HISTORY}, facts, derived=derived)
    page = (tmp_path / "r.html").read_text()
    assert ("derived from native structures" in page) == derived
    assert page.count("<img") == 3 and "Error by kind of decoys" in page and "&lt;b&gt;none" in page
    assert "GraphQA has the lowest error of GDT_TS, 0.100" in page


def test_headline_of_constants_only() -> None:
    some = decoys(3, 6)
    rows = quality_rows(some, {"constant": guesses(some)["constant"]})
    assert headline(rows).endswith("].") and "Spearman" not in headline(rows)


def test_the_decoy_that_is_shown_is_of_middling_quality() -> None:
    some = [replace(one, global_S=np.full(5, n / 9, np.float32)) for n, one in enumerate(decoys(3, 3))]
    assert 3 <= example(some) <= 5
    assert example(some[:1]) == 0


def test_figures_draw_every_method_and_kind() -> None:
    figure = scatter_figure(np.array([0.1, 0.5]), {"a": np.array([0.2, 0.4]), "b": np.array([0.2, 0.4])}, ["x", "y"])
    assert [len(ax.lines) for ax in figure.axes] == [3, 3]  # two kinds and the diagonal
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b"]
    true_L = np.array([0.5, np.nan, 0.7])
    figure = profile_figure(true_L, {"a": np.array([0.5, 0.6, 0.7])}, np.array([0, 1, 5]))
    assert figure.axes[0].lines[1].get_xdata().tolist() == [1, 2, 6]
    figure = curves_figure({"a": HISTORY, "b": HISTORY[:1]})
    assert [len(ax.lines) for ax in figure.axes] == [4, 2]
