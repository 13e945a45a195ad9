"""Figures of function and stability runs: scores of all methods, precision and recall, Fmax by identity, curves.

Shape key:  B proteins   T labels
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from protray.evaluation.tasks.properties.function import curve
from protray.evaluation.tasks.properties.read_outs import LINEAR, NEAREST, TUNED, input_of, read_out_of
from protray.plots import palette
from protray.plots.axes import plain
from protray.plots.report import ReportFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = {LINEAR: ":", NEAREST: "-.", TUNED: "--"}
_POINTS = 500  # of a curve


def tuned_notes(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What is to be said of encoders that were trained on, if there are any."""
    if all(row["read_out"] != TUNED for row in rows):
        return ()
    return (
        "Fine-tuned encoders begin with the linear read-out as their head (epoch 0 of their curves); then encoder and "
        "head learn together. The epoch of the highest quality on the validation split is kept, epoch 0 among them.",
    )


def precision_recall_figure(predictions: Mapping[str, np.ndarray], true_BT: np.ndarray) -> "Figure":
    """Draw protein-centric precision over recall, a dot at each Fmax, lines of equal F; a colour for each input,
    dotted for linear read-outs, dash-dotted for nearest neighbours and dashed for encoders that were trained on.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 5.2), layout="constrained")
    ax = figure.subplots()
    _equal_f(ax)
    inputs = {method: input_of(method, read_out_of(method, ())) for method in predictions}
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys(inputs.values()))}
    for method, score_BT in predictions.items():
        found = curve(score_BT, true_BT)
        best = int(np.argmax(found.f_K))
        shown = np.unique(np.linspace(0, len(found.f_K) - 1, _POINTS).astype(int))
        colour = palette.CYCLE[ranks[inputs[method]] % len(palette.CYCLE)]
        style = _STYLES.get(read_out_of(method, ()), "-")
        label = f"{method}: Fmax {found.f_K[best]:.3f}"
        ax.plot(found.recall_K[shown], found.precision_K[shown], style, color=colour, lw=1.4, label=label)
        ax.plot(found.recall_K[best], found.precision_K[best], "o", color=colour, ms=5)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall, mean over proteins", ylabel="precision, mean over proteins")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    plain(ax)
    return figure


def _equal_f(ax: "Axes") -> None:
    for f in (0.2, 0.4, 0.6, 0.8):
        recall = np.linspace(f / 2 + 1e-3, 1, 200)
        precision = f * recall / (2 * recall - f)
        ax.plot(recall[precision <= 1], precision[precision <= 1], color="0.85", lw=0.8, zorder=0)
        ax.annotate(f"F = {f}", (1, f / (2 - f)), xytext=(-2, 2), textcoords="offset points", ha="right", color="0.6",
                    fontsize=7)  # fmt: skip


def sets_figure(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draw Fmax with its interval for each method, on the test split and on each of its parts."""
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(row["set"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    ax = figure.subplots()
    for rank, method in enumerate(methods):
        mine = [row for row in rows if row["method"] == method]
        x = np.arange(len(sets)) + (rank - (len(methods) - 1) / 2) * 0.8 / len(methods)
        y = np.array([row["fmax"] for row in mine])
        ends = np.array([[y[n] if end is None else end for end in row["fmax_ci95"]] for n, row in enumerate(mine)])
        off = np.abs(ends.T - y)
        ax.errorbar(x, y, off, fmt="o", color=palette.CYCLE[rank % len(palette.CYCLE)], ms=4, lw=1.2, label=method)
    sizes = {row["set"]: row["proteins"] for row in rows}
    ax.set_xticks(range(len(sets)), [f"{name}\nn = {sizes[name]}" for name in sets])
    ax.set(ylim=(0, 1), ylabel="Fmax")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    plain(ax)
    return figure


def scores_figure(rows: Sequence[Mapping[str, Any]], score: str, words: str) -> "Figure":
    """Draw a score with its interval, a line for each input and a colour for each read-out; `words` are the score's."""
    from matplotlib.figure import Figure

    known = [row for row in rows if row[score] is not None]
    names = list(dict.fromkeys(input_of(row["method"], row["read_out"]) for row in known))
    outs = list(dict.fromkeys(row["read_out"] for row in known))
    figure = Figure(figsize=(10.5, 1.2 + 0.4 * len(names)), layout="constrained")
    ax = figure.subplots()
    for rank, out in enumerate(outs):
        mine = [row for row in known if row["read_out"] == out]
        y = [names.index(input_of(row["method"], out)) + 0.15 * (rank - (len(outs) - 1) / 2) for row in mine]
        x = np.array([row[score] for row in mine])
        ends = np.array([[value if end is None else end for end in row[f"{score}_ci95"]]
                         for value, row in zip(x, mine, strict=True)])  # fmt: skip
        off = np.abs(ends.T - x)
        ax.errorbar(x, y, xerr=off, fmt="o", color=palette.CYCLE[rank % len(palette.CYCLE)], ms=4, lw=1.2,
                    label="other" if out == "–" else out)  # fmt: skip
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlim=(min(0, ax.get_xlim()[0]), None), xlabel=words)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    plain(ax)
    return figure


def training(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> ReportFigure:
    """The figure of all trainings, with what is kept of them."""
    tuned = any(name.endswith(TUNED) for name in histories)
    more = "; of fine-tuned encoders, the one of the highest quality on validation" if tuned else ""
    kept = f"The epoch with the lowest validation loss is kept{more}."
    return ReportFigure("Training", losses_figure(histories), kept)


def losses_figure(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> "Figure":
    """Draw the loss of training and validation over epochs; that of fine-tuned encoders is another, and by itself."""
    from matplotlib.figure import Figure

    parts = [[name for name in histories if name.endswith(TUNED) is tuned] for tuned in (False, True)]
    parts = [names for names in parts if names]
    figure = Figure(figsize=(10.5, 3.2 * len(parts)), layout="constrained")
    for ax, names in zip(np.ravel(figure.subplots(len(parts))), parts, strict=True):
        for rank, name in enumerate(names):
            colour, epochs = palette.CYCLE[rank % len(palette.CYCLE)], [point["epoch"] for point in histories[name]]
            losses = [point.get("train/loss", np.nan) for point in histories[name]]  # none before the first step
            ax.plot(epochs, losses, ".--", color=colour, lw=1)
            ax.plot(epochs, [point["validation/loss"] for point in histories[name]], ".-", color=colour, lw=1.4,
                    label=name)  # fmt: skip
        ax.set(xlabel="epoch", ylabel="loss (dashed: training)")
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
        plain(ax)
    return figure
