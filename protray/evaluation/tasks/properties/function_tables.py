"""Tables of a function run: every method on the whole test split and on its parts, and gains over one of them.

Rows are plain dicts, ready for JSON.

Shape key:  B test proteins   T labels
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from protray.evaluation.bootstrap import interval_of
from protray.evaluation.cells import cell, gain_cell, markdown_table
from protray.evaluation.tasks.properties.function import macro_row, score_function
from protray.evaluation.tasks.properties.read_outs import input_of, read_out_of, same_read_out

Row = dict[str, Any]

WHOLE = "test"
COLUMNS = {
    "fmax": "Fmax", "f_validation": "F at validation's threshold", "aupr": "AUPR, micro", "aupr_macro": "AUPR, macro",
}  # fmt: skip
FEWEST = 10  # proteins of a part of the test split that is shown


def function_rows(
    predictions: Mapping[str, np.ndarray], true_BT: np.ndarray, clusters_B: Sequence[str],
    sets_B: Sequence[Sequence[str]], thresholds: Mapping[str, float], reference: str, *, heads: Collection[str] = (),
    first: str | None = None, seed: int = 0,
) -> list[Row]:  # fmt: skip
    """Score every method, whose `predictions` have shape (B, T), on the test split and on each set in `sets_B`.

    Returns
    -------
    rows : list of dict
        ``method``, ``read_out``, ``set``; the columns of
        `protray.evaluation.tasks.properties.function.score_function` and, of the whole split, of `macro_row` there;
        ``gain`` and ``gain_ci95``, what it gains over `reference` in Fmax, on the same draws of clusters; and
        ``gain_first`` and ``gain_first_ci95``, the same over the embedding `first` with the same read-out.
    """
    rows = []
    for name in (WHOLE, *sorted({found for sets in sets_B for found in sets}, key=_number)):
        mine = np.array([name == WHOLE or name in sets for sets in sets_B])
        if mine.sum() < FEWEST:
            continue
        clusters = [cluster for cluster, kept in zip(clusters_B, mine, strict=True) if kept]
        scored = {
            method: score_function(score_BT[mine], true_BT[mine], clusters, thresholds[method], seed=seed)
            for method, score_BT in predictions.items()
        }
        of_set = []
        for method, found in scored.items():
            named = {"method": method, "read_out": read_out_of(method, heads), "set": name}
            macro = macro_row(predictions[method], true_BT, clusters_B, seed) if name == WHOLE else {}
            of_set.append(named | {"threshold": thresholds[method]} | found.row | macro)
        drawn = {method: found.fmax_D for method, found in scored.items()}
        rows += with_gains(of_set, drawn, "fmax", reference, first)
    return rows


def with_gains(
    rows: Sequence[Row], drawn: Mapping[str, np.ndarray], column: str, reference: str | None, first: str | None
) -> list[Row]:
    """The rows with ``gain``, what each has of a `column` more than `reference`, and ``gain_first``, more than the
    embedding `first` with the same read-out; both with an interval over the draws that both have, ``NAME_ci95``.
    """
    value_of = {row["method"]: row[column] for row in rows if row[column] is not None}
    found = []
    for row in rows:
        method, gains = row["method"], {}
        others = {"gain": reference, "gain_first": same_read_out(first, row["read_out"]) if first else None}
        for name, other in others.items():
            if other and other != method and {method, other} <= value_of.keys():
                paired_D = drawn[method] - drawn[other]
                gains[name] = value_of[method] - value_of[other]
                gains[f"{name}_ci95"] = interval_of(paired_D[np.isfinite(paired_D)])
        found.append(row | gains)
    return found


def function_tables(
    rows: Sequence[Row], reference: str, first: str | None = None
) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and lines: all columns of the whole test split, then Fmax of each of its parts."""
    whole = [row for row in rows if row["set"] == WHOLE]
    one = whole[0]
    title = f"{one['proteins']} test proteins in {one['clusters']} clusters, {one['labels']} labels"
    gains = {"gain": f"gain over {reference}"}
    if any("gain_first" in row for row in whole):
        gains["gain_first"] = f"gain over {first}, same read-out"
    body = [
        [*_named(row), *(cell(row, name) for name in COLUMNS), f"{row['fmax_pairs']:.3f}",
         *(gain_cell(row, name) for name in gains)]
        for row in whole
    ]  # fmt: skip
    tables = [(title, ["", "read-out", *COLUMNS.values(), "Fmax, torchdrug's", *gains.values()], body)]
    parts = list(dict.fromkeys(row["set"] for row in rows if row["set"] != WHOLE))
    if parts:
        of = {(row["method"], row["set"]): row for row in rows}
        body = [[*_named(row), *(cell(of[row["method"], part], "fmax") for part in parts)] for row in whole]
        sizes = [f"{part} (n = {of[one['method'], part]['proteins']})" for part in parts]
        tables.append(("Fmax by identity to the training proteins", ["", "read-out", *sizes], body))
    return tables


def markdown(tables: Sequence[tuple[str, list[str], list[list[str]]]]) -> str:
    """The tables as text; 95 % intervals in brackets."""
    return "\n\n".join(markdown_table([title, *header[1:]], body) for title, header, body in tables) + "\n"


def _named(row: Row) -> tuple[str, str]:
    """A method's name without its read-out, and that."""
    return input_of(row["method"], row["read_out"]), row["read_out"]


def _number(name: str) -> tuple[int, str]:
    digits = "".join(letter for letter in name if letter.isdigit())
    return int(digits or 0), name
