"""The report of a distillation run: which tables and figures, in which order, and the sentence at the top."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protray.evaluation.baselines import TRIVIAL
from protray.evaluation.distil import OURS, REFERENCE
from protray.evaluation.tables import pivot
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.secondary.gain import gain_figure
from protray.seq.secondary import STATES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABLATION = "w/o"  # methods whose name starts so are ablations, as in the paper's Table 4

Row = dict[str, Any]

TITLE = "protray: secondary structure from shallow alignments"
NOTES = (
    "Q3 is the share of residues whose state (H helix, E strand, C rest) is predicted right, taken per protein and "
    "averaged over proteins, as in PSSM-Distil. All residues count, alanine included. Numbers are shares of 1, never "
    "per cent.",
    "Brackets are 95 % percentile bootstrap intervals over the test proteins: what other test proteins of the same "
    "kind would have given. They do not contain the spread between training runs with other seeds. Fewer than ten "
    "proteins have none, since it would be too narrow.",
    "Two intervals may overlap and the methods still differ: the table of differences compares them protein by "
    "protein. A difference whose interval contains 0 may be nothing.",
    "Homologs are the rows of a protein's alignment without the protein itself. Meff counts them by how different they "
    "are. The thresholds overlap: a protein without homologs is in every row with ≤.",
    "Real is the same classifier without any enhancement. The paper trains it on shallow proteins only; trained on all "
    "proteins it is the stronger opponent, and the one to beat.",
    "The paper's own numbers at 60 homologs or fewer (Real 0.707, Bagging 0.736, PSSM-Distil 0.778) come from other "
    "proteins (BC40) and a deeper database, and its evaluation code left alanine out: they are no target for these "
    "tables.",
)


def headline(rows: Sequence[Row], gains: Sequence[Row]) -> list[str]:
    """Say in words what `OURS` gains over the reference at 60 homologs or fewer, and at none; or that it is useless.

    Parameters
    ----------
    rows, gains : sequence of dict
        From `table_rows` and `gain_rows` of `protray.evaluation.tables`, at the paper's thresholds.
    """
    of_all = {row["method"]: row["q3"] for row in rows if row["by"] == "count" and row["max"] is None}
    simple = max((name for name in TRIVIAL if name in of_all), key=lambda name: of_all[name], default=None)
    sentences = []
    if simple and OURS in of_all and of_all[OURS] <= of_all[simple]:
        sentences.append(
            f"{OURS} has learnt nothing of use: its Q3 on all test proteins, {of_all[OURS]:.3f}, is not above "
            f"{of_all[simple]:.3f}, that of the trivial baseline {simple!r}. Train it longer, or on more proteins."
        )
    for most, where in ((60, "On proteins with at most 60 homologs"), (0, "On proteins without homologs")):
        for row in gains:
            if (row["by"], row["max"], row["above"], row["method"]) == ("count", most, None, OURS) and row["n"]:
                sentences.append(f"{where} (n = {row['n']}), {_change(row)}")
    return sentences


def _change(row: Row) -> str:
    compared = f"{row['method']} differs from {row['reference']} by {row['gain']:+z.3f} in Q3"
    low, high = row["ci95"]
    if low is None:
        return f"{compared}; so few proteins have no interval."
    span = f"{compared} (95 % interval {low:+z.3f} to {high:+z.3f})"
    if low > 0:
        return f"{span}: better, the interval excludes 0."
    if high < 0:
        return f"{span}: worse, the interval excludes 0."
    return f"{span}: no difference that these proteins can show, the interval contains 0."


def confusion_table(residues_SS: np.ndarray) -> ReportTable:
    """Shares of each true state's residues by predicted state; the diagonal is the recall."""
    total_S = residues_SS.sum(axis=1)
    body = [
        [f"true {state}", str(total), *(f"{count / total:.3f}" if total else "–" for count in counts)]
        for state, total, counts in zip(STATES, total_S, residues_SS, strict=True)
    ]
    return ReportTable(
        "Where the residues go",
        ["", "residues", *(f"predicted {state}" for state in STATES)],
        body,
        f"{OURS} on all test proteins; each line adds up to 1.",
    )


