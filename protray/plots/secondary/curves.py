"""Training curves of several stages."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from protray.plots import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4


def curves_figure(history: Mapping[str, Sequence[Mapping[str, float]]]) -> "Figure":
    """Draw validation Q3 of all stages in one panel, and below it the training loss of each stage in its own.

    The stages minimise different sums, so that their losses share no axis.

    Parameters
    ----------
    history : mapping of stage name to a sequence with one mapping per epoch
        With ``epoch`` and any of ``train_loss`` (nats, or whatever the stage minimises) and ``val_q3`` (share of
        residues in [0, 1]); an epoch or a stage may lack either.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not history:
        raise ValueError("there is no training stage to draw curves of")
    rows = -(-len(history) // _COLUMNS)
    columns = min(_COLUMNS, len(history))
    figure = Figure(figsize=(10, 3.4 + 2.1 * rows), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=[3.4, 2.1 * rows])
    upper, lower = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    q3_ax = upper.subplots()
    loss_axes = lower.subplots(rows, columns, squeeze=False).ravel()
    for rank, (stage, epochs) in enumerate(history.items()):
        colour = palette.CYCLE[rank % len(palette.CYCLE)]
        dashed = "-" if rank < len(palette.CYCLE) else "--"
        _draw(q3_ax, epochs, "val_q3", colour, dashed, stage)
        _draw(loss_axes[rank], epochs, "train_loss", colour, dashed, stage)
        loss_axes[rank].set_title(stage, fontsize=9, loc="left")
        loss_axes[rank].set_xlabel("epoch")
    for ax in loss_axes[len(history) :]:
        ax.set_visible(False)
    for ax in loss_axes[: len(history) : columns]:
        ax.set_ylabel("training loss")
    q3_ax.set_xlabel("epoch")
    q3_ax.set_ylabel("validation Q3 (share of residues)")
    if q3_ax.lines:
        upper.legend(loc="outside right upper", frameon=False, fontsize=9)
    for ax in (q3_ax, *loss_axes):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        ax.grid(alpha=0.3)
        for side in ("right", "top"):
            ax.spines[side].set_visible(False)
    return figure


def _draw(ax: "Axes", epochs: Sequence[Mapping[str, float]], key: str, colour: str, style: str, label: str) -> None:
    """One line of the epochs that have `key`; a marker keeps a single epoch visible."""
    points = [(epoch["epoch"], epoch[key]) for epoch in epochs if key in epoch]
    if points:
        ax.plot(*zip(*points, strict=True), style, color=colour, label=label, lw=1.5, marker="o", ms=2.5)
