"""The report of SSDM's pre-training: which figures, tables and structures, and the sentences at the top."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from protray.evaluation.ssdm import LEVEL, Denoised, SsdmResults
from protray.plots import palette
from protray.plots.axes import plain
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.structure.viewer import ReportStructures, View
from protray.training.structure.ssdm_config import ObjectiveConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = Mapping[str, float]
COLOURS = {"train": palette.SKY, "validation": palette.BLUE}

NOTES = (
    "Objectives are asked of crops of chains that the encoder was not trained on. A residue's type, and its side "
    "chain, are hidden before they are asked for; the edges of a distance, an angle or a dihedral are taken out of "
    "every layer. The best constant answer is the same for all: the frequencies of the classes, or "
    "the mean distance.",
    "A distance is asked for as (d - 8 Å) / 4 Å, so a loss of 0.25 is a root mean square error of 2 Å.",
    f"The nearest chain is that with the largest cosine between standardised vectors (mean and deviation over "
    f"residues, and the logarithm of the length) among all chains of the dataset that have one CATH domain whose "
    f"{LEVEL} a chain of another cluster has, too; relatives of the same cluster are no candidates. No label is used "
    "in training, so chains of the training split are counted. Random weights are what pre-training has to beat: an "
    "untrained encoder passes geometry and residue types on, and is no weak rival.",
    "Denoising: the loss over that of no answer, by the noise that the structure was given. Where noise is large, the "
    "frames of residues mean little.",
    "Brackets are 95 % percentile bootstrap intervals over clusters of related chains. They do not contain the spread "
    "between trainings with other seeds. Fewer than ten have none: it would be too narrow.",
)


def write_ssdm_report(
    path: Path, history: Sequence[Point], learn: ObjectiveConfig, results: SsdmResults, facts: Mapping[str, str]
) -> None:
    """Write the report; `history` are the points of the curve."""
    terms = list(learn.terms())
    figures = [ReportFigure("Training", curves_figure(history, terms, results.nothing),
                            "Dashed: the loss of the best constant answer.")]  # fmt: skip
    by_level = {term: _levels(results.losses, term, len(results.levels)) for term in ("denoise", "siamdiff_structure")}
    by_level = {term: found for term, found in by_level.items() if np.isfinite(found).any()}
    if by_level:
        title = f"Denoising, {results.split} chains"
        figures.append(ReportFigure(title, levels_figure(results.levels, by_level)))
    structures = [] if results.denoised is None else [_structures(results.denoised)]
    rows = results.rows()
    body = [[row["what"], row["text"]] for row in rows]
    write_report(
        path, "SSDM: what pre-training taught the encoder",
        [ReportTable(f"{results.chains} {results.split} chains", ["", "result"], body)],
        figures, facts, NOTES, headline(results), structures,
    )  # fmt: skip


def headline(results: SsdmResults) -> list[str]:
    """Say in words what came out."""
    found = []
    for row in results.retrieval:
        if "gain" in row:
            low, high = row["gain_ci95"]
            found.append(
                f"The nearest chain has the same {LEVEL} for {row['agreement']:.3f} of {row['chains']} chains, "
                f"{row['gain']:+.3f} [{low:.3f}, {high:.3f}] over the same encoder before its training."
            )
    for term, nothing in results.nothing.items():
        value = results.losses[term]
        what = f"{1 - value / nothing:.0%} of the variance" if term == "distance" else f"{nothing - value:.3f} nats"
        found.append(f"{term.capitalize()}: {what} explained on {results.split} chains.")
    if results.denoised:
        before, after = (results.denoised.rmsd[name] for name in ("noisy", "denoised"))
        found.append(f"One step takes a chain with noise of {results.denoised.sigma:.2f} Å from RMSD {before:.2f} to "
                     f"{after:.2f} Å.")  # fmt: skip
    return found


def curves_figure(history: Sequence[Point], terms: Sequence[str], nothing: Mapping[str, float]) -> "Figure":
    """Draw the loss of each objective over steps."""
    from matplotlib.figure import Figure

    columns = min(3, len(terms))
    rows = -(-len(terms) // columns)
    figure = Figure(figsize=(10.5, 3.4 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for ax, term in zip(axes, terms, strict=False):
        for name, colour in COLOURS.items():
            points = [(point["step"], point[f"{name}/{term}"]) for point in history if f"{name}/{term}" in point]
            if points:
                ax.plot(*zip(*points, strict=True), color=colour, label=name, lw=1.5, marker="o", ms=2.5)
        if term in nothing:
            ax.axhline(nothing[term], color="0.5", lw=0.9, ls="--")
        ax.set_xlabel("step")
        ax.set_ylabel(f"{term.replace('_', ', ')}: loss")
        plain(ax)
        ax.legend(frameon=False, fontsize=9)
    for ax in axes[len(terms) :]:
        ax.set_axis_off()
    return figure


def levels_figure(levels: np.ndarray, by_level: Mapping[str, np.ndarray]) -> "Figure":
    """Draw the loss over that of no answer for each noise level, in Å."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    ax = figure.subplots()
    for (term, share), colour in zip(by_level.items(), (palette.BLUE, palette.ORANGE), strict=False):
        known = np.isfinite(share)
        ax.plot(levels[known], share[known], color=colour, label=term.replace("_", ", "), lw=1.5, marker="o", ms=3)
    ax.axhline(1, color="0.5", lw=0.8)
    ax.set_xscale("log")
    ax.set_xlabel("noise (Å)")
    ax.set_ylabel("loss, over that of no answer")
    plain(ax)
    ax.legend(frameon=False, fontsize=9)
    return figure


def _levels(losses: Mapping[str, float], term: str, count: int) -> np.ndarray:
    return np.array([losses.get(f"{term}/over_zero/level_{level:02d}", np.nan) for level in range(count)])


def _structures(one: Denoised) -> ReportStructures:
    top = max(float(off_L.max()) for off_L in one.off.values())
    views = []
    for name, backbone_L43 in one.backbones.items():
        scores = "" if name == "native" else f": RMSD {one.rmsd[name]:.2f} Å, lDDT {one.lddt[name]:.2f}"
        views.append(View(f"{one.id}, {name}{scores}", one.sequence, backbone_L43, one.off[name]))
    caption = "Coloured by how far each C-alpha atom is from its native place, in Å."
    return ReportStructures("A structure before and after one step of denoising", views, 0.0, round(top, 1), caption)
