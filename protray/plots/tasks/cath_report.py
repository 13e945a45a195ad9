"""The report of a function run on folds (CATH), and its figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from protray.evaluation.tasks.properties.cath import Row, Table
from protray.evaluation.tasks.properties.read_outs import input_of
from protray.evaluation.tasks.quality.tables import cell
from protray.plots import palette
from protray.plots.axes import plain
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.tasks.function import losses_figure, tuned_notes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTES = (
    "A chain has one class; the one with the highest score is counted. Balanced accuracy is the mean over classes of "
    "the share of their chains that are right. Chains whose domains differ in their class are left out.",
    "Linear is a discriminant whose covariance is drawn towards a sphere, on the mean and the deviation over residues "
    "and the logarithm of the length; the 3-layer head reads the mean alone. Nearest neighbours are by the cosine of "
    "the same standardised numbers. Everything that is chosen is chosen on the validation split.",
    "The last table takes every chain of the evaluated classes, of all splits, and asks whether the nearest chain of "
    "another cluster has the same class. It uses no label, so that chains an encoder was trained on are there, too.",
    "Brackets are 95 % percentile bootstrap intervals over clusters of chains; gains are paired. They do not contain "
    "the spread between trainings with other seeds.",
)


def write_cath_report(
    path: Path, title: str, rows: Sequence[Row], tables: Sequence[Table],
    histories: Mapping[str, Sequence[Mapping[str, float]]], facts: Mapping[str, str],
) -> None:  # fmt: skip
    """Write the whole report; see `protray.plots.report.write_report`."""
    best = max(rows, key=lambda row: row["accuracy"])
    text = f"Of {best['chains']} test chains of {best['classes']} classes, {best['method']} has the most right: "
    figures = [
        ReportFigure("Accuracy of each read-out", accuracy_figure(rows)),
        ReportFigure("Training", losses_figure(histories), "The epoch with the lowest validation loss is kept."),
    ]
    told = [ReportTable(*table) for table in tables]
    write_report(
        path, title, told, figures, facts, NOTES + tuned_notes(rows), [f"{text}accuracy {cell(best, 'accuracy')}."]
    )


def accuracy_figure(rows: Sequence[Row]) -> "Figure":
    """Draw the accuracy with its interval, a line for each input and a colour for each read-out."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(input_of(row["method"], row["read_out"]) for row in rows))
    outs = list(dict.fromkeys(row["read_out"] for row in rows))
    figure = Figure(figsize=(10.5, 1.2 + 0.4 * len(names)), layout="constrained")
    ax = figure.subplots()
    for rank, out in enumerate(outs):
        mine = [row for row in rows if row["read_out"] == out]
        y = [names.index(input_of(row["method"], out)) + 0.15 * (rank - (len(outs) - 1) / 2) for row in mine]
        x = [row["accuracy"] for row in mine]
        ends = [[value if end is None else end for end in row["accuracy_ci95"]]
                for value, row in zip(x, mine, strict=True)]  # fmt: skip
        off = [[abs(value - end[side]) for value, end in zip(x, ends, strict=True)] for side in (0, 1)]
        ax.errorbar(x, y, xerr=off, fmt="o", color=palette.CYCLE[rank % len(palette.CYCLE)], ms=4, lw=1.2, label=out)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlim=(0, None), xlabel="accuracy")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    plain(ax)
    return figure
