"""Numbers with their 95 % intervals, and tables of them, as text."""

from collections.abc import Mapping, Sequence
from typing import Any

Ends = Sequence[float | None] | None  # of an interval; None where there is none


def with_interval(value: float | None, ends: Ends, style: str = ".3f", of_ends: str | None = None) -> str:
    """A number with its interval; a dash where there is none.

    >>> with_interval(0.5, [0.25, 0.75], of_ends=".2f"), with_interval(0.5, [None, None]), with_interval(None, None)
    ('0.500 [0.25, 0.75]', '0.500', '–')
    """
    if value is None:
        return "–"
    if ends is None or None in ends:
        return f"{value:{style}}"
    low, high = (f"{end:{of_ends or style}}" for end in ends)
    return f"{value:{style}} [{low}, {high}]"


def cell(row: Mapping[str, Any], name: str) -> str:
    """A number of a row, whose interval is ``NAME_ci95``.

    >>> cell({"r": 0.5, "r_ci95": [0.25, 0.75]}, "r")
    '0.500 [0.25, 0.75]'
    """
    return with_interval(row[name], row.get(f"{name}_ci95"), of_ends=".2f")


def gain_cell(row: Mapping[str, Any], name: str = "gain") -> str:
    """A difference, with its sign.  Its ends have 3 decimals: "+0.00" would hide on which side of 0 one is.

    >>> gain_cell({"gain": 0.25, "gain_ci95": [-0.125, 0.5]}), gain_cell({})
    ('+0.250 [-0.125, +0.500]', '–')
    """
    return with_interval(row.get(name), row.get(f"{name}_ci95"), "+z.3f")


def markdown_table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Lines of a Markdown table, without a newline at the end."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