def distil_tables(rows: Sequence[Row], bins: Sequence[Row], gains: Sequence[Row]) -> list[ReportTable]:
    """Tables 2 and 3, differences, ablations, trivial baselines, and the other measures.

    Parameters
    ----------
    rows, bins, gains : sequence of dict
        From `table_rows`, `bin_rows` and `gain_rows` of `protray.evaluation.tables`, gains at the paper's thresholds
        and above them.
    """
    main = [row for row in rows if row["method"] not in TRIVIAL and not row["method"].startswith(ABLATION)]
    deep = [row for row in bins if row["above"] is not None and row["max"] is None]
    names = {row["method"] for row in main}
    tables = []
    for by, title in (("count", "Table 2: Q3 by number of homologs"), ("meff", "Table 3: Q3 by Meff")):
        chosen = [row for row in (*main, *deep) if row["by"] == by and row["method"] in names]
        chosen.sort(key=lambda row: row["max"] is None and row.get("above") is None)  # all proteins last
        tables.append(_table(chosen, "q3", title, "Mean over proteins, with its 95 % interval."))
    tables.append(
        _table(
            sorted(
                (row for row in gains if row["by"] == "count" and row["method"] in names),
                key=lambda row: row["max"] is None and row["above"] is None,
            ),
            "gain", f"Difference in Q3 to {REFERENCE}", "Protein by protein (paired), with its 95 % interval.",
        )
    )  # fmt: skip
    ablated = [row for row in rows if row["by"] == "count" and row["method"].startswith(ABLATION)]
    if ablated:
        ours = [row for row in rows if row["by"] == "count" and row["method"] == OURS]
        tables.append(_table(ours + ablated, "q3", "Table 4: ablations", "Each leaves one part of the method out."))
    trivial = [row for row in rows if row["by"] == "count" and row["method"] in TRIVIAL]
    if trivial:
        tables.append(
            _table(
                trivial, "q3", "Trivial baselines", "What needs no alignment and no network: fitted on training labels."
            )
        )
    everything = [row for row in rows if row["by"] == "count"]
    for value, title in (
        ("q3_residue", "Q3 over all residues together"),
        ("sov", "Segment overlap (SOV'99)"),
        ("q8", "Q8"),
    ):
        scored = [row for row in everything if row[value] is not None]
        if scored:
            tables.append(_table(scored, value, title, _MEASURES[value]))
    return tables


_MEASURES = {
    "q3_residue": "Long proteins weigh more here than in Table 2.",
    "sov": "Mean over proteins of Zemla's measure: whole helices and strands count, not single residues.",
    "q8": "Eight DSSP states, mean over proteins.",
}


def _table(rows: Sequence[Row], value: str, title: str, caption: str) -> ReportTable:
    header, body = pivot(rows, value)
    return ReportTable(title, header, body, caption)


def write_distil_report(
    path: Path,
    rows: Sequence[Row],
    bins: Sequence[Row],
    gains: Sequence[Row],
    bin_gains: Sequence[Row],
    *,
    logos: "Mapping[str, Figure]",
    curves: "Figure | None",
    facts: Mapping[str, str],
    confusion_SS: np.ndarray | None = None,
) -> None:
    """Write the whole report of a distillation run; see `protray.plots.report.write_report`.

    Parameters
    ----------
    rows, bins, gains, bin_gains : sequence of dict
        `table_rows`, `bin_rows`, and `gain_rows` at the thresholds and in the disjoint bins.
    logos : mapping of heading to figure
        From `protray.plots.secondary.logo.logo_figure`.
    curves : Figure, optional
        From `protray.plots.secondary.curves.curves_figure`.
    confusion_SS : ndarray, shape=(3, 3), optional
        From `protray.evaluation.secondary.confusion`, of our method.
    """
    deep = [row for row in bin_gains if row["by"] == "count" and row["max"] is None]
    tables = distil_tables(rows, bins, [*gains, *deep])
    if confusion_SS is not None:
        tables.append(confusion_table(confusion_SS))
    shown = [name for name in (OURS, "Bagging") if any(row["method"] == name for row in bin_gains)]
    figures = [
        ReportFigure(
            f"Fig. 3: gain over {REFERENCE} by depth of the alignment",
            gain_figure(bin_gains, shown or None),
            "Every test protein is in exactly one bin of each panel. Whiskers are paired 95 % intervals.",
        )
    ]
    for rank, (heading, figure) in enumerate(logos.items()):
        figures.append(ReportFigure(heading, figure, "" if rank else _LOGO_CAPTION))
    if curves is not None:
        figures.append(ReportFigure("Training curves", curves))
    write_report(path, TITLE, tables, figures, facts, NOTES, headline(rows, gains))


_LOGO_CAPTION = (
    "Fig. 4: letters are as tall as their share of the column's information. Colours: black hydrophobic, orange Gly "
    "and Pro, green polar, blue basic, red acidic. Below: boxes are helices, arrows strands, lines the rest."
)
