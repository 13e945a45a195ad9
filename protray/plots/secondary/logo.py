"""Fig. 4 of PSSM-Distil: sequence logos of a low, an enhanced and a high PSSM, above the secondary structure.

Shape key:  L residues   A the 20 amino acids   W residues of the window
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protray.plots import palette
from protray.seq.alphabet import AMINO_ACIDS, N_AA
from protray.seq.pssm import profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_WINDOW = 60  # letters of one row stay readable on a page up to here


@dataclass(frozen=True)
class LogoRow:
    """One logo: what it shows, its PSSM and the background that the PSSM was made with."""

    name: str
    pssm: np.ndarray  # shape (L, 20), nats
    background: np.ndarray  # shape (20,); of an enhanced PSSM: that of the PSSMs its network learnt to rebuild


def information(prob_LA: np.ndarray) -> np.ndarray:
    r"""Height of each letter in a sequence logo.

    .. math:: h_{ja} = P_{ja} \left( \log_2 20 + \sum_b P_{jb} \log_2 P_{jb} \right)

    Returns
    -------
    height_LA : ndarray, shape=(L, 20)
        Bits; a column adds up to between 0 (all residues alike) and log2(20) = 4.32 (one residue).

    Notes
    -----
    Against equal frequencies, not against the background, so that rows made with different backgrounds share an axis.
    There is no correction for few sequences: the pseudo-count already flattens a shallow column.

    References
    ----------
    .. [Schneider1990] Schneider, Stephens. Sequence logos. Nucleic Acids Res 18:6097-6100.
    """
    log_LA = np.log2(prob_LA, where=prob_LA > 0, out=np.zeros_like(prob_LA))
    bits_L = np.log2(N_AA) + (prob_LA * log_LA).sum(axis=1)
    return prob_LA * bits_L[:, None]


def logo_figure(rows: Sequence[LogoRow], structures: Sequence[tuple[str, str]]) -> "Figure":
    """Draw one logo per row, and below them one strip per secondary structure, of the first 60 residues.

    A PSSM is first turned back into probabilities, ``P = B exp(X)`` scaled to 1: leaving out B would give the rarest
    residue of the background the tallest letter.

    Parameters
    ----------
    rows : sequence of LogoRow
        Top to bottom; all of one length L.
    structures : sequence of (name, states)
        Strings of H, E, C and '-' with length L, such as the true and the predicted structure.

    Returns
    -------
    matplotlib.figure.Figure
        The logos share one axis in bits, so that their heights can be compared; one that would be too flat to read is
        enlarged, and says how often.
    """
    from matplotlib.figure import Figure

    length = len(rows[0].pssm)
    for name, found in [(row.name, len(row.pssm)) for row in rows] + [
        (name, len(states)) for name, states in structures
    ]:
        if found != length:
            raise ValueError(f"logo: {name!r} has {found} residues but {rows[0].name!r} has {length}")

    heights = [information(profile(row.pssm[:MAX_WINDOW], row.background)) for row in rows]
    top = max(0.01, *(height_WA.sum(axis=1).max() for height_WA in heights))  # 0.01: an axis even where all is flat
    figure = Figure(
        figsize=(2.2 + 0.19 * len(heights[0]), 1.35 * len(rows) + 0.32 * len(structures) + 0.9), layout="constrained"
    )
    axes = figure.subplots(
        len(rows) + bool(structures),
        sharex=True,
        squeeze=False,
        height_ratios=[1.35] * len(rows) + [0.32 * len(structures)] * bool(structures),
    )[:, 0]
    for ax, row, height_WA in zip(axes, rows, heights, strict=False):
        zoom = _zoom(height_WA, top)
        _draw_logo(ax, height_WA, top / zoom)
        ax.set_title(row.name if zoom == 1 else f"{row.name} (enlarged {zoom} times)", loc="left", fontsize=10)
        ax.set_ylabel("bits")
    if structures:
        _draw_structures(axes[-1], [(name, states[:MAX_WINDOW]) for name, states in structures])
    axes[-1].set_xlim(0.5, len(heights[0]) + 0.5)
    axes[-1].set_xlabel("residue")
    return figure


def _zoom(height_WA: np.ndarray, top: float) -> int:
    """How often a logo is enlarged: 1 unless its tallest column is below a quarter of `top`."""
    tallest = height_WA.sum(axis=1).max()
    return 1 if tallest >= top / 4 or tallest <= 0 else int(top / tallest)


def _draw_logo(ax: "Axes", height_WA: np.ndarray, top: float) -> None:
    import logomaker
    import pandas as pd

    visible_WA = np.where(
        height_WA < top / 200, 0, height_WA
    )  # thinner than a line: left out, a logo is 1,200 outlines
    frame = pd.DataFrame(visible_WA, columns=list(AMINO_ACIDS), index=range(1, len(height_WA) + 1))
    logomaker.Logo(frame, ax=ax, color_scheme=palette.RESIDUES, show_spines=False, baseline_width=0.4)
    ax.set_ylim(0, top)
    ax.spines["left"].set_visible(True)


def _draw_structures(ax: "Axes", structures: Sequence[tuple[str, str]]) -> None:
    """Helices as boxes, strands as arrows, coil as a line; nothing where there is no label."""
    from matplotlib.patches import FancyArrow, Rectangle

    for line, (_, states) in enumerate(structures):
        first = 0
        while first < len(states):
            last = first
            while last + 1 < len(states) and states[last + 1] == states[first]:
                last += 1
            left, width, state = first + 0.5, last - first + 1, states[first]
            if state == "H":
                ax.add_patch(Rectangle((left, line - 0.3), width, 0.6, color=palette.STATES[state], lw=0))
            elif state == "E":
                head = min(1.0, width)
                ax.add_patch(
                    FancyArrow(left, line, width, 0, width=0.36, head_width=0.72, head_length=head,
                               length_includes_head=True, color=palette.STATES[state], lw=0)
                )  # fmt: skip
            elif state == "C":
                ax.plot([left, left + width], [line, line], color=palette.STATES[state], lw=1.5, solid_capstyle="butt")
            first = last + 1
    ax.set_yticks(range(len(structures)), [name for name, _ in structures])
    ax.set_ylim(len(structures) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
