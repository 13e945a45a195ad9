"""The HTML report: one file, nothing from the network, nothing of the user's text as markup."""

import html.parser
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from protray.evaluation.baselines import TRIVIAL
from protray.evaluation.bins import DISJOINT_BINS
from protray.evaluation.tables import LabelledProteins, bin_rows, gain_rows, table_rows
from protray.plots.distil_report import confusion_table, headline, write_distil_report
from protray.plots.report import ReportFigure, ReportTable, write_report

EVIL = '<script>alert("x")</script>'


def small_figure() -> Figure:
    figure = Figure()
    figure.subplots().plot([0, 1])
    return figure


def written(tmp_path: Path, **changed) -> str:
    parts = {"title": "t", "tables": [], "figures": [], "facts": {}, "notes": []} | changed
    write_report(tmp_path / "report.html", **parts)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_every_text_is_escaped(tmp_path) -> None:
    page = written(
        tmp_path,
        title=EVIL,
        tables=[ReportTable(EVIL, [EVIL], [[EVIL]], EVIL)],
        figures=[ReportFigure(EVIL + '" onload="x', small_figure(), EVIL)],
        facts={EVIL: EVIL},
        notes=[EVIL],
        headline=[EVIL],
    )
    assert "<script" not in page
    assert 'onload="' not in page
    assert page.count("&lt;script&gt;") == 2 + 4 + 3 + 2 + 1 + 1  # title, table, figure, facts, notes, headline


def test_the_file_needs_nothing_else(tmp_path) -> None:
    page = written(tmp_path, figures=[ReportFigure("f", small_figure())])
    assert not re.search(r"https?://", page)
    assert not re.search(r"<(script|link|iframe|object)\b|@import|url\(", page)
    assert re.findall(r'src="([^,]*),', page) == ["data:image/svg+xml;base64"]


def test_large_drawings_are_stored_as_png(tmp_path) -> None:
    figure = Figure()
    rng = np.random.default_rng(0)
    figure.subplots().scatter(*rng.random((2, 5000)), c=rng.random(5000))
    assert 'src="data:image/png;base64,' in written(tmp_path, figures=[ReportFigure("f", figure)])


def test_same_input_same_bytes(tmp_path) -> None:
    pages = {written(tmp_path, figures=[ReportFigure("f", small_figure())]) for _ in range(2)}
    assert len(pages) == 1


def test_tags_are_balanced(tmp_path) -> None:
    page = written(
        tmp_path, tables=[ReportTable("t", ["a", "b"], [["1", "2"]])], facts={"seed": "0"}, notes=["n"], headline=["h"]
    )
    open_tags = []

    class Balance(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs) -> None:
            if tag not in ("meta", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag) -> None:
            assert open_tags.pop() == tag

    Balance().feed(page)
    assert open_tags == []


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
        ((None, None), "one protein gives no interval."),
    ],
)
def test_headline_says_what_the_interval_says(ends, verdict) -> None:
    (sentence,) = headline([gain(*ends)])
    assert sentence.startswith("On proteins with at most 60 homologs (n = 20), protray differs from Real by +0.020")
    assert sentence.endswith(verdict)


def test_headline_has_no_sentence_about_no_protein() -> None:
    assert headline([gain(None, None, n=0)]) == []
    assert [sentence.split(" (")[0] for sentence in headline([gain(0.01, 0.02), gain(0.01, 0.02, most=0)])] == [
        "On proteins with at most 60 homologs",
        "On proteins without homologs",
    ]


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
        "Table 2", "Table 3", "Difference in Q3 to Real", "Table 4", "Trivial baselines",
        "Q3 over all residues together", "Segment overlap (SOV&#x27;99)", "Where the residues go",
        "Fig. 3", "Training curves", "Settings and provenance", "How to read this",
    ]  # fmt: skip
    assert "<script" not in page
    table2 = page.split("Table 2")[1].split("</table>")[0]
    assert re.findall(r"<tr><td>(.*?)</td>", table2) == ["≤ 60", "≤ 30", "≤ 10", "= 0", "&gt; 60", "all"]
    assert "w/o" not in table2
