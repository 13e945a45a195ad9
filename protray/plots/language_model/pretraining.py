"""The curve of a pre-training run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from protray.plots import palette
from protray.plots.axes import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = {"train/hidden_perplexity": "training, hidden residues", "validation/perplexity": "validation, hidden residues"}


def pretraining_figure(history: Sequence[Mapping[str, float]], baseline: float) -> "Figure":
    """Draw perplexity over steps; `baseline` is that of plain amino-acid frequencies on the held-out proteins."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    ax = figure.subplots()
    for number, (name, label) in enumerate(LINES.items()):
        points = [(point["step"], point[name]) for point in history if name in point]
        ax.plot(*zip(*points, strict=True), color=palette.CYCLE[number], label=label, lw=1.5, marker="o", ms=2.5)
    ax.axhline(baseline, color="0.5", ls="--", lw=1, label="amino-acid frequencies")
    ax.set_xlabel("step")
    ax.set_ylabel("perplexity")
    plain(ax)
    ax.legend(frameon=False, fontsize=9)
    return figure
