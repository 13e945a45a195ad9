"""Figures of a sweep: effects of single settings and of pairs, parallel coordinates, Pareto front, seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from protray.evaluation.sweep import Row, Scored, levels, pareto_front
from protray.plots import palette
from protray.plots.axes import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "viridis"
LOSS = "validation/loss"
PAPER = {"marker": "*", "color": palette.VERMILION, "markersize": 13, "linestyle": "none", "zorder": 5}


def short(setting: str) -> str:
    """A setting without the part that it belongs to."""
    return setting.split(".")[-1]


def effects_figure(effects: Sequence[Row], metric: str) -> "Figure":
    """Draw the mean score at each value of each setting; whiskers are standard errors over trials."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["setting"] for row in effects))
    figure = Figure(figsize=(max(4, 2.3 * len(names)), 3.2), layout="constrained")
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for ax, name in zip(axes, names, strict=True):
        rows = [row for row in effects if row["setting"] == name]
        ax.errorbar(
            range(len(rows)), [row["score"] for row in rows], yerr=[row["se"] or 0.0 for row in rows],
            color=palette.BLUE, marker="o", capsize=3,
        )  # fmt: skip
        for place, row in enumerate(rows):
            if row["paper"]:
                ax.plot(place, row["score"], label="the paper's", **PAPER)
        ax.set_xticks(range(len(rows)), [row["value"] for row in rows], fontsize=8)
        ax.tick_params(axis="x", labelrotation=30 if any(len(row["value"]) > 6 for row in rows) else 0)
        ax.set_xlim(-0.4, len(rows) - 0.6)
        ax.set_title(short(name), fontsize=10)
        plain(ax)
    axes[0].set_ylabel(metric)
    axes[-1].legend(frameon=False, fontsize=8)
    return figure


def pairs_figure(trials: Sequence[Scored], metric: str) -> "Figure":
    """Draw the mean score of the trials at each pair of values, for any two settings; empty fields had no trial."""
    from matplotlib.figure import Figure

    names = list(trials[0].point)
    n = len(names) - 1
    figure = Figure(figsize=(max(4.5, 2.2 * n + 1), max(3, 1.9 * n)), layout="constrained")
    axes = figure.subplots(n, n, squeeze=False)
    low, high = min(trial.score for trial in trials), max(trial.score for trial in trials)
    image = None
    for down in range(n):
        for across in range(n):
            ax = axes[down, across]
            if across > down:
                ax.set_visible(False)
                continue
            x, y = names[across], names[down + 1]
            image = ax.imshow(
                pair_means(trials, x, y), origin="lower", aspect="auto", cmap=COLOURS, vmin=low, vmax=high
            )
            for axis, name, outer in ((ax.xaxis, x, down == n - 1), (ax.yaxis, y, across == 0)):
                labels = [label for label, _ in levels([trial.point[name] for trial in trials])]
                axis.set_ticks(range(len(labels)), labels if outer else [], fontsize=7)
                axis.set_label_text(short(name) if outer else "", fontsize=9)
            paper = next((place for place, trial in enumerate(trials) if trial.paper), None)
            if paper is not None:
                ax.plot(_level_of(trials, x, paper), _level_of(trials, y, paper), **PAPER | {"markersize": 9})
    if image is not None:
        figure.colorbar(image, ax=axes, shrink=0.7, label=metric)
    return figure


def pair_means(trials: Sequence[Scored], x: str, y: str) -> np.ndarray:
    """Mean score at each value of `y` (rows) and `x` (columns); NaN without a trial."""
    columns, rows = (levels([trial.point[name] for trial in trials]) for name in (x, y))
    means = np.full((len(rows), len(columns)), np.nan)
    for i, (_, in_row) in enumerate(rows):
        for j, (_, in_column) in enumerate(columns):
            both = set(in_row) & set(in_column)
            if both:
                means[i, j] = np.mean([trials[place].score for place in both])
    return means


def _level_of(trials: Sequence[Scored], name: str, place: int) -> int:
    found = levels([trial.point[name] for trial in trials])
    return next(number for number, (_, places) in enumerate(found) if place in places)


