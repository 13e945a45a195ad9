"""Table 1 of Guo et al. (AAAI 2022) for any methods: rows for a file, gains over one of them, and markdown.

Rows are plain dicts, ready for JSON: a number that does not exist is None.

Shape key:  L residues of a decoy   S scores   N decoys, or residues of all
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from protray.data.decoys.table import Decoy
from protray.evaluation.bootstrap import pair, paired_interval
from protray.evaluation.cells import cell, gain_cell, markdown_table
from protray.evaluation.tasks.quality.scores import OF_TARGETS, global_row, local_row, target_values
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL

Predictions = Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]]  # method -> scores (L, S) and (S,) of each decoy
Row = dict[str, Any]

GDT_TS = GLOBAL.index("gdt_ts")
COLUMNS = {
    "rmse": "RMSE", "r": "R", "r_target": "R_target", "z": "z", "frl5": "FRL_5",
    "spearman": "Spearman", "spearman_target": "per target",
}  # fmt: skip
LOWER_IS_BETTER = ("rmse", "frl5")


def quality_rows(decoys: Sequence[Decoy], predictions: Predictions, *, seed: int = 0) -> list[Row]:
    """Score every method on the same decoys.

    Returns
    -------
    rows : list of dict
        ``method``; the columns of `protray.evaluation.tasks.quality.scores.global_row` for GDT_TS, which are those of
        PSR, too; and of `local_row` with the score's name before them (``lddt_rho``), for each score of residues that
        is known.

    Raises
    ------
    ValueError
        If GDT_TS of no decoy is known.
    """
    known = with_gdt_ts(decoys)
    if not known:
        raise ValueError(f"GDT_TS of none of {len(decoys)} decoys is known; there is nothing to compare with")
    true_N, targets = _true(decoys, known)
    rows = []
    for method, found in predictions.items():
        row = {"method": method} | global_row(of_models(found, known), true_N, targets, seed=seed)
        for score, name in enumerate(LOCAL):
            row |= _of_residues(decoys, found, score, name, seed)
        rows.append(row)
    return rows


def kind_rows(decoys: Sequence[Decoy], predictions: Predictions, *, seed: int = 0) -> list[Row]:
    """The columns of `global_row` for GDT_TS, of each method on the decoys of each kind; ``method``, ``kind``."""
    known = with_gdt_ts(decoys)
    rows = []
    for kind in sorted({decoys[n].kind for n in known}):
        mine = [n for n in known if decoys[n].kind == kind]
        true_N, targets = _true(decoys, mine)
        for method, found in predictions.items():
            row = global_row(of_models(found, mine), true_N, targets, seed=seed)
            rows.append({"method": method, "kind": kind} | row)
    return rows


def gain_rows(decoys: Sequence[Decoy], predictions: Predictions, reference: str, *, seed: int = 0) -> list[Row]:
    """What every other method gains over `reference` in the means over targets, paired: the same targets of both.

    Returns
    -------
    rows : list of dict
        ``method``, ``reference``, ``column``, ``gain`` (above 0 is better in each column), ``gain_ci95``, ``targets``.
    """
    known = with_gdt_ts(decoys)
    true_N, targets = _true(decoys, known)
    values = {method: target_values(of_models(found, known), true_N, targets) for method, found in predictions.items()}
    rows = []
    for method in predictions:
        for column in OF_TARGETS if method != reference else ():
            pairs = zip(values[method][column], values[reference][column], strict=True)
            both = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
            sign = -1 if column in LOWER_IS_BETTER else 1
            rows.append({
                "method": method, "reference": reference, "column": column, "targets": len(both),
                "gain": float(sign * (both[:, 0] - both[:, 1]).mean()) if len(both) else None,
                "gain_ci95": pair(paired_interval(sign * both[:, 0], sign * both[:, 1], seed=seed)),
            })  # fmt: skip
    return rows


def markdown(rows: Sequence[Row], kinds: Sequence[Row], gains: Sequence[Row]) -> str:
    """A table of GDT_TS, of its error by kind, of the scores of residues, of the gains; 95 % intervals in brackets."""
    head = f"GDT_TS, {rows[0]['decoys']} decoys of {rows[0]['targets']} targets"
    body = [[row["method"], *(cell(row, name) for name in COLUMNS)] for row in rows]
    parts = [markdown_table([head, *COLUMNS.values()], body)]
    for name in LOCAL:
        if f"{name}_rho" in rows[0]:
            head = f"{name} of {rows[0][f'{name}_residues']} residues"
            columns = (f"{name}_rho", f"{name}_rho_decoy")
            body = [[row["method"], *(cell(row, column) for column in columns)] for row in rows]
            parts.append(markdown_table([head, "rho", "rho_decoy"], body))
    if len({row["kind"] for row in kinds}) > 1:
        parts.append(markdown_table(*kind_table(kinds)))
    if gains:
        columns = list(dict.fromkeys(row["column"] for row in gains))
        of = {(row["method"], row["column"]): row for row in gains}
        body = [[method, *(gain_cell(of[method, column]) for column in columns)]
                for method in dict.fromkeys(row["method"] for row in gains)]  # fmt: skip
        heads = [f"gain over {gains[0]['reference']}", *(COLUMNS[column] for column in columns)]
        parts.append(markdown_table(heads, body))
    return "\n\n".join(parts) + "\n"


def kind_table(kinds: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: the RMSE of GDT_TS, a line for each method, a column for each kind of decoys."""
    of = {(row["method"], row["kind"]): row for row in kinds}
    names = list(dict.fromkeys(row["kind"] for row in kinds))
    body = [
        [method, *(cell(of[method, kind], "rmse") for kind in names)]
        for method in dict.fromkeys(row["method"] for row in kinds)
    ]
    return ["RMSE of GDT_TS by kind", *names], body


def with_gdt_ts(decoys: Sequence[Decoy]) -> list[int]:
    """Numbers of the decoys whose GDT_TS is known."""
    return [n for n, decoy in enumerate(decoys) if np.isfinite(decoy.global_S[GDT_TS])]


def of_models(found: Sequence[tuple[np.ndarray, np.ndarray]], known: Sequence[int]) -> np.ndarray:
    """The predicted GDT_TS of some decoys."""
    return np.array([found[n][1][GDT_TS] for n in known], dtype=float)


def _true(decoys: Sequence[Decoy], known: Sequence[int]) -> tuple[np.ndarray, list[str]]:
    """GDT_TS of some decoys, and their targets."""
    return np.array([decoys[n].global_S[GDT_TS] for n in known]), [decoys[n].target for n in known]


def _of_residues(
    decoys: Sequence[Decoy], found: Sequence[tuple[np.ndarray, np.ndarray]], score: int, name: str, seed: int
) -> Row:
    """The columns of one score of residues; none where it is not known of any."""
    masks = [np.isfinite(decoy.local_LS[:, score]) for decoy in decoys]
    sizes = [int(mask_L.sum()) for mask_L in masks]
    if not sum(sizes):
        return {}
    true_N = np.concatenate([decoy.local_LS[mask_L, score] for decoy, mask_L in zip(decoys, masks, strict=True)])
    predicted_N = np.concatenate([local_LS[mask_L, score] for (local_LS, _), mask_L in zip(found, masks, strict=True)])
    names = [np.repeat([getattr(decoy, key) for decoy in decoys], sizes) for key in ("id", "target")]
    row = local_row(predicted_N, true_N, names[0], names[1], seed=seed)  # type: ignore[arg-type]
    return {f"{name}_{key}": value for key, value in row.items()}
