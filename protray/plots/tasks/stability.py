"""Figures of a stability run: predicted against true values, or receiver operating characteristics.

Shape key:  N measurements
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from protray.plots import palette
from protray.plots.axes import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS, _SHOWN = 3, 6
_POINTS = 2000  # of a panel; more would only be darker


def values_figure(predictions: Mapping[str, np.ndarray], true_N: np.ndarray) -> "Figure":
    """Draw predicted against true values, a panel for each of the first six methods."""
    from matplotlib.figure import Figure

    shown = list(predictions.items())[:_SHOWN]
    rows = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(10.5, 3.5 * rows), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    some_N = np.random.default_rng(0).permutation(len(true_N))[:_POINTS]
    all_N = np.concatenate([true_N, *(found_N for _, found_N in shown)])
    low, high = np.quantile(all_N, [0.001, 0.999]) if len(true_N) > _POINTS else (all_N.min(), all_N.max())
    low, high = low - 0.03 * (high - low), high + 0.03 * (high - low)
    size = max(2.2, min(5.0, 60 / len(some_N) ** 0.5))
    for rank, (ax, (method, found_N)) in enumerate(zip(panels, shown, strict=False)):
        colour = palette.CYCLE[rank % len(palette.CYCLE)]
        ax.plot(true_N[some_N], found_N[some_N], "o", ms=size, alpha=0.4, mew=0, color=colour)
        ax.plot([low, high], [low, high], color="0.5", lw=0.8)
        ax.set(xlim=(low, high), ylim=(low, high))
        ax.set_title(method, fontsize=8, loc="left")
        if rank + _COLUMNS >= len(shown):  # the lowest of its column
            ax.set_xlabel("measured")
            ax.tick_params(labelbottom=True)
        plain(ax)
    for ax in panels[len(shown) :]:
        ax.set_visible(False)
    for ax in panels[::_COLUMNS]:
        ax.set_ylabel("predicted")
    return figure


def roc_figure(predictions: Mapping[str, np.ndarray], true_N: np.ndarray) -> "Figure":
    """Draw the share of positives found over the share of negatives taken for one, of the first six methods."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    ax = figure.subplots()
    for rank, (method, found_N) in enumerate(list(predictions.items())[:_SHOWN]):
        order_N = np.argsort(-found_N, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(found_N[order_N])), len(true_N) - 1)
        hits_N, misses_N = true_N[order_N].cumsum(), (~true_N[order_N]).cumsum()
        x, y = np.append(0, misses_N[ends] / misses_N[-1]), np.append(0, hits_N[ends] / hits_N[-1])
        ax.plot(x, y, color=palette.CYCLE[rank % len(palette.CYCLE)], lw=1.4, label=method)
    ax.plot([0, 1], [0, 1], color="0.5", lw=0.8)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="false positives", ylabel="true positives", aspect="equal")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    plain(ax)
    return figure
