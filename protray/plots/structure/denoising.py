"""Figures of a score network: how training went, what one step gains, and structures before and after."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from protray.evaluation.denoising import FLOW, LANGEVIN, NETWORK, NOISY, WIENER, Example
from protray.plots import palette
from protray.plots.axes import plain
from protray.struct.compare.quality import ca_lddt, ca_rmsd, distance_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

COLOURS = {NOISY: palette.GREY, WIENER: palette.ORANGE, NETWORK: palette.BLUE}
CURVES = {"train": palette.SKY, "validation": palette.BLUE}
SNAPSHOTS = 4  # points of the training that the noise levels are drawn at
FARTHEST = 30.0  # Å: one colour from here on, so that contacts and helices keep theirs


def training_figure(history: Sequence[Mapping[str, float]], sigmas: np.ndarray) -> "Figure":
    """Draw the explained share over steps, and by noise level at points of the training.

    Parameters
    ----------
    history : sequence of mappings
        With ``step``, ``train/explained``, ``validation/explained`` and ``validation/level_01/explained`` ...; a point
        may lack any but the first.
    sigmas : ndarray, shape=(K,)
        Of the levels, in Å.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4), layout="constrained")
    over_steps, by_level = figure.subplots(1, 2)
    for name, colour in CURVES.items():
        points = [(point["step"], point[f"{name}/explained"]) for point in history if f"{name}/explained" in point]
        if points:
            over_steps.plot(*zip(*points, strict=True), color=colour, label=name, lw=1.5, marker="o", ms=2.5)
    over_steps.set_xlabel("step")
    over_steps.set_ylabel("explained share of the noise, all levels")
    scored = [point for point in history if f"validation/level_{len(sigmas):02d}/explained" in point]
    chosen = np.unique(np.linspace(0, len(scored) - 1, min(SNAPSHOTS, len(scored))).astype(int))
    for rank, at in enumerate(chosen.tolist()):
        shares = [scored[at][f"validation/level_{level:02d}/explained"] for level in range(1, len(sigmas) + 1)]
        by_level.plot(
            sigmas, shares, color=palette.BLUE, alpha=(rank + 1) / len(chosen), lw=1.5, marker="o", ms=2.5,
            label=f"step {scored[at]['step']:,.0f}",
        )  # fmt: skip
    _noise_axis(by_level, sigmas)
    by_level.set_ylabel("explained share of the noise, validation")
    for ax in (over_steps, by_level):
        ax.set_ylim(-0.05, 1)  # what lies below 0 is a score worse than none, however much
        ax.axhline(0, color="0.5", lw=0.8)
        _with_legend(ax)
    return figure


def denoising_figure(rows: Sequence[Row]) -> "Figure":
    """Draw RMSD and lDDT after one step, and below them the gains, against the noise; bands are 95 % intervals.

    Parameters
    ----------
    rows : sequence of dict
        From `protray.evaluation.denoising.DenoisingResults.rows`; those of sampling are left out.
    """
    from matplotlib.figure import Figure

    rows = [row for row in rows if row["level"] is not None]
    sigmas = np.array([row["sigma"] for row in rows if row["method"] == NOISY])
    noisy_rmsd = np.array([row["rmsd"] for row in rows if row["method"] == NOISY])
    figure = Figure(figsize=(10.5, 7.2), layout="constrained")
    (rmsd_ax, lddt_ax), (rmsd_gain_ax, lddt_gain_ax) = figure.subplots(2, 2)
    for method, colour in COLOURS.items():
        mine = [row for row in rows if row["method"] == method]
        for ax, name, scale in (
            (rmsd_ax, "rmsd", 1.0),
            (lddt_ax, "lddt", 1.0),
            (rmsd_gain_ax, "rmsd_gain", 1 / noisy_rmsd),
            (lddt_gain_ax, "lddt_gain", 1.0),
        ):
            if method != NOISY or not name.endswith("gain"):
                _band(ax, sigmas, mine, name, scale, colour, method)
    rmsd_ax.set_yscale("log")
    _plain_numbers(rmsd_ax.yaxis, noisy_rmsd)
    rmsd_ax.set_ylabel("C-alpha RMSD (Å)")
    lddt_ax.set_ylabel("C-alpha lDDT")
    rmsd_gain_ax.set_ylabel("share of the noise's RMSD that is gone")
    lddt_gain_ax.set_ylabel("gain in lDDT")
    for ax in (rmsd_ax, lddt_ax, rmsd_gain_ax, lddt_gain_ax):
        _noise_axis(ax, sigmas)
        _with_legend(ax)
    for ax in (rmsd_gain_ax, lddt_gain_ax):
        ax.axhline(0, color="0.5", lw=0.8)
    return figure


def maps_figure(example: Example, start: float) -> "Figure":
    """Draw distance maps of one chain: native, with noise of `start` Å, and what each way makes of it."""
    from matplotlib.figure import Figure

    shown = {
        "native": "native", NOISY: f"noise of {start:g} Å", NETWORK: "one step", FLOW: "annealed,\nno new noise",
        LANGEVIN: "annealed\nLangevin",
    }  # fmt: skip
    native_1L3 = example.ca["native"][None]
    figure = Figure(figsize=(10.5, 2.9), layout="constrained")
    axes = figure.subplots(1, len(shown), sharex=True, sharey=True)
    image = None
    for ax, (method, label) in zip(axes, shown.items(), strict=True):
        ca_1L3 = example.ca[method][None]
        length = ca_1L3.shape[1]
        image = ax.imshow(
            distance_map(ca_1L3)[0], cmap="viridis_r", vmin=0, vmax=FARTHEST,
            extent=(0.5, length + 0.5, length + 0.5, 0.5), interpolation="none",
        )  # fmt: skip
        if method != "native":
            rmsd, lddt = ca_rmsd(ca_1L3, native_1L3)[0], ca_lddt(ca_1L3, native_1L3)[0]
            ax.set_xlabel(f"RMSD {rmsd:.2f} Å\nlDDT {lddt:.2f}", fontsize=9)
        ax.set_title(label, fontsize=9)
        ax.tick_params(labelsize=8)
    axes[0].set_ylabel("residue", fontsize=9)
    if image is not None:
        figure.colorbar(image, ax=axes, label="distance (Å)", extend="max", shrink=0.75, pad=0.01)
    return figure


def _band(
    ax: "Axes", sigmas: np.ndarray, rows: Sequence[Row], name: str, scale: float | np.ndarray, colour: str, label: str
) -> None:
    """A line of means, with its interval as a band where there is one."""
    ax.plot(sigmas, np.array([row[name] for row in rows]) * scale, color=colour, label=label, lw=1.5, marker="o", ms=3)
    ends = np.array([row[f"{name}_ci95"] for row in rows], dtype=float).T  # None becomes NaN
    ax.fill_between(sigmas, *(ends * scale), color=colour, alpha=0.2, lw=0)


def _noise_axis(ax: "Axes", sigmas: np.ndarray) -> None:
    ax.set_xscale("log")
    _plain_numbers(ax.xaxis, sigmas)
    ax.set_xlabel("noise (Å)")


def _plain_numbers(axis: "Axis", values: np.ndarray) -> None:
    """Plain numbers beside a logarithmic axis."""
    ticks = [tick for tick in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30) if values.min() * 0.9 <= tick <= values.max() * 1.1]
    axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.set_tick_params(which="minor", length=0, labelsize=0)


def _with_legend(ax: "Axes") -> None:
    plain(ax)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=9)
