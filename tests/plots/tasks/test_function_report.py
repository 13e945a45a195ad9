"""Tables and report of a function run: what they say of which method, and parts of the test split."""

import numpy as np
import pytest

from protray.evaluation.tasks.properties.function_tables import function_rows, function_tables, markdown
from protray.plots.tasks.function import losses_figure, precision_recall_figure, sets_figure
from protray.plots.tasks.function_report import headline, write_function_report

HISTORY = [
    {"epoch": 1, "train/loss": 0.4, "validation/loss": 0.5},
    {"epoch": 2, "train/loss": 0.3, "validation/loss": 0.4},
]
CLUSTERS = [str(n) for n in range(40)]
SETS = [["identity < 30 %"]] * 12 + [["identity < 95 %"]] * 12 + [[]] * 15 + [["rare"]]


@pytest.fixture
def found() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Forty proteins with five labels; one method guesses, one is nearly right."""
    rng = np.random.default_rng(0)
    true_BT = rng.random((40, 5)) < 0.3
    true_BT[:, 0] |= ~true_BT.any(axis=1)
    guess_BT = rng.random((40, 5))
    return {"base": guess_BT, "language model": 0.2 * guess_BT + 0.8 * true_BT}, true_BT


def test_rows_of_the_split_and_of_its_parts(found) -> None:
    predictions, true_BT = found
    rows = function_rows(predictions, true_BT, CLUSTERS, SETS, {"base": 0.5, "language model": 0.5}, "base")
    assert [(row["set"], row["method"]) for row in rows[::2]] == [
        ("test", "base"), ("identity < 30 %", "base"), ("identity < 95 %", "base"),
    ]  # fmt: skip  # one protein is too few for a part
    assert rows[1]["gain"] == pytest.approx(rows[1]["fmax"] - rows[0]["fmax"]) and rows[1]["gain_ci95"][0] > 0
    assert "gain" not in rows[0] and rows[2]["proteins"] == 12
    text = markdown(function_tables(rows, "base"))
    assert text.startswith("| 40 test proteins in 40 clusters, 5 labels | read-out | Fmax |")
    assert "identity < 30 % (n = 12)" in text and "| language model | – | 1.000 [1.00, 1.00]" in text


def test_the_headline_says_who_is_ahead(found) -> None:
    predictions, true_BT = found
    thresholds = {"base": 0.5, "language model": 0.5}
    rows = function_rows(predictions, true_BT, CLUSTERS, SETS, thresholds, "base")
    assert "language model is the best: Fmax 1.000" in headline(rows, "base") and "ahead of base by" in headline(
        rows, "base"
    )
    worse = {"base": predictions["language model"], "language model": predictions["base"]}
    rows = function_rows(worse, true_BT, CLUSTERS, SETS, thresholds, "base")
    assert headline(rows, "base").endswith("No head on an embedding is ahead of it.")
    same = {"base": predictions["base"], "language model": predictions["base"] + 1e-9 * true_BT}
    rows = function_rows(same, true_BT, CLUSTERS, SETS, thresholds, "base")
    assert "is not told apart from base" in headline(rows, "base") or "No head" in headline(rows, "base")


def test_the_page_and_its_figures(found, tmp_path) -> None:
    predictions, true_BT = found
    rows = function_rows(predictions, true_BT, CLUSTERS, SETS, {"base": 0.5, "language model": 0.5}, "base")
    histories = {"language model": HISTORY}
    write_function_report(
        tmp_path / "r.html", "protray: EC numbers", predictions, true_BT, rows, histories, {"lm": "<b>x"}, "base"
    )  # fmt: skip
    page = (tmp_path / "r.html").read_text()
    assert (
        page.count("<img") == 3 and "&lt;b&gt;x" in page and page.index("Precision and recall") < page.index("<table")
    )
    figure = precision_recall_figure(predictions, true_BT)
    assert len(figure.axes[0].lines) == 4 + 2 * 2  # lines of equal F, and a curve and a dot for each method
    assert len(sets_figure(rows).axes[0].containers) == 2
    assert len(losses_figure(histories).axes[0].lines) == 2
