"""The report of a stability run.

Shape key:  N measurements of the test split
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from protray.evaluation.cells import cell
from protray.evaluation.tasks.properties.read_outs import NO_READ_OUT, input_of
from protray.evaluation.tasks.properties.stability import Row
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.tasks.function import scores_figure, training, tuned_notes
from protray.plots.tasks.stability import roc_figure, values_figure

NOTES = (
    "Spearman, Pearson and RMSE are over all test measurements; 'within clusters' is the mean over clusters of "
    "Spearman's correlation within one, where it has three measurements. Values have the sign and the unit of the "
    "table. What cannot be embedded, since it has no structure, is predicted as the training mean, and counts.",
    "A gain is the difference in the first column to the simple fit, or to the first embedding that is read in the "
    "same way, on the same draws of clusters.",
    "The linear fits have the amino acids' shares and the length, or of a mutation BLOSUM62, hydropathy, volume and "
    "both residues; their penalty, and how transfer weighs its hits, are chosen on the validation split. The log-odds "
    "of the language model are brought to the table's sign and scale by a line through the training split.",
    "Linear read-outs of embeddings are ridge or logistic regressions, of whole proteins on the mean and the deviation "
    "over residues and the logarithm of the length; nearest neighbours are by the cosine of the same standardised "
    "numbers. The 3-layer head of whole proteins reads the mean alone.",
    "Brackets are 95 % percentile bootstrap intervals over clusters, those of gains over the same draws. They do not "
    "contain the spread between trainings with other seeds. Fewer than ten have none: it would be too narrow.",
)


def write_stability_report(
    path: Path, title: str, predictions: Mapping[str, np.ndarray], true_N: np.ndarray, rows: Sequence[Row],
    tables: Sequence[tuple[str, list[str], list[list[str]]]], histories: Mapping[str, Sequence[Mapping[str, float]]],
    facts: Mapping[str, str], reference: str | None = None,
) -> None:  # fmt: skip
    """Write the whole report; see `protray.plots.report.write_report`."""
    score, word = score_of(rows)
    best = sorted((row for row in rows if row[score] is not None), key=lambda row: -row[score])
    shown = {_named(row): predictions[row["method"]] for row in best}
    figures = [training(histories)]
    if shown:
        ranked = score == "auroc"
        picture = roc_figure(shown, true_N > 0.5) if ranked else values_figure(shown, true_N)
        what = "Receiver operating characteristic" if ranked else "Predicted and measured"
        figures.insert(0, ReportFigure(what, picture, "The six best at most; all are in predictions.parquet."))
        figures.insert(0, ReportFigure(f"{word} of each read-out", scores_figure(rows, score, word)))
    write_report(
        path,
        title,
        [ReportTable(*table) for table in tables],
        figures,
        facts,
        NOTES + tuned_notes(rows),
        [headline(rows, reference)],
    )


def _named(row: Row) -> str:
    """A method, always with its read-out."""
    method, out = row["method"], row["read_out"]
    return method if out == NO_READ_OUT else f"{input_of(method, out)}, {out}"


def score_of(rows: Sequence[Row]) -> tuple[str, str]:
    """The first score of the tables, and its words."""
    return ("auroc", "AUROC") if "auroc" in rows[0] else ("spearman", "Spearman's correlation")


def headline(rows: Sequence[Row], reference: str | None) -> str:
    """Say which method is ahead, and how good the simple fit `reference` is."""
    name, word = score_of(rows)
    known = [row for row in rows if row[name] is not None]
    if not known:
        return "No method tells the test measurements apart."
    best = max(known, key=lambda row: row[name])
    text = (
        f"On {best['measurements']:,} test measurements of {best['clusters']} clusters, {best['method']} has the "
        f"highest {word}: {cell(best, name)}"
    )
    simple = next((row for row in known if row["method"] == reference), None)
    return f"{text}." if simple in (None, best) else f"{text}; {reference} has {cell(simple, name)}."
