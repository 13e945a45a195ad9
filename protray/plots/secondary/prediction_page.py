"""Predictions along sequences as one page that opens offline: helices, strands, and how sure the model is."""

from collections.abc import Iterable, Mapping
from html import escape
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from protray.plots import palette
from protray.plots.report import page
from protray.seq.errors import counted

SHOWN = 300  # proteins of a page, which is then about 2 MB at 150 residues
PER_LINE = 60
WIDE = 14  # of a residue, in pixels, as all that follows
LETTERS_Y, STATES_Y, SURE_Y = 26, 42, 54  # baseline of letters, middle of states, top of the bars below
HALF, SURE = 6, 16  # half the height of a helix; the height of a probability of 1
BOTTOM = SURE_Y + SURE + 4
STYLE = """
.chain svg { display: block; margin: .2rem 0 .5rem; max-width: 100%; height: auto; overflow: visible; }
.chain text { font: 11px ui-monospace, "DejaVu Sans Mono", monospace; fill: var(--text); text-anchor: middle; }
.chain .ten { fill: var(--soft); font-size: 9px; }
.key span { margin-right: 1.2rem; }
""".strip()
UNKNOWN = "X"  # and what is read as it: B, Z, J, U and O
KEY = {"H": "helix", "E": "strand", "C": "coil"}


def write_page(
    path: Path, rows: Iterable[Mapping], total: int, *, aligned: bool, model: str, rejected: str = ""
) -> None:
    """Write the page of the first `SHOWN` of `total` rows, each with id, sequence, ss3, prob and msa_count.

    `aligned`: whether alignments were given, or sequences alone; `model` is named, and what was `rejected` is told.
    """
    named = "".join(
        f'<span><b style="color:{palette.STATES[state]}">■</b> {name}</span>' for state, name in KEY.items()
    )
    parts = ["<h1>Predicted secondary structure</h1>", f'<p class="key">{named}</p>']
    given = "alignments" if aligned else "sequences alone, without alignments"
    told = f"From {given}, by {escape(model)}. Bars: probability of the predicted state, from 0 to 1."
    parts.append(f'<p class="caption">{told}</p>')
    if rejected:
        parts.append(f'<p class="caption">{escape(rejected)}</p>')
    if total > SHOWN:
        parts.append(f'<p class="caption">The first {SHOWN} of {total:,} proteins.</p>')
    parts += [_chain(row, aligned) for row in islice(rows, SHOWN)]
    path.write_text(page("Predicted secondary structure", parts, STYLE), encoding="utf-8")


def _chain(row: Mapping, aligned: bool) -> str:
    sequence, states, count = row["sequence"], row["ss3"], row["msa_count"]
    sure_L = np.asarray(row["prob"]).reshape(-1, 3).max(axis=1)
    drawn = [
        _line(sequence[start : start + PER_LINE], states, sure_L, start) for start in range(0, len(sequence), PER_LINE)
    ]
    shares = ", ".join(f"{states.count(state) / len(states):.0%} {name}" for state, name in KEY.items())
    known = f", {counted(count, 'homolog') if count else 'no homologs'}" if aligned else ""
    known += f"; {counted(sequence.count(UNKNOWN), 'unknown residue')} (X)" if UNKNOWN in sequence else ""
    told = f"{counted(len(sequence), 'residue')}{known}; {shares}; mean probability {sure_L.mean():.2f}"
    return f'<section class="chain"><h2>{escape(row["id"])}</h2><p class="caption">{told}</p>{"".join(drawn)}</section>'


def _line(letters: str, states: str, sure_L: np.ndarray, start: int) -> str:
    """One line of residues; elements that go on in the next line are cut straight."""
    own = states[start : start + len(letters)]
    middles = " ".join(str(WIDE * place + WIDE // 2) for place in range(len(letters)))
    tens = [place for place in range(len(letters)) if (start + place + 1) % 10 == 0]
    marks = "".join(
        f'<text class="ten" x="{WIDE * place + WIDE // 2}" y="10">{start + place + 1}</text>' for place in tens
    )
    shapes, place = [], 0
    for state, same in groupby(own):
        end = place + len(list(same))
        goes_on = end == len(own) and states[start + end : start + end + 1] == state
        shapes.append(_element(state, WIDE * place, WIDE * end, goes_on))
        place = end
    bars = "".join(
        f'<path d="{"".join(_bar(place, sure_L[start + place]) for place, one in enumerate(own) if one == state)}" '
        f'fill="{colour}"/>'
        for state, colour in palette.STATES.items()
    )
    size = f'width="{WIDE * len(letters)}" height="{BOTTOM}" viewBox="0 0 {WIDE * len(letters)} {BOTTOM}"'
    text = f'<text x="{middles}" y="{LETTERS_Y}">{escape(letters)}</text>'
    return f"<svg {size}>{marks}{text}{''.join(shapes)}{bars}</svg>"


def _element(state: str, left: int, right: int, goes_on: bool) -> str:
    """A helix is a rounded bar, a strand an arrow, coil a line."""
    colour = palette.STATES[state]
    if state == "H":
        return (
            f'<rect x="{left + 1}" y="{STATES_Y - HALF}" width="{right - left - 2}" height="{2 * HALF}" rx="{HALF}" '
            f'fill="{colour}"/>'
        )
    if state == "E" and not goes_on:
        neck, body = max(left, right - WIDE), HALF - 2
        points = [(left, -body), (neck, -body), (neck, -HALF), (right, 0), (neck, HALF), (neck, body), (left, body)]
        drawn = " ".join(f"{x},{STATES_Y + y}" for x, y in points)
        return f'<polygon points="{drawn}" fill="{colour}"/>'
    half = HALF - 2 if state == "E" else 1
    return f'<rect x="{left}" y="{STATES_Y - half}" width="{right - left}" height="{2 * half}" fill="{colour}"/>'


def _bar(place: int, probability: float) -> str:
    high = round(float(probability) * SURE, 1)
    return f"M{WIDE * place + 2} {SURE_Y + SURE}v{-high:g}h{WIDE - 4}v{high:g}z"