def parallel_figure(trials: Sequence[Scored], metric: str, log_scaled: frozenset[str]) -> "Figure":
    """Draw each trial as a line across its settings to its score; the paper's is dashed."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    names = list(trials[0].point)
    scores = np.array([trial.score for trial in trials])
    columns = [_heights([trial.point[name] for trial in trials], name in log_scaled) for name in names]
    columns.append(_heights(scores.tolist(), False))
    figure = Figure(figsize=(10, 4), layout="constrained")
    ax = figure.subplots()
    shade = colormaps[COLOURS]
    for place in np.argsort(scores).tolist():
        heights = [heights[place] for heights, _ in columns]
        of_paper = trials[place].paper
        ax.plot(
            range(len(columns)), heights, color=palette.VERMILION if of_paper else shade(columns[-1][0][place]),
            lw=2.4 if of_paper else 1.4, ls="--" if of_paper else "-", label="the paper's point" if of_paper else None,
            zorder=3 if of_paper else 2,
        )  # fmt: skip
    for place, (_, ticks) in enumerate(columns):
        ax.axvline(place, color=palette.GREY, lw=0.8, zorder=1)
        for height, label in ticks:
            ax.annotate(label, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=7, va="center")
    ax.set_xticks(range(len(columns)), [*map(short, names), metric])
    ax.set_yticks([])
    ax.set_xlim(-0.1, len(columns) - 0.6)
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_visible(False)
    if any(trial.paper for trial in trials):
        ax.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


def _heights(values: Sequence[Any], log_scaled: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights in [0, 1] of the values on their axis, and where to write which of them."""
    distinct = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    if isinstance(distinct[-1], str | bool):
        scale = {value: place / max(len(distinct) - 1, 1) for place, value in enumerate(distinct)}
        return np.array([scale[value] for value in values]), [(scale[value], str(value)) for value in distinct]
    numbers = np.log(values) if log_scaled else np.array(values, dtype=float)
    low, span = numbers.min(), np.ptp(numbers) or 1.0
    heights = (numbers - low) / span
    shown = distinct if len(distinct) <= 6 else [distinct[0], distinct[-1]]
    ticks = [(float(heights[list(values).index(value)]), f"{value:.3g}") for value in shown]
    return heights, ticks


def curves(trials: Sequence[Scored], metric: str) -> list[str]:
    """What of the score and the validation loss is known of every trial on the way."""
    return [name for name in (metric, LOSS) if all(any(name in point for point in one.history) for one in trials)]


def curves_figure(trials: Sequence[Scored], names: Sequence[str]) -> "Figure":
    """Draw each trial's curves over steps, in the colour of its first setting; the paper's is dashed."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    first = next(iter(trials[0].point))
    groups = levels([trial.point[first] for trial in trials])
    figure = Figure(figsize=(5.2 * len(names), 3.6), layout="constrained")
    for ax, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for number, (label, places) in enumerate(groups):
            colour = colormaps[COLOURS](0.9 * number / max(len(groups) - 1, 1))
            for place in places:
                points = [(point["step"], point[name]) for point in trials[place].history if name in point]
                ax.plot(
                    *zip(*points, strict=True), color=colour, ls="--" if trials[place].paper else "-", lw=1.5,
                    marker="o", ms=2.5, label=label if place == places[0] else None,
                )  # fmt: skip
        ax.set_xlabel("step")
        ax.set_ylabel(name)
        plain(ax)
        ax.legend(frameon=False, fontsize=8, title=short(first), title_fontsize=8)
    return figure


def pareto_figure(trials: Sequence[Scored], names: tuple[str, str]) -> "Figure":
    """Draw two objectives against each other, with the front of what no other trial beats in both."""
    from matplotlib.figure import Figure

    front = sorted(pareto_front(trials, names), key=lambda place: trials[place].objectives[names[0]])
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    ax = figure.subplots()
    x, y = ([trial.objectives[name] for trial in trials] for name in names)
    ax.scatter(x, y, color=palette.GREY, s=28, label="trials")
    ax.plot([x[place] for place in front], [y[place] for place in front], "o-", color=palette.BLUE, label="front")
    for place, trial in enumerate(trials):
        if trial.paper:
            ax.plot(x[place], y[place], label="the paper's point", **PAPER)
    for place in front:
        ax.annotate(
            trials[place].name.removeprefix("paper: "), (x[place], y[place]), fontsize=6.5,
            xytext=(4, 5), textcoords="offset points", color=palette.BLUE,
        )  # fmt: skip
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    ax.margins(x=0.15, y=0.12)
    ax.legend(frameon=False, fontsize=8)
    plain(ax)
    return figure


def seeds_figure(repeats: Sequence[Row], metric: str) -> "Figure":
    """Draw the score of every seed of the points that were repeated, with their means."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.5 * len(repeats)), layout="constrained")
    ax = figure.subplots()
    for place, row in enumerate(reversed(repeats)):
        colour = palette.VERMILION if row["paper"] else palette.BLUE
        ax.plot(row["scores"], [place] * len(row["scores"]), "o", color=colour, alpha=0.6)
        ax.plot(row["mean"], place, "|", color=colour, markersize=22, markeredgewidth=2.5)
    ax.set_yticks(range(len(repeats)), [row["name"] for row in reversed(repeats)], fontsize=8)
    ax.set_ylim(-0.6, len(repeats) - 0.4)
    ax.set_xlabel(metric)
    plain(ax)
    return figure
