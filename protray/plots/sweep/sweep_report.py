"""The report of a sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from protray.evaluation.sweep import Row, Scored
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.sweep.sweep_figures import (
    effects_figure,
    pairs_figure,
    parallel_figure,
    pareto_figure,
    seeds_figure,
    short,
)

NOTES = (
    "Everything here is of the validation split: no test protein was looked at. The best of many trials is the "
    "luckiest, too, so its score in the first table is too high; the fresh seeds below it did not choose it, but the "
    "same validation proteins score them.",
    "Intervals in the first table are 95 % bootstrap intervals over proteins; differences are paired, protein by "
    "protein. They do not contain the spread between training seeds, which the table of seeds shows.",
    "Main effects are means over all trials at a value, whatever their other settings. Of a grid whose points were "
    "spread evenly, each value stands beside the others' values about equally often, so the means do not mix; of a "
    "search that goes where scores are good, they do.",
)


def write_sweep_report(
    path: Path, trials: Sequence[Scored], metrics: Mapping[str, Any], log_scaled: frozenset[str]
) -> None:
    """Write the report.

    Parameters
    ----------
    trials : sequence of Scored
        The finished ones, without repeats.
    metrics : mapping
        ``table``, ``effects``, ``repeats``, ``not_finished``, ``verdict``, ``metric``, ``facts``; as in metrics.json.
    log_scaled : frozenset of str
        Settings that are drawn on logarithmic axes.
    """
    metric = metrics["metric"]
    tables = [trial_table(metrics["table"], metric)]
    if metrics["repeats"]:
        tables.append(repeat_table(metrics["repeats"], metric))
    tables.append(effect_table(metrics["effects"], metric))
    if metrics["not_finished"]:
        tables.append(unfinished_table(metrics["not_finished"]))
    figures = [ReportFigure("Main effects", effects_figure(metrics["effects"], metric), _EFFECTS)]
    if metrics["repeats"]:
        figures.append(ReportFigure("Seeds", seeds_figure(metrics["repeats"], metric), _SEEDS))
    figures.append(ReportFigure("Parallel coordinates", parallel_figure(trials, metric, log_scaled), _PARALLEL))
    if len(trials[0].point) > 1:
        figures.append(ReportFigure("Any two settings", pairs_figure(trials, metric), _PAIRS))
    names = tuple(trials[0].objectives)
    if len(names) == 2 and all(trial.objectives.keys() == set(names) for trial in trials):
        figures.append(ReportFigure(f"{names[0]} against {names[1]}", pareto_figure(trials, names), _PARETO))
    write_report(path, "protray: sweep", tables, figures, metrics["facts"], NOTES, headline(metrics))


_EFFECTS = (
    "Mean over the trials at each value; whiskers are standard errors over those trials. Star: the paper's value."
)
_SEEDS = "Each dot is a training with a fresh seed, each bar the mean."
_PARALLEL = "Each line is a trial; colours go with the score, from dark (low) to bright (high)."
_PAIRS = "Mean score of the trials at two values; white fields had no trial. Star: the paper's point."
_PARETO = "Up and to the right is better. Trials on the line are beaten by no other in both."


def headline(metrics: Mapping[str, Any]) -> list[str]:
    """What to know first: the best trial, where the paper stands, and whether chance explains the difference."""
    table = metrics["table"]
    best = table[0]
    place = next((number for number, row in enumerate(table, start=1) if row["paper"]), None)
    first = f"Best of {len(table)} trials: {best['name']}, {metrics['metric']} {best['score']:.4f}."
    if place is not None and place > 1:
        paper = table[place - 1]
        first += f" The paper's point is number {place} with {paper['score']:.4f}."
    return [first, metrics["verdict"]]


def trial_table(rows: Sequence[Row], metric: str) -> ReportTable:
    """All trials, the best first; the paper's is marked."""
    settings, objectives = list(rows[0]["point"]), list(rows[0]["objectives"])
    body = [
        [
            f"{number}" + (" ★ paper" if row["paper"] else ""),
            *(_cell(row["point"][name]) for name in settings),
            _with_interval(row["score"], row["ci95"]),
            _with_interval(row["gain"], row["gain_ci95"], "+z.3f"),
            *(_cell(row["objectives"].get(name)) for name in objectives),
        ]
        for number, row in enumerate(rows, start=1)
    ]
    header = ["", *map(short, settings), metric, "difference to the paper's point", *objectives]
    return ReportTable("Trials", header, body, f"Validation split, {rows[0]['n']} proteins, with 95 % intervals.")


def repeat_table(rows: Sequence[Row], metric: str) -> ReportTable:
    """Points that were trained again with fresh seeds."""
    body = [
        [
            row["name"],
            ", ".join(f"{score:.3f}" for score in row["scores"]),
            f"{row['mean']:.4f}",
            f"{row['sd']:.4f}",
            _with_interval(row["gain"], row["gain_seeds"] or (None, None), "+z.4f"),
            _interval(row["gain_proteins"] or (None, None), "+z.4f"),
            {True: "yes", False: "no", None: "–"}[row["better"]],
        ]
        for row in rows
    ]
    header = [
        "point", f"{metric} by seed", "mean", "standard deviation", "difference to the paper's, interval over seeds",
        "interval over proteins", "better than chance",
    ]  # fmt: skip
    return ReportTable(
        "Fresh seeds", header, body, "Better than chance: both 95 % intervals exclude 0 on the good side."
    )


def effect_table(rows: Sequence[Row], metric: str) -> ReportTable:
    """Main effects in numbers."""
    body = [
        [
            short(row["setting"]),
            row["value"] + (" ★" if row["paper"] else ""),
            str(row["trials"]),
            f"{row['score']:.4f}",
            "–" if row["se"] is None else f"{row['se']:.4f}",
        ]
        for row in rows
    ]
    return ReportTable(
        "Main effects in numbers", ["setting", "value", "trials", f"mean {metric}", "standard error"], body
    )


def unfinished_table(rows: Sequence[Mapping[str, Any]]) -> ReportTable:
    """Trials that failed, or that the scheduler ended early."""
    body = [
        [row["name"], row["status"], _cell(row["score"]), row["reason"] or "ended early: poor so far"] for row in rows
    ]
    return ReportTable("Not finished", ["trial", "what became of it", "last score", "reason"], body)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _with_interval(value: float | None, bounds: Sequence[float | None] | None, style: str = ".3f") -> str:
    return "–" if value is None else f"{value:{style}} {_interval(bounds, style)}".rstrip()


def _interval(bounds: Sequence[float | None] | None, style: str) -> str:
    if bounds is None or bounds[0] is None or bounds[1] is None:
        return ""
    return f"[{bounds[0]:{style}}, {bounds[1]:{style}}]"
