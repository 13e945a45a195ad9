"""The report of a sweep: everything it promises is in it, for any kind of settings."""

from dataclasses import replace

import numpy as np
import pytest

from protray.evaluation.sweep import Scored, half_sizes, main_effects, trial_rows
from protray.evaluation.sweep_comparison import conclusion, repeat_rows
from protray.plots.sweep.sweep_figures import curves, curves_figure, pair_means, parallel_figure
from protray.plots.sweep.sweep_report import headline, notes, write_sweep_report

METRIC = "validation/q3"


def trial(alpha: float, kind: str, score: float, seed: int = 0, paper: bool = False) -> Scored:
    point = {"weights.alpha": alpha, "enhance.kind": kind, "fit.anneal": alpha > 0.3}
    values = {f"p{n}": score + 0.02 * (n % 3 - 1) for n in range(60)}
    return Scored(
        name=("paper: " if paper else "") + f"alpha={alpha} kind=<{kind}>" + (f" seed={seed}" if seed else ""),
        point=point, seed=seed, score=score, values=values, paper=paper,
        objectives={"Q3 at > 60 homologs": score, "Q3 without homologs": 1 - score},
        history=[{"step": step, METRIC: score * step / 9, "validation/loss": 1 / step} for step in (3, 6, 9)],
    )  # fmt: skip


TRIALS = [trial(0.16, "x", 0.6, paper=True), trial(0.4, "x", 0.7), trial(0.4, "y", 0.5), trial(0.88, "y", 0.65)]


def metrics_of(trials: list[Scored]) -> dict:
    again = [
        *(trial(0.16, "x", 0.6 + 0.01 * n, n, paper=True) for n in (1, 2)),
        *(trial(0.4, "x", 0.7 + 0.01 * n, n) for n in (1, 2)),
    ]
    found = {"metric": METRIC, "mode": "max", "facts": {"seed": "0"}, "table": trial_rows(trials, "max")}
    found |= {"effects": main_effects(trials), "repeats": repeat_rows(again, "max")}
    found["not_finished"] = [{"name": "alpha=9", "status": "failed", "score": None, "reason": "loss is <nan>"}]
    found |= {"halves": half_sizes(trials[0]), "scored": "validation proteins"}
    return found | {"conclusion": conclusion(found["repeats"], METRIC, "max")}


def test_report_holds_everything(tmp_path) -> None:
    metrics = metrics_of(TRIALS)
    write_sweep_report(tmp_path / "r.html", TRIALS, metrics, frozenset({"weights.alpha"}))
    page = (tmp_path / "r.html").read_text()
    for heading in (
        "Trials", "Trained again with new seeds", "Main effects", "Curves", "Parallel coordinates", "Any two settings",
        "Not finished",
        "Q3 at &gt; 60 homologs against Q3 without homologs", "★ paper",
    ):  # fmt: skip
        assert heading in page
    assert "loss is &lt;nan&gt;" in page and "<nan>" not in page
    assert page.count("data:image/") == 6


def test_headline_says_where_the_paper_stands() -> None:
    first, second = headline(metrics_of(TRIALS))
    assert first.startswith("Best of 4 trials on the 30 validation proteins that choose: alpha=0.4")
    assert "number 3 of them with 0.6000" in first
    assert "trained again with 2 new seeds each" in second


def test_notes_say_how_many_proteins_choose_and_how_many_confirm() -> None:
    halves = {"choosing": {"proteins": 61, "clusters": 40}, "confirming": {"proteins": 59, "clusters": 38}}
    first = notes(halves, "old chains")[0]
    assert first.startswith("All scores are of old chains.")
    assert "61 proteins in 40 clusters" in first and "59 proteins in 38 clusters" in first


def test_pair_means_by_hand() -> None:
    """alpha 0.16, 0.4, 0.88 across; x, y up."""
    expected = [[0.6, 0.7, np.nan], [np.nan, 0.5, 0.65]]
    np.testing.assert_allclose(pair_means(TRIALS, "weights.alpha", "enhance.kind"), expected)


def test_parallel_lines_span_their_axes() -> None:
    figure = parallel_figure(TRIALS, METRIC, frozenset({"weights.alpha"}))
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    heights = np.array([line.get_ydata() for line in lines])
    assert (
        heights.shape == (4, 4) and heights.min(axis=0) == pytest.approx(0) and heights.max(axis=0) == pytest.approx(1)
    )
    assert [line.get_linestyle() for line in lines].count("--") == 1


def test_curves_have_the_colour_of_the_first_setting() -> None:
    """Alpha 0.16, 0.4 twice, 0.88; the paper's is dashed.  Without a curve of all trials nothing is drawn."""
    names = curves(TRIALS, METRIC)
    assert names == [METRIC, "validation/loss"]
    score, loss = curves_figure(TRIALS, names).axes
    lines = {tuple(line.get_ydata()): line for line in score.lines}
    assert {tuple(round(y, 6) for y in ys) for ys in lines} == {
        tuple(round(one.score * step / 9, 6) for step in (3, 6, 9)) for one in TRIALS
    }
    assert [line.get_linestyle() for line in score.lines] == ["--", "-", "-", "-"]
    assert len({line.get_color() for line in score.lines}) == 3
    assert score.lines[1].get_color() == score.lines[2].get_color()
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["0.16", "0.4", "0.88"]
    assert curves([*TRIALS, replace(TRIALS[0], history=[])], METRIC) == []


@pytest.mark.parametrize("trials", [[TRIALS[0]], TRIALS[:2]])
def test_few_trials_are_drawn_too(tmp_path, trials) -> None:
    metrics = metrics_of(trials) | {"repeats": [], "not_finished": [], "conclusion": conclusion([], METRIC, "max")}
    write_sweep_report(tmp_path / "r.html", trials, metrics, frozenset())
    assert "Best of" in (tmp_path / "r.html").read_text()
