"""Table 2 of Guo et al. (AAAI 2022) for any methods: rows for a file, gains over one of them, and markdown.

Rows are plain dicts, ready for JSON: a number that does not exist is None.

Shape key:  B proteins   L residues   D draws of a bootstrap
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protray.data.sites.table import SiteProtein
from protray.evaluation.bootstrap import cluster_draws, interval_of
from protray.evaluation.cells import cell, gain_cell, markdown_table
from protray.evaluation.tasks.sites.scores import AREAS, RATES, Scored, measured

Row = dict[str, Any]
MEASURES = (*RATES, *AREAS, *(f"{name}_test" for name in RATES))
COLUMNS = {"acc": "ACC", "precision": "Precision", "recall": "Recall", "f": "F", "mcc": "MCC", "auprc": "AUPRC",
           "auroc": "AUROC"}  # fmt: skip
ON_TEST = {f"{name}_test": COLUMNS[name] for name in RATES}
GAINS = ("f", "mcc", "auprc", "auroc")


@dataclass(frozen=True)
class Trained:
    """One training of a method on the test proteins: scores (L,) of each, and the threshold of validation."""

    scores: Sequence[np.ndarray]
    threshold: float


def site_tables(
    proteins: Sequence[SiteProtein], methods: Mapping[str, Sequence[Trained]], reference: str, *, seed: int = 0
) -> tuple[list[Row], list[Row]]:
    """Score every method, of one or several trainings, on the same proteins.

    Returns
    -------
    rows : list of dict
        ``method``, ``trainings``, ``proteins``, ``clusters``, ``residues``, ``sites`` (their share), and of each of
        `MEASURES` the mean over trainings, their standard deviation (``NAME_sd``, None for one) and the 95 % interval
        of the mean for other proteins (``NAME_ci95``; clusters are drawn).
    gains : list of dict
        What every other method gains over `reference` in the mean over trainings, on the same draws: ``method``,
        ``reference``, ``column``, ``gain``, ``gain_ci95``.
    """
    labels, clusters = [protein.label_L for protein in proteins], [protein.cluster for protein in proteins]
    rows, drawn = [], {}
    for method, trainings in methods.items():
        sets = [Scored.of(one.scores, labels, clusters) for one in trainings]
        count = sets[0].clusters
        whole = [measured(one, of.threshold, np.ones((1, count))) for one, of in zip(sets, trainings, strict=True)]
        times_DC = cluster_draws(count, seed=seed)
        draws = [measured(one, of.threshold, times_DC) for one, of in zip(sets, trainings, strict=True)]
        row: Row = {"method": method, "trainings": len(sets), "proteins": len(proteins), "clusters": count}
        row |= {"residues": len(sets[0].score_N), "sites": float(sets[0].site_N.mean())}
        drawn[method] = {name: np.mean([one[name] for one in draws], axis=0) for name in MEASURES}
        for name in MEASURES:
            values = np.array([float(one[name][0]) for one in whole])
            row |= {name: _known(values.mean()), f"{name}_ci95": _ends(drawn[method][name])}
            row[f"{name}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else None
        rows.append(row)
    of = {row["method"]: row for row in rows}
    gains = [
        {
            "method": method, "reference": reference, "column": name, "gain": of[method][name] - of[reference][name],
            "gain_ci95": _ends(drawn[method][name] - drawn[reference][name]),
        }
        for method in methods for name in GAINS if method != reference
    ]  # fmt: skip
    return rows, gains


def measures_of(proteins: Sequence[SiteProtein], trained: Trained) -> dict[str, float]:
    """Those of `MEASURES` of one training that exist."""
    scored = Scored.of(trained.scores, [one.label_L for one in proteins], [one.cluster for one in proteins])
    found = measured(scored, trained.threshold, np.ones((1, scored.clusters)))
    return {name: float(value_D[0]) for name, value_D in found.items() if np.isfinite(value_D[0])}


def markdown(rows: Sequence[Row], gains: Sequence[Row]) -> str:
    """Tables at the threshold of validation, with intervals and with spreads; at the test set's own; gains."""
    head = f"{rows[0]['proteins']} proteins, {rows[0]['residues']} residues"
    parts = []
    own = "threshold that is best on the test set"
    for title, columns in ((f"{head}; threshold of validation", COLUMNS), (own, ON_TEST)):
        body = [[row["method"], *(cell(row, name) for name in columns)] for row in rows]
        parts.append(markdown_table([title, *columns.values()], body))
    several = [row for row in rows if row["trainings"] > 1]
    if several:
        names = {**COLUMNS, "f_test": "F, best on test", "mcc_test": "MCC, best on test"}
        count = several[0]["trainings"]
        body = [[row["method"], *(spread(row, name) for name in names)] for row in several]
        parts.append(markdown_table([f"mean ± sd of {count} trainings", *names.values()], body))
    if gains:
        parts.append(markdown_table(*gain_table(gains)))
    return "\n\n".join(parts) + "\n"


def gain_table(gains: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: what each method gains, with the paired interval."""
    of = {(row["method"], row["column"]): row for row in gains}
    body = [
        [method, *(gain_cell(of[method, name]) for name in GAINS)]
        for method in dict.fromkeys(row["method"] for row in gains)
    ]
    return [f"gain over {gains[0]['reference']}", *(COLUMNS[name] for name in GAINS)], body


def spread(row: Row, name: str) -> str:
    """A mean over trainings, and their standard deviation."""
    return "–" if row[name] is None else f"{row[name]:.3f} ± {row[f'{name}_sd']:.3f}"


def _ends(values_D: np.ndarray) -> list[float | None]:
    """The 95 % interval of draws; none where one of them has no value."""
    return interval_of(values_D) if np.isfinite(values_D).all() else [None, None]


def _known(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)
