"""The HTML report: one file, nothing from the network, nothing of the user's text as markup."""

import html.parser
import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

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
