"""Figures of interaction sites: precision against recall, a protein residue by residue, training curves.

Shape key:  N residues   L residues of a protein
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from protray.plots import palette
from protray.plots.axes import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def precision_recall_figure(site_N: np.ndarray, scores: Mapping[str, Sequence[np.ndarray]]) -> "Figure":
    """Draw precision against recall over all test residues, a colour for each method, a line for each training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    ax = figure.subplots()
    for rank, (method, trainings) in enumerate(scores.items()):
        colour = palette.CYCLE[rank % len(palette.CYCLE)]
        for number, score_N in enumerate(trainings):
            recall_N, precision_N = curve(score_N, site_N)
            ax.plot(recall_N, precision_N, color=colour, lw=1.1, alpha=0.8, label=method if not number else None)
    ax.axhline(site_N.mean(), color="0.5", lw=0.8, ls="--", label="every residue a site, or a guess")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall: share of the sites that are found", ylabel="precision")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    plain(ax)
    return figure


def curve(score_N: np.ndarray, site_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at each distinct score, from the top."""
    order_N = np.argsort(-score_N, kind="stable")
    sorted_N, true_N = score_N[order_N], np.cumsum(site_N[order_N])
    ends = np.flatnonzero(np.append(sorted_N[1:] != sorted_N[:-1], True))
    return true_N[ends] / max(1, site_N.sum()), true_N[ends] / (ends + 1)


def profile_figure(
    label_L: np.ndarray, predicted: Mapping[str, np.ndarray], thresholds: Mapping[str, float]
) -> "Figure":
    """Draw predicted probabilities along a protein over its true sites; dotted: each method's threshold."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    ax = figure.subplots()
    number_L = np.arange(len(label_L)) + 1
    ax.bar(number_L, label_L == 1, width=1.0, color="0.85", label="true site")
    for rank, (method, prob_L) in enumerate(predicted.items()):
        colour = palette.CYCLE[rank % len(palette.CYCLE)]
        ax.plot(number_L, prob_L, color=colour, lw=1.3, label=method)
        ax.axhline(thresholds[method], color=colour, lw=0.9, ls=":")
    ax.set(xlim=(0.5, len(label_L) + 0.5), ylim=(0, 1), xlabel="residue", ylabel="probability of a site")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    plain(ax)
    return figure


def curves_figure(histories: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> "Figure":
    """Draw the loss of validation over epochs, a colour for each row, and of training (dashed), averaged over a row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    ax = figure.subplots()
    for rank, (row, trainings) in enumerate(histories.items()):
        colour = palette.CYCLE[rank % len(palette.CYCLE)]
        epochs = [point["epoch"] for point in next(iter(trainings.values()))]
        mean = np.mean([[point["train/loss"] for point in history] for history in trainings.values()], axis=0)
        ax.plot(epochs, mean, color=colour, lw=1, ls="--")
        for number, history in enumerate(trainings.values()):
            losses = [point["validation/loss"] for point in history]
            ax.plot(epochs, losses, color=colour, lw=1.1, alpha=0.8, label=row if not number else None)
    ax.set(xlabel="epoch", ylabel="nats a residue (dashed: training)")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    plain(ax)
    return figure
