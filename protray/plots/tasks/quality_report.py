"""The report of a quality run: tables and figures, and the sentences at the top.

Shape key:  N decoys   L residues   S scores
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from protray.data.decoys.table import Decoy
from protray.evaluation.tasks.quality.tables import (
    COLUMNS,
    GDT_TS,
    Predictions,
    Row,
    cell,
    kind_table,
    of_models,
    with_gdt_ts,
)
from protray.models.tasks.graphqa_config import LOCAL
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.structure.viewer import ReportStructures, View
from protray.plots.tasks.function import losses_figure
from protray.plots.tasks.quality import curves_figure, profile_figure, scatter_figure

DERIVED = (
    "The decoys are derived from native structures by turning torsions, swinging stretches and adding smooth noise. "
    "They are no predictions of any program, and easier or harder than those in ways that nobody has measured: these "
    "numbers say that the method works here, not how well it would do at CASP."
)
NOTES = (
    "GDT_TS, TM-score and lDDT are computed from C-alpha atoms alone; residues are matched by their sequences, and "
    "those that a decoy lacks count as wrong.",
    "RMSE, R (Pearson) and Spearman are over all decoys; R_target and Spearman per target are means over targets of "
    "the correlation within one. z is the z-score of the true GDT_TS of the decoy that is predicted best of its "
    "target. FRL_5 is what a user loses who looks at the five decoys that are predicted to be the best. rho and "
    "rho_decoy are Spearman's correlations over all residues, and within decoys.",
    "A constant has no correlation; its z is 0, and its FRL_5 is that of five decoys by chance. The linear fit has "
    "length, compactness, contacts, angles and bond lengths: what it reaches needs no network.",
    "Brackets are 95 % percentile bootstrap intervals over targets. They do not contain the spread between trainings "
    "with other seeds. Fewer than ten have none: it would be too narrow.",
)


def write_quality_report(
    path: Path, decoys: Sequence[Decoy], predictions: Predictions, rows: Sequence[Row], kinds: Sequence[Row],
    histories: Mapping[str, Sequence[Mapping[str, float]]], facts: Mapping[str, str], *, derived: bool,
    more: Sequence[tuple[str, list[str], list[list[str]]]] = (),
) -> None:  # fmt: skip
    """Write the whole report; see `protray.plots.report.write_report`.

    Parameters
    ----------
    decoys : sequence of Decoy
        Of the test targets.
    predictions : mapping of method to scores of each decoy
    rows, kinds : sequence of dict
        From `protray.evaluation.tasks.quality.tables.quality_rows` and `kind_rows`.
    histories : mapping of a network, or of an encoder that was trained on, to its logged points
    derived : bool
        Whether the decoys were derived from natives, which the report then says first.
    more : sequence of title, header and lines
        Tables of encoders that were trained on.
    """
    known = with_gdt_ts(decoys)
    true_N = np.array([decoys[n].global_S[GDT_TS] for n in known])
    predicted = {method: of_models(found, known) for method, found in predictions.items()}
    shown = example(decoys)
    lddt = LOCAL.index("lddt")
    along = {method: predictions[method][shown][0][:, lddt] for method in histories if method in predictions}
    one, kept = decoys[shown], "The epoch with the lowest validation loss is kept."
    figures = [
        ReportFigure("Predicted and true GDT_TS", scatter_figure(true_N, predicted, [decoys[n].kind for n in known])),
        ReportFigure(
            f"lDDT along {one.id}", profile_figure(one.local_LS[:, lddt], along, one.index_L),
            f"The test decoy of middling quality whose residues differ most; {one.kind}, GDT_TS "
            f"{one.global_S[GDT_TS]:.2f}.",
        ),
        ReportFigure("Training", curves_figure({name: histories[name] for name in along}), kept),
    ]  # fmt: skip
    if tuned := {name: history for name, history in histories.items() if name not in along}:
        told = "Epoch 0 is the linear read-out of the frozen encoder; the epoch of the lowest validation error is kept."
        figures.append(ReportFigure("Encoders that are trained on", losses_figure(tuned), told))
    tables = quality_report_tables(rows, kinds) + [ReportTable(*table, "") for table in more]
    of_residues = {"true": one.local_LS[:, lddt], **along}
    views = [View(f"{one.id}, {name}", one.sequence, one.backbone_L43, lddt_L) for name, lddt_L in of_residues.items()]
    write_report(
        path, "protray: quality of protein models", tables, figures, facts, NOTES,
        [*([DERIVED] if derived else []), headline(rows)],
        [ReportStructures(f"lDDT of residues of {one.id}, true and predicted", views, 0, 1, "Drag to turn.")],
    )  # fmt: skip


def headline(rows: Sequence[Row]) -> str:
    """Say which method has the lowest error, and which ranks best within targets."""
    nearest = min(rows, key=lambda row: row["rmse"])
    ranked = [row for row in rows if row["spearman_target"] is not None]
    found = f"On {rows[0]['decoys']} decoys of {rows[0]['targets']} test targets, {nearest['method']} has the lowest "
    found += f"error of GDT_TS, {cell(nearest, 'rmse')}"
    if not ranked:
        return found + "."
    best = max(ranked, key=lambda row: row["spearman_target"])
    same = "it also orders" if best is nearest else f"{best['method']} orders"
    return found + f"; {same} the decoys of a target best (Spearman {cell(best, 'spearman_target')})."


def quality_report_tables(rows: Sequence[Row], kinds: Sequence[Row]) -> list[ReportTable]:
    """GDT_TS of whole models, its error by kind of decoys, then each score of residues that is known."""
    head = f"{rows[0]['decoys']} decoys of {rows[0]['targets']} test targets; 95 % intervals over targets."
    whole = [[row["method"], *(cell(row, name) for name in COLUMNS)] for row in rows]
    tables = [ReportTable("GDT_TS of models", ["", *COLUMNS.values()], whole, head)]
    if len({row["kind"] for row in kinds}) > 1:
        header, lines = kind_table(kinds)
        tables.append(ReportTable("Error by kind of decoys", ["", *header[1:]], lines, "RMSE of GDT_TS."))
    for name in LOCAL:
        if f"{name}_rho" in rows[0]:
            body = [[row["method"], cell(row, f"{name}_rho"), cell(row, f"{name}_rho_decoy")] for row in rows]
            caption = f"{rows[0][f'{name}_residues']} residues."
            tables.append(ReportTable(f"{name} of residues", ["", "rho", "rho_decoy"], body, caption))
    return tables


def example(decoys: Sequence[Decoy]) -> int:
    """Of the third of the decoys with middling GDT_TS, the one whose lDDT varies most along the chain."""
    scores = np.array([decoy.global_S[GDT_TS] for decoy in decoys])
    order = np.argsort(np.where(np.isnan(scores), -1, scores))
    third = max(1, len(order) // 3)
    middle = order[third : 2 * third] if len(order) >= 3 else order
    known = [decoys[n].local_LS[np.isfinite(decoys[n].local_LS[:, 0]), LOCAL.index("lddt")] for n in middle]
    spread = [float(lddt_L.std()) if len(lddt_L) else 0.0 for lddt_L in known]
    return int(middle[int(np.argmax(spread))])
