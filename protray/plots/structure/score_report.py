"""The report of a score-network training: which tables and figures, in which order, and the sentences at the top."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from protray.evaluation.cells import gain_cell, with_interval
from protray.evaluation.denoising import FLOW, NETWORK, NOISY, WIENER, DenoisingResults
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.structure.denoising import denoising_figure, maps_figure, training_figure

Row = Mapping[str, Any]
Split = Literal["test", "validation"]

_DIGITS = {"rmsd": 2, "lddt": 3}
_HEADS = {"rmsd": "RMSD (Å)", "lddt": "lDDT"}

TITLE = "protray: a score network of protein structures"
NOTES = (
    "A structure is perturbed with Gaussian noise of sigma Å per coordinate (Eq. 1 of Guo et al., AAAI 2022), and the "
    "network estimates the score g, the gradient of the log density of such structures. One step x + sigma² g(x) is "
    "then the mean of all structures that the noisy one may come from.",
    "Explained share: 1 for a score that finds all noise within reach, 0 for a score of zero. Rigid motions (6 of the "
    "3 L dimensions) are out of reach for any score that is made of distances, and are left out. It need not come near "
    "1: at much noise several structures fit, and at little noise a structure tells nothing of where its atoms were.",
    "RMSD is that of C-alpha atoms after the best superposition, mirror images excluded. lDDT is the share of "
    "C-alpha distances up to 15 Å that are kept within 0.5, 1, 2 and 4 Å, all pairs of residues counted. Both are "
    "against the native chain, which the network did not train on.",
    "Wiener filter: the best linear smoothing along the chain, fitted to the training chains; how strong it is follows "
    "from the noise. It knows how chains wind on average and nothing else of proteins: where the network is no better, "
    "it has learnt no more than that.",
    "Annealed Langevin sampling follows the score down the noise levels and adds new noise of the next level on the "
    "way, so it ends in one of the structures that the noisy one may come from: realistic distances, but a larger RMSD "
    "than the mean of these structures, by a factor of up to 1.41. Without new noise it stays nearer to the mean.",
    "Brackets and bands are 95 % percentile bootstrap intervals over chains. They do not contain the spread between "
    "training runs with other seeds, and below about ten chains they are too narrow to trust.",
)


def headline(history: Sequence[Mapping[str, float]], results: DenoisingResults, split: Split) -> list[str]:
    """Say in words what the network explains, and what that gains over doing nothing and over the Wiener filter."""
    sentences = []
    scored = [point for point in history if "validation/loss" in point]
    if scored:
        best = min(scored, key=lambda point: point["validation/loss"])
        sentences.append(
            f"On validation crops the score explains {best['validation/explained']:.2f} of the noise within reach "
            f"(best at step {best['step']:,.0f}; 0 is a score of zero)."
        )
    rows = results.rows()
    steps = [row for row in rows if row["level"] is not None and row["method"] == NETWORK]
    at = min(steps, key=lambda row: abs(np.log(row["sigma"])))  # nearest to 1 Å
    before = next(row for row in rows if row["level"] == at["level"] and row["method"] == NOISY)
    sentences.append(
        f"One step at noise of {at['sigma']:.2f} Å takes {at['n']} {split} chains from RMSD {before['rmsd']:.2f} to "
        f"{at['rmsd']:.2f} Å and from lDDT {before['lddt']:.3f} to {at['lddt']:.3f}."
    )
    sentences.append(_against_wiener(steps))
    start, one, annealed = (_of(rows, method) for method in (NOISY, NETWORK, FLOW))
    sentences.append(
        f"From noise of {results.start:g} Å (RMSD {start['rmsd']:.2f} Å, lDDT {start['lddt']:.3f}; "
        f"{start['n']} chains), one step reaches {one['rmsd']:.2f} Å and {one['lddt']:.3f}, "
        f"{results.evaluations} annealed steps without new noise {annealed['rmsd']:.2f} Å and {annealed['lddt']:.3f}."
    )
    if split == "validation":
        sentences.append(
            "The dataset has no test split. These are validation chains, which also picked the best weights, so the "
            "numbers may be a little too good."
        )
    return sentences


def _against_wiener(steps: Sequence[Row]) -> str:
    """At how many levels the RMSD of the network is lower than that of the Wiener filter, and where it is not."""
    lows = [row["rmsd_lead_ci95"][0] for row in steps]
    if None in lows:
        return "One chain gives no interval, so nothing is said about the Wiener filter."
    behind = [f"{row['sigma']:.2g}" for row, low in zip(steps, lows, strict=True) if low <= 0]
    found = (
        f"Its RMSD is lower than that of the Wiener filter at {len(steps) - len(behind)} of {len(steps)} noise levels, "
        "by intervals that exclude 0"
    )
    return f"{found}; not so at {', '.join(behind)} Å." if behind else f"{found}."


def score_tables(results: DenoisingResults, split: Split) -> list[ReportTable]:
    """Before and after sampling, then one step at every noise level."""
    rows = results.rows()
    annealed = [row for row in rows if row["level"] is None]
    steps = [row for row in rows if row["level"] is not None]
    sampling = ReportTable(
        f"Sampling from noise of {results.start:g} Å",
        ["", *(head for measure in ("rmsd", "lddt") for head in (_HEADS[measure], "gain")), "neighbours off by (Å)"],
        [
            ["one step" if row["method"] == NETWORK else row["method"], *_with_gains(row), f"{row['neighbour']:.2f}"]
            for row in annealed
        ],
        f"{annealed[0]['n']} of the {split} chains; means with 95 % intervals, gains over the noisy "
        f"structure. Annealing takes {results.evaluations} steps. The last column is the mean error of the distance "
        "between neighbours along the chain, which is 3.8 Å in proteins.",
    )
    body: list[list[str]] = []
    for noisy in (row for row in steps if row["method"] == NOISY):
        of = {row["method"]: row for row in steps if row["level"] == noisy["level"]}
        body.append([
            f"{noisy['sigma']:.3g}",
            *(f"{of[method]['rmsd']:.3f}" for method in (NOISY, WIENER, NETWORK)),
            gain_cell(of[NETWORK], "rmsd_gain"),
            *(f"{of[method]['lddt']:.3f}" for method in (NOISY, WIENER, NETWORK)),
            gain_cell(of[NETWORK], "lddt_gain"),
        ])  # fmt: skip
    one_step = ReportTable(
        "One step at each noise level",
        ["noise (Å)", *(f"{_HEADS[m]}, {name}" if name != "gain" else "network's gain"
                        for m in ("rmsd", "lddt") for name in (NOISY, WIENER, "network", "gain"))],
        body,
        f"Means over {steps[0]['n']} {split} chains of {results.lengths_N.min()} to {results.lengths_N.max()} "
        "residues, longer ones cut; gains over the noisy structure with 95 % intervals.",
    )  # fmt: skip
    return [sampling, one_step]


def _of(rows: Sequence[Row], method: str) -> Row:
    return next(row for row in rows if row["level"] is None and row["method"] == method)


def _with_gains(row: Row) -> list[str]:
    cells = []
    for measure in ("rmsd", "lddt"):
        gain, digits = f"{measure}_gain", _DIGITS[measure]
        cells.append(with_interval(row[measure], row[f"{measure}_ci95"], f".{digits}f"))
        cells.append("" if row["method"] == NOISY else with_interval(row[gain], row[f"{gain}_ci95"], f"+z.{digits}f"))
    return cells


def write_score_report(
    path: Path,
    history: Sequence[Mapping[str, float]],
    sigmas: np.ndarray,
    results: DenoisingResults,
    *,
    split: Split,
    facts: Mapping[str, str],
) -> None:
    """Write the whole report of a score-network training; see `protray.plots.report.write_report`.

    Parameters
    ----------
    history : sequence of mappings
        The logged points; see `protray.plots.structure.denoising.training_figure`, and ``validation/loss``.
    sigmas : ndarray, shape=(K,)
        Of the noise levels, in Å.
    split : {"test", "validation"}
        That the chains of `results` are from.
    facts : mapping of name to value
        Settings, counts of chains, provenance.
    """
    figures = [
        ReportFigure("Training", training_figure(history, sigmas), _TRAINING),
        ReportFigure("Denoising gain", denoising_figure(results.rows()), _GAIN.format(split=split.capitalize())),
    ]
    for rank, example in enumerate(results.examples):
        heading = f"Distance maps: {example.id}, {len(example.ca['native'])} residues"
        figures.append(ReportFigure(heading, maps_figure(example, results.start), "" if rank else _MAPS))
    write_report(path, TITLE, score_tables(results, split), figures, facts, NOTES, headline(history, results, split))


_TRAINING = (
    "Left: the share of the noise within reach that the score explains, over all noise levels. Right: by noise level, "
    "darker for later steps; much noise is easy, since structures are compact, and little noise is hard, since only "
    "bond lengths and clashes tell where an atom was."
)
_GAIN = (
    "{split} chains, one step at each noise level. Above: how far they are from the native structure, "
    "below: what was gained by the step; under 0 the step does harm. Orange is what smoothing along the chain reaches."
)
_MAPS = (
    "Distances between all C-alpha atoms, light for near. Lines along the diagonal are helices and turns, lines across "
    "are strands and contacts. One step is the mean of many structures and blurs them; annealed steps decide on one."
)
