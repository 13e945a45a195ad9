"""The report of a run on interaction sites: figures, tables, and the sentences at the top.

Shape key:  N residues   L residues of a protein
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from protray.data.sites.table import SiteProtein
from protray.evaluation.cells import cell, gain_cell
from protray.evaluation.tasks.sites.tables import COLUMNS, ON_TEST, Row, Trained, gain_table, spread
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.structure.viewer import ReportStructures, View
from protray.plots.tasks.sites import curves_figure, precision_recall_figure, profile_figure

NOTES = (
    "A residue is called a site from a threshold on: that with the highest F on the validation proteins. Columns that "
    "take the threshold that is best on the test proteins say so; DeepPPISP's own evaluation reports those, and nobody "
    "who predicts new proteins has it.",
    "Every residue a site is what F has to beat: with sites as a share s it has F = 2 s / (1 + s). Logistic regression "
    "reads the features of a window; its width and penalty were chosen on validation.",
    "Brackets are 95 % percentile bootstrap intervals over clusters of test proteins, of the mean over trainings; they "
    "do not contain the spread between trainings, which stands behind ±. Fewer than ten have none: it "
    "would be too narrow.",
    "The text CNN and the windows see no coordinates. A language model's embeddings follow from the sequence, a score "
    "network's from the C-alpha atoms of the chain alone; a protein without them gets the mean of the others.",
)


def write_sites_report(
    path: Path, proteins: Sequence[SiteProtein], methods: Mapping[str, Sequence[Trained]], rows: Sequence[Row],
    gains: Sequence[Row], histories: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]],
    facts: Mapping[str, str], backbone_of: Callable[[str], np.ndarray | None] = lambda id: None,
) -> None:  # fmt: skip
    """Write the whole report; see `protray.plots.report.write_report`.

    Parameters
    ----------
    proteins : sequence of SiteProtein
        Of the test split.
    methods : mapping of method to its trainings
    rows, gains : sequence of dict
        From `protray.evaluation.tasks.sites.tables.site_tables`.
    histories : mapping of row to training to its logged points
    backbone_of : callable
        Gives the backbone (L, 4, 3) of a protein by its id, or None.
    """
    known = [protein.known_L for protein in proteins]
    site_N = np.concatenate([one.label_L[mask_L] == 1 for one, mask_L in zip(proteins, known, strict=True)])
    scores = {
        method: [np.concatenate([score_L[mask_L] for score_L, mask_L in zip(one.scores, known, strict=True)])
                 for one in trainings]
        for method, trainings in methods.items()
    }  # fmt: skip
    shown = example(proteins)
    along = {method: methods[method][0].scores[shown] for method in histories}
    thresholds = {method: methods[method][0].threshold for method in histories}
    one = proteins[shown]
    figures = [
        ReportFigure("Precision and recall", precision_recall_figure(site_N, without_constants(scores)),
                     "All test residues; a line for each training."),
        ReportFigure(f"Sites along {one.id}", profile_figure(one.label_L, along, thresholds),
                     "The test protein of median length, of the first training of each row; dotted: thresholds."),
        ReportFigure("Training", curves_figure(histories), "The epoch with the lowest validation loss is kept."),
    ]  # fmt: skip
    title, backbone_L43 = "protray: interaction sites of proteins", backbone_of(one.id)
    structures = [] if backbone_L43 is None else [in_space(one, backbone_L43, along)]
    write_report(path, title, report_tables(rows, gains), figures, facts, NOTES, [headline(rows, gains)], structures)


def in_space(protein: SiteProtein, backbone_L43: np.ndarray, along: Mapping[str, np.ndarray]) -> ReportStructures:
    """The protein coloured by its true sites, and by each method's probabilities."""
    true_L = np.where(protein.known_L, protein.label_L, np.nan).astype(float)
    views = [View("true sites", protein.sequence, backbone_L43, true_L)]
    views += [View(method, protein.sequence, backbone_L43, prob_L) for method, prob_L in along.items()]
    high = round(float(max(0.1, *(prob_L.max() for prob_L in along.values()))), 2)
    caption = (
        "Yellow: true sites, and high probabilities. The chain alone, as it is in its complex; drag it to turn it."
    )
    return ReportStructures(f"Sites of {protein.id} in space", views, 0.0, high, caption)


def without_constants(scores: Mapping[str, Sequence[np.ndarray]]) -> dict[str, Sequence[np.ndarray]]:
    """Methods whose scores differ between residues."""
    return {method: trainings for method, trainings in scores.items() if np.ptp(trainings[0]) > 0}


def headline(rows: Sequence[Row], gains: Sequence[Row]) -> str:
    """Say which method has the highest F, and what embeddings gain in AUPRC."""
    best = max(rows, key=lambda row: row["f"])
    text = f"On {rows[0]['proteins']} test proteins ({rows[0]['residues']:,} residues, {rows[0]['sites']:.3f} of them "
    text += f"sites), {best['method']} has the highest F, {cell(best, 'f')}."
    for gain in gains:
        if gain["column"] == "auprc" and " + " in gain["method"]:
            text += f" {gain['method']} gains {gain_cell(gain)} AUPRC over {gain['reference']}."
    return text


def report_tables(rows: Sequence[Row], gains: Sequence[Row]) -> list[ReportTable]:
    """At the threshold of validation, at the best one, spreads over trainings, gains."""
    body = [[row["method"], *(cell(row, name) for name in COLUMNS)] for row in rows]
    own = [[row["method"], *(cell(row, name) for name in ON_TEST)] for row in rows]
    head = f"{rows[0]['proteins']} test proteins in {rows[0]['clusters']} clusters; 95 % intervals over clusters."
    tables = [
        ReportTable("At the threshold of validation", ["", *COLUMNS.values()], body, head),
        ReportTable("At the threshold that is best on the test set", ["", *ON_TEST.values()], own),
    ]
    if several := [row for row in rows if row["trainings"] > 1]:
        lines = [[row["method"], *(spread(row, name) for name in COLUMNS)] for row in several]
        caption = f"Mean ± standard deviation of {several[0]['trainings']} trainings."
        tables.append(ReportTable("Spread over trainings", ["", *COLUMNS.values()], lines, caption))
    if gains:
        header, lines = gain_table(gains)
        tables.append(ReportTable(header[0], ["", *header[1:]], lines, "Paired: the same test proteins."))
    return tables


def example(proteins: Sequence[SiteProtein]) -> int:
    """The protein of median length, among those with sites where there are any."""
    having = [n for n, one in enumerate(proteins) if (one.label_L == 1).any()] or list(range(len(proteins)))
    having.sort(key=lambda n: (len(proteins[n].sequence), proteins[n].id))
    return having[len(having) // 2]
