"""One HTML file with tables and figures that opens offline: no link, pictures inside, a script for structures alone."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from protray.plots.structure import viewer
from protray.plots.structure.viewer import ReportStructures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGEST_SVG = 300_000  # bytes; a logo of outlines is larger, and smaller as a PNG
_REM_PER_INCH = 6.8  # a figure of 10 inches is as wide as the page, so that letters have one size in all of them

_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --card: #f4f6f8; --line: #d7dce2;
        --text: #1c2024; --soft: #5b6470; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171a; --card: #1f2429; --line: #39414a; --text: #e4e7ea; --soft: #9aa4af; --accent: #56b4e9; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 68rem; background: var(--page); color: var(--text);
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
       overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
p { margin: .4rem 0; }
.headline { border-left: 4px solid var(--accent); border-radius: 0 6px 6px 0; background: var(--card);
            padding: .6rem 1rem; }
.caption { color: var(--soft); font-size: .9rem; max-width: 48rem; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
.numbers th, .numbers td { overflow-wrap: normal; }
.numbers td { white-space: nowrap; }
.numbers th:first-child, .numbers td:first-child { position: sticky; left: 0; background: var(--page); }
th { border-bottom-width: 2px; vertical-align: bottom; }
th:first-child, td:first-child, .facts th, .facts td { text-align: left; }
.facts th { font-weight: 500; vertical-align: top; white-space: nowrap; border-bottom-width: 1px; }
.facts td { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .85rem; }
.picture { background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: .5rem; overflow-x: auto; }
.picture img { display: block; width: 100%; height: auto;
  max-width: var(--widest); min-width: min(42rem, var(--widest)); }
@media print { .scroll, .picture { overflow: visible; } .picture img { min-width: 0; } }
""".strip()


@dataclass(frozen=True)
class ReportTable:
    """A table of text cells under a heading; the first column is left-aligned."""

    title: str
    header: Sequence[str]
    body: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class ReportFigure:
    """A figure under a heading."""

    title: str
    figure: "Figure"
    caption: str = ""


def write_report(
    path: Path,
    title: str,
    tables: Sequence[ReportTable],
    figures: Sequence[ReportFigure],
    facts: Mapping[str, str],
    notes: Sequence[str],
    headline: Sequence[str] = (),
    structures: Sequence[ReportStructures] = (),
) -> None:
    """Write the headline, the figures, the structures, the tables, the facts and the notes into one HTML file.

    Parameters
    ----------
    path : Path
        Overwritten if it exists.
    title : str
        Of the page.
    facts : mapping of name to value
        Settings and provenance, shown in this order.
    notes : sequence of str
        Paragraphs of "How to read this".
    headline : sequence of str
        Sentences at the top.

    Notes
    -----
    Every text is escaped: protein ids and file names come from users.
    """
    parts = [f"<h1>{escape(title)}</h1>"]
    if headline:
        parts.append(f'<div class="headline">{_paragraphs(headline)}</div>')
    parts += [_section(item.title, _picture(item.figure, item.title), item.caption) for item in figures]
    parts += [_section(item.title, viewer.drawn(item), item.caption) for item in structures]
    parts += [_section(table.title, _table(table.header, table.body), table.caption) for table in tables]
    if facts:
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
        parts.append(
            _section("Settings and provenance", f'<div class="scroll"><table class="facts">{cells}</table></div>')
        )
    if notes:
        parts.append(_section("How to read this", _paragraphs(notes)))
    if structures:
        parts.append(viewer.library())
    path.write_text(page(title, parts, viewer.STYLE if structures else ""), encoding="utf-8")


def page(title: str, parts: Sequence[str], style: str = "") -> str:
    """A page of parts in HTML, in the style of all reports and `style`."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n{style}\n</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _section(title: str, content: str, caption: str = "") -> str:
    note = f'\n<p class="caption">{escape(caption)}</p>' if caption else ""
    return f"<section>\n<h2>{escape(title)}</h2>{note}\n{content}\n</section>"


def _paragraphs(texts: Sequence[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in body)
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _picture(figure: "Figure", alt: str) -> str:
    """The figure as an image inside the page: SVG, or PNG where that is smaller than a large SVG."""
    kind, data = "svg+xml", _render(figure, "svg")
    if len(data) > _LARGEST_SVG:
        kind, data = "png", _render(figure, "png")
    encoded = base64.b64encode(data).decode()
    source, widest = f"data:image/{kind};base64,{encoded}", f"{_REM_PER_INCH * figure.get_figwidth():.1f}rem"
    return f'<div class="picture"><img alt="{escape(alt)}" style="--widest: {widest}" src="{source}"></div>'


def _render(figure: "Figure", kind: str) -> bytes:
    """Equal figures give equal bytes: no date inside, and names of SVG parts that do not change."""
    from matplotlib import rc_context

    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "protray"}):
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()
