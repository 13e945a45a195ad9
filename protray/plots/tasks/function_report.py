"""The report of a function run.

Shape key:  B test proteins   T labels
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from protray.evaluation.cells import cell
from protray.evaluation.tasks.properties.function_tables import WHOLE, Row, function_tables
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.tasks.function import precision_recall_figure, sets_figure, training, tuned_notes

NOTES = (
    "Fmax is CAFA's: precision is the mean over proteins with a prediction, recall over all; the best threshold is "
    "that of the test split itself, as the definition says. The next column takes the threshold that is best on the "
    "validation split, as a user would have to. torchdrug counts labels of equal scores one after another.",
    "AUPR is that of all pairs of protein and label. Only labels that are learnt are counted, on every side.",
    "Transfer takes the labels of the training proteins that phmmer finds, weighted by their bit scores; how many, up "
    "to which E-value, and how much the training frequencies count beside them was chosen on the validation split, and "
    "so was the penalty of the logistic regression.",
    "Linear read-outs are logistic regressions on the mean and the deviation over residues and the logarithm of the "
    "length, nearest neighbours are by the cosine of the same standardised numbers; penalty and number are chosen on "
    "the validation split. The 3-layer head reads the mean alone.",
    "Brackets are 95 % percentile bootstrap intervals over clusters of test proteins. They do not contain the spread "
    "between trainings with other seeds. Fewer than ten have none: it would be too narrow.",
)


def write_function_report(
    path: Path, title: str, predictions: Mapping[str, np.ndarray], true_BT: np.ndarray, rows: Sequence[Row],
    histories: Mapping[str, Sequence[Mapping[str, float]]], facts: Mapping[str, str], reference: str,
    first: str | None = None,
) -> None:  # fmt: skip
    """Write the whole report; see `protray.plots.report.write_report`."""
    figures = [ReportFigure("Precision and recall", precision_recall_figure(predictions, true_BT))]
    if len({row["set"] for row in rows}) > 1:
        figures.append(ReportFigure("Fmax by identity to the training proteins", sets_figure(rows)))
    figures.append(training(histories))
    tables = [ReportTable(*table) for table in function_tables(rows, reference, first)]
    write_report(path, title, tables, figures, facts, NOTES + tuned_notes(rows), [headline(rows, reference)])


def headline(rows: Sequence[Row], reference: str) -> str:
    """Say which method is the best, and whether it is ahead of transfer."""
    whole = [row for row in rows if row["set"] == WHOLE]
    best = max(whole, key=lambda row: row["fmax"])
    text = f"On {best['proteins']} test proteins with {best['labels']} labels, {best['method']} is the best: Fmax "
    text += f"{cell(best, 'fmax')}"
    if best["method"] == reference:
        return f"{text}. No head on an embedding is ahead of it."
    low, high = best["gain_ci95"]
    if low is None or low <= 0:
        return f"{text}; it is not told apart from {reference} (gain {best['gain']:+.3f})."
    return f"{text}, ahead of {reference} by {best['gain']:.3f} [{low:.3f}, {high:.3f}]."
