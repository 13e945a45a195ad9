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
from protray.evaluation.bootstrap import interval, pair
from protray.evaluation.cells import markdown_table, with_interval
from protray.evaluation.secondary import SetScores, score_set

if TYPE_CHECKING:
    import rich.table

Predictions = Mapping[str, Mapping[str, np.ndarray]]  # method -> protein id -> codes_L
Row = dict[str, Any]

DEPTH_NAMES = {"count": "homologs", "meff": "Meff"}


@dataclass(frozen=True)
class LabelledProteins:
    """A test set: labels by protein id, and the depth of each protein's alignment in the same order."""

    ss3: Mapping[str, np.ndarray]  # codes 0..2, IGNORE where there is no label
    msa_count: np.ndarray  # shape (B,), homologs, the query not counted
    meff: np.ndarray  # shape (B,), effective number of sequences
    ss8: Mapping[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        for name in ("msa_count", "meff"):
            if len(getattr(self, name)) != len(self.ss3):
                raise ValueError(
                    f"{len(self.ss3)} proteins have labels but {name} has {len(getattr(self, name))} entries"
                )
        if self.ss8 is not None and list(self.ss8) != list(self.ss3):
            raise ValueError("ss8 and ss3 must have the same protein ids in the same order")

    def select(self, bin: Bin) -> np.ndarray:
        """Bool mask of the proteins in `bin`."""
        return bin.select(self.msa_count if bin.by == "count" else self.meff)


def table_rows(
    predictions: Predictions, proteins: LabelledProteins, predictions8: Predictions | None = None
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
        ``by`` ("count" or "meff"), ``max`` (None for all proteins), ``n`` proteins, ``method``, ``q3``, ``sov`` and
        ``q8`` (means over proteins; ``q8`` is None where a method has none), ``q3_residue`` (all ``n_residues``
        together), and the interval [low, high] of each: ``ci95`` of ``q3``, ``sov_ci95`` and so on of the others; of
        fewer than `bootstrap.FEWEST` proteins [None, None].

    Raises
    ------
    ValueError
        Naming the method and the protein whose prediction is missing or does not fit its labels.
    """
    rows = _rows(predictions, proteins, predictions8, TABLE_BINS)
    return [{key: value for key, value in row.items() if key != "above"} for row in rows]


def bin_rows(
    predictions: Predictions, proteins: LabelledProteins, predictions8: Predictions | None = None
) -> list[Row]:
    """Score every method in disjoint bins, the deep proteins included; rows as `table_rows`, and ``above``.

    A bin holds the proteins with above < depth <= max; None leaves that side open.
    """
    return _rows(predictions, proteins, predictions8, DISJOINT_BINS)


def gain_rows(
    predictions: Predictions,
    proteins: LabelledProteins,
    reference: str,
    bins: Sequence[Bin] = TABLE_BINS,
) -> list[Row]:
    """Q3 of every other method minus that of `reference` on the same proteins, with the paired interval.

    Returns
    -------
    rows : list of dict
        ``by``, ``max``, ``above``, ``n``, ``method``, ``reference``, ``gain`` and its ``ci95``.
    """
    if reference not in predictions:
        raise ValueError(f"no method {reference!r} to compare with; there are {list(predictions)}")
    accuracy = {method: scores.accuracy for method, scores in _score(predictions, proteins.ss3, 3).items()}
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
                    "ci95": pair(interval(value_B - reference_B)),
                }
            )
    return rows


def pivot(rows: Sequence[Row], value: str = "q3") -> tuple[list[str], list[list[str]]]:
    """Lay rows of one ``by`` out as the paper does: a line per bin, a column per method.

    Cells read ``0.712 [0.69, 0.73]``; a missing number is a dash.

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
    """Markdown tables of `rows`, one per depth measure: a line per method, a column per bin."""
    tables = []
    for group in _by_depth(rows):
        header, body = pivot(group, value)
        columns = zip(*([line[0], f"n = {line[1]}", *line[2:]] for line in body), strict=True)
        head, *lines = ([name, *cells] for name, cells in zip([header[0], "", *header[2:]], columns, strict=True))
        tables.append(markdown_table(head, lines))
    return "\n\n".join(tables) + "\n"


def to_rich(rows: Sequence[Row]) -> "list[rich.table.Table]":
    """Terminal tables of `rows`, one per depth measure: a line per method, a column per bin, to fit 100 characters."""
    from rich import box
    from rich.table import Table
    from rich.text import Text  # cells are Text: "[0.69, 0.73]" must not be read as markup

    tables = []
    for group in _by_depth(rows):
        header, body = pivot(group)
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column(Text(header[0]))
        for bin, n, *_ in body:
            table.add_column(Text(f"{bin}\nn = {n}"), justify="right", no_wrap=True)
        for column, method in enumerate(header[2:], start=2):
            table.add_row(Text(method), *(Text(line[column].replace(" [", "\n[")) for line in body))
        tables.append(table)
    return tables


def _rows(
    predictions: Predictions,
    proteins: LabelledProteins,
    predictions8: Predictions | None,
    bins: Sequence[Bin],
) -> list[Row]:
    """One row per bin and method, with every key that either public table needs."""
    if predictions8 and proteins.ss8 is None:
        raise ValueError(f"{list(predictions8)} predict eight states but the proteins have no eight-state labels")
    scores = _score(predictions, proteins.ss3, 3)
    scores8 = _score(predictions8 or {}, proteins.ss8 or {}, 8)
    rows = []
    for bin in bins:
        keep_B = proteins.select(bin)
        for method, score in scores.items():
            labelled_B = score.labelled[keep_B]
            values = {
                "q3": _with_interval("q3", score.accuracy[keep_B]),
                "q3_residue": _with_interval("q3_residue", score.accuracy[keep_B], labelled_B),
                "sov": _with_interval("sov", score.sov[keep_B]),
                "q8": _with_interval("q8", scores8[method].accuracy[keep_B] if method in scores8 else _NONE),
            }
            row = {"by": bin.by, "max": bin.max, "above": bin.above, "n": len(labelled_B), "method": method}
            row["n_residues"] = int(labelled_B.sum())
            rows.append({key: value for part in (row, *values.values()) for key, value in part.items()})
    return rows


_NONE = np.empty(0)


def _interval_of(name: str) -> str:
    """The key of a measure's interval; that of a table's own measure is short."""
    return "ci95" if name in ("q3", "gain") else f"{name}_ci95"


def _with_interval(name: str, values_B: np.ndarray, weights_B: np.ndarray | None = None) -> Row:
    """The mean of `values_B` under `name`, and its interval beside it."""
    return {
        name: _mean(values_B, weights_B),
        _interval_of(name): pair(interval(values_B, weights_B=weights_B)),
    }


def _score(predictions: Predictions, labels: Mapping[str, np.ndarray], n_states: int) -> dict[str, SetScores]:
    """Score every method, and put its name into the message where one cannot be scored."""
    scores = {}
    for method, codes in predictions.items():
        try:
            scores[method] = score_set(codes, labels, n_states)
        except ValueError as error:
            raise ValueError(f"method {method!r}: {error}") from error
    return scores


def _mean(values_B: np.ndarray, weights_B: np.ndarray | None = None) -> float | None:
    return float(np.average(values_B, weights=weights_B)) if len(values_B) else None


def _cell(row: Row, value: str) -> str:
    """The number with 3 decimals, then the interval where the number has one."""
    styles = ("+z.3f", None) if value == "gain" else (".3f", ".2f")
    return with_interval(row[value], row[_interval_of(value)], *styles)


def _by_depth(rows: Iterable[Row]) -> list[list[Row]]:
    """Split rows by depth measure, in the order of first appearance."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["by"], []).append(row)
    return list(groups.values())
