"""Figures of quality assessment: predicted against true scores, a decoy residue by residue, training curves.

Shape key:  N decoys   L residues
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from protray.plots import palette
from protray.plots.axes import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3


def scatter_figure(true_N: np.ndarray, predicted: Mapping[str, np.ndarray], kinds: Sequence[str]) -> "Figure":
    """Draw predicted against true GDT_TS, a panel for each method, a colour for each kind of decoys."""
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(predicted))
    rows = -(-len(predicted) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.6 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in panels[len(predicted) :]:
        ax.set_visible(False)
    for ax, (method, predicted_N) in zip(panels, predicted.items(), strict=False):
        for rank, kind in enumerate(sorted(set(kinds))):
            mine = np.array([found == kind for found in kinds])
            colour = palette.CYCLE[rank % len(palette.CYCLE)]
            ax.plot(true_N[mine], predicted_N[mine], "o", ms=2.5, alpha=0.5, mew=0, color=colour, label=kind)
        ax.plot([0, 1], [0, 1], color="0.5", lw=0.8)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="true GDT_TS")
        ax.set_title(method, fontsize=9, loc="left")
        plain(ax)
    for ax in panels[::columns]:
        ax.set_ylabel("predicted GDT_TS")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8)
    return figure


def profile_figure(true_L: np.ndarray, predicted: Mapping[str, np.ndarray], index_L: np.ndarray) -> "Figure":
    """Draw true and predicted lDDT along a decoy; gaps where the native has no residue."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    ax = figure.subplots()
    ax.fill_between(index_L + 1, 0, true_L, color="0.88", label="true")
    ax.plot(index_L + 1, true_L, color=palette.BLACK, lw=1)
    for rank, (method, predicted_L) in enumerate(predicted.items()):
        ax.plot(index_L + 1, predicted_L, color=palette.CYCLE[rank % len(palette.CYCLE)], lw=1.4, label=method)
    ax.set(ylim=(0, 1), xlim=(index_L[0] + 1, max(index_L[-1] + 1, index_L[0] + 2)), xlabel="residue", ylabel="lDDT")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    plain(ax)
    return figure


def curves_figure(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> "Figure":
    """Draw the loss of training and validation over epochs, and the error of GDT_TS on validation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    losses, errors = figure.subplots(1, 2)
    for rank, (method, history) in enumerate(histories.items()):
        colour = palette.CYCLE[rank % len(palette.CYCLE)]
        epochs = [point["epoch"] for point in history]
        losses.plot(epochs, [point["train/loss"] for point in history], color=colour, lw=1, ls="--")
        losses.plot(epochs, [point["validation/loss"] for point in history], color=colour, lw=1.4, label=method)
        scored = [point for point in history if "validation/gdt_ts_rmse" in point]
        errors.plot([p["epoch"] for p in scored], [p["validation/gdt_ts_rmse"] for p in scored], color=colour, lw=1.4)
    losses.set(xlabel="epoch", ylabel="loss (dashed: training)", ylim=(0, None))
    errors.set(xlabel="epoch", ylabel="RMSE of GDT_TS, validation", ylim=(0, None))
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    for ax in (losses, errors):
        plain(ax)
    return figure
