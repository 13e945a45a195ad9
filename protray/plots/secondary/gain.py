"""Fig. 3 of PSSM-Distil: what a method gains over the plain model, by depth of the alignment."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from protray.evaluation.bins import Bin
from protray.plots import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DEPTH = {"count": "homologs in the alignment", "meff": "Meff (effective sequences)"}


def gain_figure(rows: Sequence[dict[str, Any]], methods: Sequence[str] | None = None) -> "Figure":
    """Draw bars of the gain in Q3 with their 95 % intervals, one panel per depth measure.

    Parameters
    ----------
    rows : sequence of dict
        From `protray.evaluation.tables.gain_rows` with the disjoint bins.
    methods : sequence of str, optional
        The methods to draw, in this order; default all of `rows`.

    Returns
    -------
    matplotlib.figure.Figure
        Below each bin stands how many proteins it holds.  A bin without proteins has no bar, one with fewer
        than ten has a bar without interval.
    """
    from matplotlib.figure import Figure

    known = list(dict.fromkeys(row["method"] for row in rows))
    methods = known if methods is None else list(methods)
    if not methods or not set(methods) <= set(known):
        raise ValueError(f"there is no gain to draw for {sorted(set(methods) - set(known))}; the rows have {known}")
    depths = list(dict.fromkeys(row["by"] for row in rows))
    figure = Figure(figsize=(5.4 * len(depths), 3.9), layout="constrained")
    axes = figure.subplots(1, len(depths), sharey=True, squeeze=False)[0]
    for ax, by in zip(axes, depths, strict=True):
        _draw_bars(ax, [row for row in rows if row["by"] == by], methods)
        ax.set_xlabel(_DEPTH[by])
    axes[0].set_ylabel(f"gain in Q3 over {rows[0]['reference']}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False)
    return figure


def _draw_bars(ax: "Axes", rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> None:
    bins = list(dict.fromkeys(Bin(row["by"], row["max"], row["above"]) for row in rows))
    n = {Bin(row["by"], row["max"], row["above"]): row["n"] for row in rows}
    width = 0.8 / len(methods)
    for rank, method in enumerate(methods):
        mine = {Bin(row["by"], row["max"], row["above"]): row for row in rows if row["method"] == method}
        x = [at + width * (rank - (len(methods) - 1) / 2) for at in range(len(bins))]
        gains = [mine[bin]["gain"] if bin in mine else None for bin in bins]
        ax.bar(
            x, [0.0 if gain is None else gain for gain in gains], width * 0.92,
            color=palette.CYCLE[rank % len(palette.CYCLE)], label=method,
        )  # fmt: skip
        for at, gain, bin in zip(x, gains, bins, strict=True):
            if gain is not None and None not in mine[bin]["ci95"]:
                # not errorbar: a percentile interval of few proteins need not contain its own mean
                ax.plot([at, at], mine[bin]["ci95"], color="black", lw=1, marker="_", ms=5)
    ax.axhline(0, color="black", lw=0.8)
    ax.set_xticks(range(len(bins)), [f"{bin.label}\nn = {n[bin]}" for bin in bins])
    ax.tick_params(axis="x", length=0)
    for side in ("right", "top"):
        ax.spines[side].set_visible(False)
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)
