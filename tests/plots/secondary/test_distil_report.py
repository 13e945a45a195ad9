"""The report of a distillation run: its sentences, its tables, and every section."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from protray.evaluation.baselines import TRIVIAL
from protray.evaluation.bins import DISJOINT_BINS
from protray.evaluation.tables import LabelledProteins, bin_rows, gain_rows, table_rows
from protray.plots.secondary.distil_report import confusion_table, headline, write_distil_report

EVIL = '<script>alert("x")</script>'


def small_figure() -> Figure:
    figure = Figure()
    figure.subplots().plot([0, 1])
    return figure


def gain(low: float | None, high: float | None, most: int = 60, n: int = 20) -> dict:
    return {
        "by": "count", "max": most, "above": None, "n": n, "method": "protray", "reference": "Real",
        "gain": 0.02, "ci95": [low, high],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ((0.01, 0.03), "better, the interval excludes 0."),
        ((-0.03, -0.01), "worse, the interval excludes 0."),
        ((-0.01, 0.03), "the interval contains 0."),
        ((0.0, 0.03), "the interval contains 0."),
        ((None, None), "so few proteins have no interval."),
    ],
)
def test_headline_says_what_the_interval_says(ends, verdict) -> None:
    (sentence,) = headline([], [gain(*ends)])
    assert sentence.startswith("On proteins with at most 60 homologs (n = 20), protray differs from Real by +0.020")
    assert sentence.endswith(verdict)


def test_headline_has_no_sentence_about_no_protein() -> None:
    assert headline([], [gain(None, None, n=0)]) == []
    assert [sentence.split(" (")[0] for sentence in headline([], [gain(0.01, 0.02), gain(0.01, 0.02, most=0)])] == [
        "On proteins with at most 60 homologs",
        "On proteins without homologs",
    ]


def test_headline_says_that_a_model_is_worth_nothing() -> None:
    def rows(ours: float) -> list[dict]:
        q3 = {"protray": ours, "majority state": 0.4, "majority per residue type": 0.485}
        return [{"by": "count", "max": None, "method": method, "q3": value} for method, value in q3.items()]

    assert headline(rows(0.49), []) == []
    [sentence] = headline(rows(0.45), [])
    assert "0.450, is not above 0.485, that of the trivial baseline 'majority per residue type'" in sentence


def test_confusion_rows_are_shares_of_the_true_state() -> None:
    """3 of 4 helix residues right; no strand residue at all."""
    table = confusion_table(np.array([[3, 0, 1], [0, 0, 0], [1, 1, 2]]))
    assert table.body == [
        ["true H", "4", "0.750", "0.000", "0.250"],
        ["true E", "0", "–", "–", "–"],
        ["true C", "4", "0.250", "0.250", "0.500"],
    ]


def test_distillation_report_has_every_section(tmp_path) -> None:
    rng = np.random.default_rng(0)
    labels = {f"p{EVIL}{b}": rng.integers(3, size=30) for b in range(30)}
    proteins = LabelledProteins(labels, rng.integers(0, 100, size=30), rng.random(30) * 50)
    methods = ["Real", "Bagging", "protray", "w/o BERT", *TRIVIAL]
    predictions = {name: {id: rng.integers(3, size=30) for id in labels} for name in methods}
    path = tmp_path / "report.html"
    write_distil_report(
        path,
        table_rows(predictions, proteins),
        bin_rows(predictions, proteins),
        gain_rows(predictions, proteins, "Real"),
        gain_rows(predictions, proteins, "Real", DISJOINT_BINS),
        logos={EVIL: small_figure()},
        curves=small_figure(),
        facts={"data": EVIL},
        confusion_SS=np.ones((3, 3), dtype=int),
    )
    page = path.read_text(encoding="utf-8")
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert [heading.split(":")[0] for heading in headings if not heading.startswith("&lt;")] == [
        "Fig. 3", "Training curves", "Table 2", "Table 3", "Difference in Q3 to Real", "Table 4", "Trivial baselines",
        "Q3 over all residues together", "Segment overlap (SOV&#x27;99)", "Where the residues go",
        "Settings and provenance", "How to read this",
    ]  # fmt: skip
    assert "<script" not in page
    table2 = page.split("Table 2")[1].split("</table>")[0]
    assert re.findall(r"<tr><td>(.*?)</td>", table2) == ["≤ 60", "≤ 30", "≤ 10", "= 0", "&gt; 60", "all"]
    assert "w/o" not in table2
