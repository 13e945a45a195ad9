"""The paper's Tables 2 to 4 for any methods: rows for a file, and markdown and terminal tables for people.

A row is a plain dict, ready for JSON: a number that does not exist (the mean of no protein, the interval of one) is
None, never nan.

Shape key:  B proteins of a set   L residues
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from protray.evaluation.bins import DISJOINT_BINS, TABLE_BINS, Bin
from protray.evaluation.bootstrap import interval, paired_interval
from protray.evaluation.secondary import SetScores, count_correct, score_set

if TYPE_CHECKING:
    import rich.table

Predictions = Mapping[str, Mapping[str, np.ndarray]]  # method -> protein id -> codes_L
Row = dict[str, Any]

DEPTH_NAMES = {"count": "homologs", "meff": "Meff"}


@dataclass(frozen=True)
class LabelledProteins:
    """A test set: labels by protein id, and the depth of each protein's alignment in the same order."""

    ss3: Mapping[str, np.ndarray]  # codes 0..2, UNLABELLED where there is no label
    msa_count_B: np.ndarray  # homologs, the query not counted
    meff_B: np.ndarray  # effective number of sequences
    ss8: Mapping[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        for name in ("msa_count_B", "meff_B"):
            if len(getattr(self, name)) != len(self.ss3):
                raise ValueError(f"{len(self.ss3)} proteins have labels but {name} has {len(getattr(self, name))} entries")
        if self.ss8 is not None and list(self.ss8) != list(self.ss3):
            raise ValueError("ss8 and ss3 must have the same protein ids in the same order")

    def select(self, bin: Bin) -> np.ndarray:
        """Bool mask of the proteins in `bin`."""
        return bin.select(self.msa_count_B if bin.by == "count" else self.meff_B)


def table_rows(
    predictions: Predictions, proteins: LabelledProteins, predictions8: Predictions | None = None, *, seed: int = 0
) -> list[Row]:
    """Score every method at the thresholds of the paper's Tables 2 and 3, and on all proteins.

    Parameters
    ----------
    predictions : mapping of method to mapping of protein id to ndarray, shape=(L,)
        Three-state codes.
    predictions8 : the same, optional
        Eight-state codes of those methods that predict them.

    Returns
    -------
    rows : list of dict
        ``by`` ("count" or "meff"), ``max`` (None for all proteins), ``n`` proteins, ``method``, ``q3`` (mean over
        proteins), ``ci95`` [low, high] of it, ``q3_residue`` and ``n_residues`` (all residues together), ``sov`` and
        ``q8`` (means over proteins; ``q8`` is None where a method has none).

    Raises
    ------
    ValueError
        Naming the method and the protein whose prediction is missing or does not fit its labels.
    """
    return _rows(predictions, proteins, predictions8, TABLE_BINS, seed)


def bin_rows(
    predictions: Predictions, proteins: LabelledProteins, predictions8: Predictions | None = None, *, seed: int = 0
) -> list[Row]:
    """Score every method in disjoint bins, the deep proteins included; rows as `table_rows`, and ``above``.

    A bin holds the proteins with above < depth <= max; None leaves that side open.
    """
    rows = _rows(predictions, proteins, predictions8, DISJOINT_BINS, seed)
    return [{**row, "above": bin.above} for row, bin in zip(rows, _repeat(DISJOINT_BINS, predictions), strict=True)]


def gain_rows(
    predictions: Predictions,
    proteins: LabelledProteins,
    reference: str,
    bins: Sequence[Bin] = TABLE_BINS,
    *,
    seed: int = 0,
) -> list[Row]:
    """Q3 of every other method minus that of `reference` on the same proteins, with the paired interval.

    Returns
    -------
    rows : list of dict
        ``by``, ``max``, ``above``, ``n``, ``method``, ``reference``, ``gain`` and its ``ci95``.
    """
    if reference not in predictions:
        raise ValueError(f"no method {reference!r} to compare with; there are {list(predictions)}")
    accuracy = {method: scores.accuracy_B for method, scores in _score(predictions, proteins).items()}
    rows = []
    for bin in bins:
        keep_B = proteins.select(bin)
        for method in predictions:
            if method == reference:
                continue
            value_B, reference_B = accuracy[method][keep_B], accuracy[reference][keep_B]
            rows.append(
                {
                    "by": bin.by,
                    "max": bin.max,
                    "above": bin.above,
                    "n": int(keep_B.sum()),
                    "method": method,
                    "reference": reference,
                    "gain": _mean(value_B - reference_B),
                    "ci95": _json(paired_interval(value_B, reference_B, seed=seed)),
                }
            )
    return rows


def pivot(rows: Sequence[Row], value: str = "q3") -> tuple[list[str], list[list[str]]]:
    """Lay rows of one ``by`` out as the paper does: a line per bin, a column per method.

    Cells read ``0.712 [0.69, 0.73]``; the interval stands where `value` is ``q3`` or ``gain``, which it belongs to, and
    a missing number is a dash.

    Returns
    -------
    header, body : list of str, list of list of str
        The first two columns are the bin and n.
    """
    by = {row["by"] for row in rows}
    if len(by) != 1:
        raise ValueError(f"a table holds rows of one depth measure, got {sorted(by)}; split the rows by their 'by'")
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines: dict[Bin, dict[str, Row]] = {}
    for row in rows:
        lines.setdefault(Bin(row["by"], row["max"], row.get("above")), {})[row["method"]] = row
    body = [
        [bin.label, str(next(iter(cells.values()))["n"])]
        + [_cell(cells[method], value) if method in cells else "–" for method in methods]
        for bin, cells in lines.items()
    ]
    return [DEPTH_NAMES[by.pop()], "n", *methods], body


def to_markdown(rows: Sequence[Row], value: str = "q3") -> str:
    """Markdown tables of `rows`, one per depth measure, separated by an empty line."""
    tables = []
    for group in _by_depth(rows):
        header, body = pivot(group, value)
        align = ["---", *["---:"] * (len(header) - 1)]
        tables.append(
            "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [header, align, *body])
        )
    return "\n\n".join(tables) + "\n"


def to_rich(rows: Sequence[Row], value: str = "q3") -> "list[rich.table.Table]":
    """Terminal tables of `rows`, one per depth measure."""
    from rich.table import Table
    from rich.text import Text  # cells are Text: "[0.69, 0.73]" must not be read as markup

    tables = []
    for group in _by_depth(rows):
        header, body = pivot(group, value)
        table = Table()
        for column, name in enumerate(header):
            table.add_column(Text(name), justify="left" if column == 0 else "right")
        for line in body:
            table.add_row(*(Text(cell) for cell in line))
        tables.append(table)
    return tables


def _rows(
    predictions: Predictions,
    proteins: LabelledProteins,
    predictions8: Predictions | None,
    bins: Sequence[Bin],
    seed: int,
) -> list[Row]:
    scores = _score(predictions, proteins)
    q8 = _q8(predictions8 or {}, proteins)
    rows = []
    for bin in bins:
        keep_B = proteins.select(bin)
        for method, score in scores.items():
            labelled = int(score.labelled_B[keep_B].sum())
            rows.append(
                {
                    "by": bin.by,
                    "max": bin.max,
                    "n": int(keep_B.sum()),
                    "method": method,
                    "q3": _mean(score.accuracy_B[keep_B]),
                    "ci95": _json(interval(score.accuracy_B[keep_B], seed=seed)),
                    "q3_residue": float(score.correct_B[keep_B].sum() / labelled) if labelled else None,
                    "n_residues": labelled,
                    "sov": _mean(score.sov_B[keep_B]),
                    "q8": _mean(q8[method][keep_B]) if method in q8 else None,
                }
            )
    return rows


def _score(predictions: Predictions, proteins: LabelledProteins) -> dict[str, SetScores]:
    scores = {}
    for method, codes in predictions.items():
        try:
            scores[method] = score_set(codes, proteins.ss3)
        except ValueError as error:
            raise ValueError(f"method {method!r}: {error}") from error
    return scores
