"""The report of a function run on folds (CATH)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from protray.evaluation.cells import cell
from protray.evaluation.tasks.properties.cath import Row, Table
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.tasks.function import scores_figure, training, tuned_notes

NOTES = (
    "A chain has one class; the one with the highest score is counted. Balanced accuracy is the mean over classes of "
    "the share of their chains that are right. Chains whose domains differ in their class are left out.",
    "Linear is a discriminant whose covariance is drawn towards a sphere, on the mean and the deviation over residues "
    "and the logarithm of the length; the 3-layer head reads the mean alone. Nearest neighbours are by the cosine of "
    "the same standardised numbers. Everything that is chosen is chosen on the validation split.",
    "The last table takes every chain of the evaluated classes, of all splits, and asks whether the nearest chain of "
    "another cluster has the same class. It uses no label, so that chains an encoder was trained on are there, too.",
    "Brackets are 95 % percentile bootstrap intervals over clusters of chains; gains are paired. They do not contain "
    "the spread between trainings with other seeds. Fewer than ten have none: it would be too narrow.",
)


def write_cath_report(
    path: Path, title: str, rows: Sequence[Row], tables: Sequence[Table],
    histories: Mapping[str, Sequence[Mapping[str, float]]], facts: Mapping[str, str],
) -> None:  # fmt: skip
    """Write the whole report; see `protray.plots.report.write_report`."""
    best = max(rows, key=lambda row: row["accuracy"])
    text = f"Of {best['chains']} test chains of {best['classes']} classes, {best['method']} has the most right: "
    figures = [
        ReportFigure("Accuracy of each read-out", scores_figure(rows, "accuracy", "accuracy")),
        training(histories),
    ]
    told = [ReportTable(*table) for table in tables]
    write_report(
        path, title, told, figures, facts, NOTES + tuned_notes(rows), [f"{text}accuracy {cell(best, 'accuracy')}."]
    )
