"""Structures in a report that turn under the mouse, coloured by a number of each residue.

Drawn by 3Dmol.js (Rego & Koes, Bioinformatics 2015; BSD-3-Clause), which is in the page: nothing comes from a network.
What a user's file holds gets into the page as numbers and residue types alone, or escaped.

Shape key:  L residues   4 backbone atoms (N, CA, C, O)   3 x, y, z in Å
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import numpy as np

from protray.struct.files.pdb_text import atom_lines

COLOURS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")  # viridis: low to high, for any eyesight
UNKNOWN = "#bbbbbb"
_ALL_FOUR = 3  # residues with a whole backbone that a cartoon needs; a trace of C-alpha atoms does without

STYLE = """
.structures { display: flex; flex-wrap: wrap; gap: .8rem; }
.structures figure { flex: 1 1 18rem; margin: 0; }
.structure { position: relative; height: 20rem; background: #fff; outline: 1px solid var(--line); }
.structures figcaption, .scale { color: var(--soft); font-size: .9rem; }
.scale { display: flex; align-items: center; gap: .6rem; margin: .5rem 0; }
.scale i { width: 12rem; height: .8rem; border-radius: 3px; }
""".strip()

_DRAW = """
document.querySelectorAll(".structure").forEach(function (place) {
  try {
    var one = JSON.parse(place.querySelector("script").textContent), viewer = $3Dmol.createViewer(place);
    viewer.addModel(one.pdb, "pdb");
    var colour = function (atom) { return one.colours[atom.resi - 1]; };
    viewer.setStyle({}, { cartoon: { colorfunc: colour, style: one.style, thickness: 0.4 } });
    viewer.zoomTo();
    viewer.render();
  } catch (error) {
    place.append("no three-dimensional picture here: " + error);
  }
});
""".strip()


@dataclass(frozen=True)
class View:
    """A structure and the number of each residue that colours it, NaN where there is none."""

    label: str
    sequence: str
    backbone_L43: np.ndarray
    value_L: np.ndarray


@dataclass(frozen=True)
class ReportStructures:
    """Structures side by side under a heading, in one scale of colours from `low` to `high`."""

    title: str
    views: Sequence[View]
    low: float
    high: float
    caption: str = ""


def drawn(item: ReportStructures) -> str:
    """HTML of the structures and their scale; `library` has to follow in the page."""
    shown = "".join(
        f'<figure><div class="structure"><script type="application/json">{_data(view, item.low, item.high)}</script>'
        f"</div><figcaption>{escape(view.label)}</figcaption></figure>"
        for view in item.views
    )
    bar = f"background: linear-gradient(90deg, {', '.join(COLOURS)})"
    scale = f'<div class="scale">{item.low:g}<i style="{bar}"></i>{item.high:g}</div>'
    return f'<div class="structures">{shown}</div>{scale}'


def library() -> str:
    """3Dmol.js and what draws every structure of the page."""
    source = (files("protray.plots.structure") / "3dmol" / "3Dmol-min.js").read_text(encoding="utf-8")
    return f"<script>{source}</script>\n<script>{_DRAW}</script>"


def colours(value_L: np.ndarray, low: float, high: float) -> list[str]:
    """A colour of each number, ``#rrggbb``; grey where there is none.

    >>> colours(np.array([0.0, 0.5, 2.0, np.nan]), 0, 1)
    ['#440154', '#21918c', '#fde725', '#bbbbbb']
    """
    ends = np.linspace(low, high, len(COLOURS))
    rgb_C3 = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in COLOURS])
    rgb_L3 = np.stack([np.interp(value_L, ends, rgb_C3[:, channel]) for channel in range(3)], axis=1)
    return [
        f"#{int(r):02x}{int(g):02x}{int(b):02x}" if known else UNKNOWN
        for (r, g, b), known in zip(np.nan_to_num(rgb_L3).round(), np.isfinite(value_L), strict=True)
    ]


def _data(view: View, low: float, high: float) -> str:
    backbone_L43 = view.backbone_L43 - np.nanmean(view.backbone_L43, axis=(0, 1))  # coordinates have eight columns
    whole = np.isfinite(backbone_L43).all(axis=(1, 2)).sum() >= _ALL_FOUR
    content = {
        "pdb": "\n".join(atom_lines(view.sequence, backbone_L43)),
        "colours": colours(view.value_L, low, high),
        "style": "oval" if whole else "trace",
    }
    return json.dumps(content).replace("</", "<\\/")
