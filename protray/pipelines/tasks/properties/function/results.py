"""The end of a function run: predictions, tables, models, report, and the same in MLflow."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.train.job import Context
from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import WRITING
from protray.data.splits import SPLITS
from protray.data.tasks.examples import Rows, read_rows
from protray.evaluation.tasks.properties.cath import cath_rows, cath_tables, retrieval_rows
from protray.evaluation.tasks.properties.function import curve
from protray.evaluation.tasks.properties.function_tables import WHOLE, function_rows, function_tables, markdown
from protray.evaluation.tasks.published import published_tables
from protray.pipelines.tasks.properties.function.inputs import FunctionRun, identity, proteins_of
from protray.pipelines.tasks.properties.function.predictions import TRANSFER, Predicted, all_predictions
from protray.pipelines.tasks.properties.heads import HeadInputs, save_head_of
from protray.pipelines.tasks.tuned.models import save_tuned, tuned_table
from protray.plots.tasks.cath_report import write_cath_report
from protray.plots.tasks.function_report import write_function_report
from protray.training.tasks.turns import finished

log = logging.getLogger(__name__)

LOGGED = ("fmax", "f_validation", "aupr", "aupr_macro", "fmax_pairs", "accuracy", "balanced")
TITLES = {
    "ec": "EC numbers", "go-bp": "GO, biological processes", "go-mf": "GO, molecular functions",
    "go-cc": "GO, cellular components", "cath": "folds (CATH)",
}  # fmt: skip
LEAST = 0.01  # probability of a label that predictions.parquet lists


def write_results(run: FunctionRun, inputs: HeadInputs, state: dict, context: Context) -> dict:
    """Write everything that `run.out` promises and return the content of ``metrics.json``."""
    from protray.cluster.train.driver import in_task, track_point

    trained = finished(state)
    histories = {name: one["position"]["history"] for name, one in trained.items()}
    for name, history in histories.items():
        for point in history:  # what a dead driver may have missed; steps that are there stay as they are
            track_point(context.tracker, context.runs[name], point)
    log.info("predicting the validation and test proteins")
    predicted: Predicted = in_task(context, "function", all_predictions, run, inputs, state)
    parts = {split: read_rows(inputs.examples, split) for split in SPLITS}
    true_BT = parts["validation"].target_NT > 0.5
    thresholds = {name: curve(score_BT, true_BT).best()[1] for name, (score_BT, _) in predicted.found.items()}
    proteins, side_chains = proteins_of(run)[0], inputs.side_chains
    for name, one in trained.items():
        labels = proteins.labels, proteins.names
        if name in run.tuned:
            save_tuned(run, name, one["best"], run.task, run.kind, *labels, thresholds[name], side_chains)
        else:
            save_head_of(run, name, one["best"], run.task, "labels", *labels, thresholds[name], side_chains)
    facts = {name: str(value) for name, value in identity(run).items()} | predicted.chosen
    facts |= {f"best epoch of {name}": str(one["position"]["best_epoch"]) for name, one in trained.items()}
    tabulate = _of_folds if run.task == "cath" else _of_functions
    with (run.out / "report.html").writing() as path:
        tables, found = tabulate(run, parts, predicted, thresholds, histories, facts, path)
    for row in found["table"]:
        if row["method"] in context.runs and row.get("set", WHOLE) == WHOLE:
            values = {f"test/{name}": row[name] for name in LOGGED if name in row}
            step = trained[row["method"]]["position"]["history"][-1]["epoch"]
            context.tracker.log(context.runs[row["method"]], values, step=step)
    predictions = {name: score_BT for name, (_, score_BT) in predicted.found.items()}
    write_predictions(run.out / "predictions.parquet", parts["test"], predictions, proteins.labels)
    tuned, told = tuned_table(run, trained)
    (run.out / "tables.md").write_text(markdown([*tables, *told, *published_tables(run.task)]))
    for name in ("report.html", "tables.md", "predictions.parquet"):
        context.tracker.artifact(context.run_id, run.out / name)
    context.tracker.artifact(context.run_id, run.out / "model", "model")
    sizes = dict(zip(SPLITS, proteins.sizes(), strict=True))
    return found | {
        "task": run.task, "histories": histories, "proteins": sizes, "labels": len(proteins.labels),
        "chosen": predicted.chosen, "tuned": tuned,
    }  # fmt: skip


def _of_functions(
    run: FunctionRun, parts: Mapping[str, Rows], predicted: Predicted, thresholds: Mapping[str, float],
    histories: Mapping[str, Sequence[Mapping[str, float]]], facts: Mapping[str, str], path: Path,
) -> tuple[list, dict[str, Any]]:  # fmt: skip
    """The tables of many labels, and what metrics.json says of them; writes the report."""
    test = parts["test"]
    true_BT, predictions = test.target_NT > 0.5, {name: score_BT for name, (_, score_BT) in predicted.found.items()}
    rows = function_rows(
        predictions, true_BT, test.clusters, test.sets, thresholds, TRANSFER, heads=run.rows, first=run.first,
        seed=run.fit.seed,
    )  # fmt: skip
    tables, title = function_tables(rows, TRANSFER, run.first), f"protray: {TITLES[run.task]}"
    write_function_report(path, title, predictions, true_BT, rows, histories, facts, TRANSFER, run.first)
    return tables, {"table": rows}


def _of_folds(
    run: FunctionRun, parts: Mapping[str, Rows], predicted: Predicted, thresholds: Mapping[str, float],
    histories: Mapping[str, Sequence[Mapping[str, float]]], facts: Mapping[str, str], path: Path,
) -> tuple[list, dict[str, Any]]:  # fmt: skip
    """The tables of one class of many, and what metrics.json says of them; writes the report."""
    test, clusters = parts["test"], [cluster for rows in parts.values() for cluster in rows.clusters]
    predictions = {name: score_BT for name, (_, score_BT) in predicted.found.items()}
    rows = cath_rows(
        predictions, test.target_NT.argmax(axis=1), test.clusters, run.rows, run.first, seed=run.fit.seed
    )  # fmt: skip
    retrieval = retrieval_rows(predicted.same, clusters, run.first, seed=run.fit.seed)
    tables = cath_tables(rows, retrieval, run.cath.level, run.first)
    write_cath_report(path, f"protray: {TITLES['cath']}", rows, tables, histories, facts)
    return tables, {"table": rows, "retrieval": retrieval}


def write_predictions(
    file: Location, test: Rows, predictions: Mapping[str, np.ndarray], labels: Sequence[str]
) -> None:  # fmt: skip
    """A row for each method and test protein: its labels, and those predicted with a probability of 0.01 at least."""
    rows = []
    for method, score_BT in predictions.items():
        for id, score_T, true_T in zip(test.ids, score_BT, test.target_NT, strict=True):
            order = [int(t) for t in np.argsort(-score_T, kind="stable") if score_T[t] >= LEAST]
            rows.append({
                "method": method, "id": id, "true": [labels[int(t)] for t in np.flatnonzero(true_T)],
                "labels": [labels[t] for t in order], "scores": score_T[order],
            })  # fmt: skip
    with file.writing() as path:
        pq.write_table(pa.Table.from_pylist(rows, schema=schemas.FUNCTIONS), path, **WRITING)
