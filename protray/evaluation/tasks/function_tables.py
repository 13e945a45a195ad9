"""Tables of a function run: every method on the whole test split and on its parts, and gains over one of them.

Rows are plain dicts, ready for JSON.

Shape key:  B test proteins   T labels
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from protray.evaluation.tasks.function import interval_of, score_function
from protray.evaluation.tasks.quality_tables import cell

Row = dict[str, Any]

WHOLE = "test"
COLUMNS = {"fmax": "Fmax", "f_validation": "F at validation's threshold", "aupr": "AUPR, micro"}
FEWEST = 10  # proteins of a part of the test split that is shown


def function_rows(
    predictions: Mapping[str, np.ndarray], true_BT: np.ndarray, clusters_B: Sequence[str],
    sets_B: Sequence[Sequence[str]], thresholds: Mapping[str, float], reference: str, *, seed: int = 0,
) -> list[Row]:  # fmt: skip
    """Score every method, whose `predictions` have shape (B, T), on the test split and on each set in `sets_B`.

    Returns
    -------
    rows : list of dict
        ``method``, ``set``, the columns of `protray.evaluation.tasks.function.score_function`; and ``gain`` and
        ``gain_ci95``, what it gains over `reference` in Fmax, on the same draws of clusters.
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
        base = scored[reference]
        for method, found in scored.items():
            row: Row = {"method": method, "set": name, "threshold": thresholds[method]} | found.row
            if method != reference:
                row["gain"] = found.row["fmax"] - base.row["fmax"]
                row["gain_ci95"] = interval_of(found.fmax_D - base.fmax_D)
            rows.append(row)
    return rows


def function_tables(rows: Sequence[Row], reference: str) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and lines: all columns of the whole test split, then Fmax of each of its parts."""
    whole = [row for row in rows if row["set"] == WHOLE]
    first = whole[0]
    title = f"{first['proteins']} test proteins in {first['clusters']} clusters, {first['labels']} labels"
    body = [
        [row["method"], *(cell(row, name) for name in COLUMNS), f"{row['fmax_pairs']:.3f}", _gain(row)] for row in whole
    ]
    header = ["", *COLUMNS.values(), "Fmax, torchdrug's", f"gain over {reference}"]
    tables = [(title, header, body)]
    parts = list(dict.fromkeys(row["set"] for row in rows if row["set"] != WHOLE))
    if parts:
        of = {(row["method"], row["set"]): row for row in rows}
        body = [[row["method"], *(cell(of[row["method"], part], "fmax") for part in parts)] for row in whole]
        sizes = [f"{part} (n = {of[first['method'], part]['proteins']})" for part in parts]
        tables.append(("Fmax by identity to the training proteins", ["", *sizes], body))
    return tables


def markdown(tables: Sequence[tuple[str, list[str], list[list[str]]]]) -> str:
    """The tables as text; 95 % intervals in brackets."""
    parts = []
    for title, header, body in tables:
        lines = [[title, *header[1:]], ["---"] * len(header), *body]
        parts.append("\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines))
    return "\n\n".join(parts) + "\n"


def _gain(row: Row) -> str:
    if "gain" not in row:
        return "–"
    low, high = row["gain_ci95"]
    return f"{row['gain']:+z.3f}" + ("" if low is None else f" [{low:+z.3f}, {high:+z.3f}]")


def _number(name: str) -> tuple[int, str]:
    digits = "".join(letter for letter in name if letter.isdigit())
    return int(digits or 0), name
