"""The report of a sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from protray.evaluation.cells import with_interval
from protray.evaluation.sweep import Row, Scored
from protray.evaluation.sweep_halves import HALVES
from protray.plots.report import ReportFigure, ReportTable, write_report
from protray.plots.sweep.sweep_figures import (
    curves,
    curves_figure,
    effects_figure,
    pairs_figure,
    parallel_figure,
    pareto_figure,
    seeds_figure,
    short,
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
        ``table``, ``effects``, ``repeats``, ``not_finished``, ``halves``, ``scored``, ``conclusion``, ``metric``,
        ``facts``; as in metrics.json.
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
        figures.append(ReportFigure("New seeds", seeds_figure(metrics["repeats"], metric), _SEEDS))
    if drawn := curves(trials, metric):
        figures.append(ReportFigure("Curves", curves_figure(trials, drawn), _CURVES))
    figures.append(ReportFigure("Parallel coordinates", parallel_figure(trials, metric, log_scaled), _PARALLEL))
    if len(trials[0].point) > 1:
        figures.append(ReportFigure("Any two settings", pairs_figure(trials, metric), _PAIRS))
    names = tuple(trials[0].objectives)
    if len(names) == 2 and all(trial.objectives.keys() == set(names) for trial in trials):
        figures.append(ReportFigure(f"{names[0]} against {names[1]}", pareto_figure(trials, names), _PARETO))
    write_report(
        path,
        "protray: sweep",
        tables,
        figures,
        metrics["facts"],
        notes(metrics["halves"], metrics["scored"]),
        headline(metrics),
    )


_EFFECTS = (
    "Mean over the trials at each value, with standard errors over those trials (whiskers). Star: the paper's value. "
    "Choosing half."
)
_SEEDS = "Each dot is a training with a new seed, each bar the mean of them. Confirming half."
_CURVES = (
    "Each line is a trial, coloured by its first setting; the paper's is dashed. A loss can be compared only among "
    "trials that were asked the same. Choosing half."
)
_PARALLEL = "Each line is a trial, coloured by its score, from dark (low) to bright (high). Choosing half."
_PAIRS = "Mean score of the trials at two values; white fields had no trial. Star: the paper's point. Choosing half."
_PARETO = (
    "Up and to the right is better. No other trial is better than those on the line in one score without being worse "
    "in the other. Choosing half."
)


def notes(halves: Mapping[str, Mapping[str, int]], scored: str) -> list[str]:
    """How the numbers were made, with what is `scored` and the size of each half."""
    choosing, confirming = (
        f"{halves[half]['proteins']} proteins in {halves[half]['clusters']} clusters" for half in HALVES
    )
    return [
        f"All scores are of {scored}. Test proteins were not used. What is scored was divided at random into two "
        "halves; related proteins (a cluster) always stay together. "
        f"The choosing half ({choosing}) chooses: it picks the best weights of each training, ranks the trials, and "
        f"selects the best point. The confirming half ({confirming}) is used once: to compare the selected points with "
        "the paper's.",
        "Why two halves: the best of many trials is partly good and partly lucky, so its score on the choosing half is "
        "too high. New seeds and other proteins show what remains without that luck.",
        "The comparison: the paper's point and the best others are trained again with new seeds. The difference to the "
        "paper's point is taken protein by protein and averaged over seeds and proteins. Its 95 % interval contains "
        "both sources of chance: how much trainings with other seeds differ (Student's t), and how much other proteins "
        "would differ (bootstrap over clusters). A point is called better if the whole interval is on the good side "
        "of 0. If several points are compared, the intervals are wider, so that all of them together are right in "
        "95 % of sweeps (Bonferroni).",
        "Intervals in the table of trials are 95 % bootstrap intervals over clusters of the choosing half. They do not "
        "contain the differences between seeds.",
        "Main effects are means over all trials with one value of a setting, whatever their other settings. In a grid "
        "whose points are spread evenly, the other settings average out. A search (optuna) tries good regions more "
        "often, so there they do not.",
    ]


def headline(metrics: Mapping[str, Any]) -> list[str]:
    """What to know first: the best trial, where the paper's point stands, and whether the difference may be chance."""
    table = metrics["table"]
    best = table[0]
    place = next((number for number, row in enumerate(table, start=1) if row["paper"]), None)
    first = (
        f"Best of {len(table)} trials on the {best['n']} {metrics['scored']} that choose: {best['name']}, "
        f"{metrics['metric']} {best['score']:.4f}."
    )
    if place is not None and place > 1:
        paper = table[place - 1]
        first += f" The paper's point is number {place} of them with {paper['score']:.4f}."
    return [first, metrics["conclusion"]]


def trial_table(rows: Sequence[Row], metric: str) -> ReportTable:
    """All trials, the best first; the paper's is marked."""
    settings, objectives = list(rows[0]["point"]), list(rows[0]["objectives"])
    body = [
        [
            f"{number}" + (" ★ paper" if row["paper"] else ""),
            *(_cell(row["point"][name]) for name in settings),
            with_interval(row["score"], row["ci95"]),
            with_interval(row["gain"], row["gain_ci95"], "+z.3f"),
            *(_cell(row["objectives"].get(name)) for name in objectives),
        ]
        for number, row in enumerate(rows, start=1)
    ]
    header = ["", *map(short, settings), metric, "difference to the paper's point", *objectives]
    return ReportTable("Trials", header, body, f"Choosing half, {rows[0]['n']} proteins, with 95 % intervals.")


def repeat_table(rows: Sequence[Row], metric: str) -> ReportTable:
    """Points that were trained again with new seeds."""
    body = [
        [
            row["name"],
            f"{row['choosing']:.4f}",
            ", ".join(f"{score:.3f}" for score in row["scores"]),
            f"{row['mean']:.4f}",
            f"{row['sd']:.4f}",
            with_interval(row["gain"], row["gain_ci95"], "+z.4f"),
            _interval(row["gain_seeds"], "+z.4f") or "–",
            _interval(row["gain_proteins"], "+z.4f") or "–",
            {True: "yes", False: "no", None: "–"}[row["better"]],
        ]
        for row in rows
    ]
    header = [
        "point", "mean, choosing half", f"{metric} by seed", "mean", "standard deviation over seeds",
        "difference to the paper's", "interval, seeds alone", "interval, proteins alone", "better",
    ]  # fmt: skip
    return ReportTable(
        "Trained again with new seeds", header, body,
        f"Confirming half, {rows[0]['n']} proteins in {rows[0]['clusters']} clusters; only the second column is of the "
        "choosing half. Differences with 95 % intervals over seeds and proteins; better: the whole interval is on the "
        "good side of 0.",
    )  # fmt: skip


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
        "Main effects in numbers", ["setting", "value", "trials", f"mean {metric}", "standard error"], body, _EFFECTS
    )


def unfinished_table(rows: Sequence[Mapping[str, Any]]) -> ReportTable:
    """Trials that failed, or that the scheduler stopped early."""
    body = [
        [row["name"], row["status"], _cell(row["score"]), row["reason"] or "stopped early: its score was low"]
        for row in rows
    ]
    return ReportTable("Not finished", ["trial", "status", "last score", "reason"], body)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _interval(bounds: Sequence[float | None] | None, style: str) -> str:
    if bounds is None or bounds[0] is None or bounds[1] is None:
        return ""
    return f"[{bounds[0]:{style}}, {bounds[1]:{style}}]"
