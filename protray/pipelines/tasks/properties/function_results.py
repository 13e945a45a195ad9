"""The end of a function run: predictions, tables, models, report, and the same in MLflow."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.train.job import Context
from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import WRITING
from protray.data.tasks.examples import Rows, read_rows
from protray.evaluation.tasks.function import curve
from protray.evaluation.tasks.function_tables import WHOLE, function_rows, function_tables, markdown
from protray.pipelines.tasks.properties.function_inputs import FunctionRun, identity, proteins_of
from protray.pipelines.tasks.properties.heads import HeadInputs, head_predictions, save_head_of
from protray.plots.tasks.function_report import write_function_report
from protray.training.tasks.turns import finished

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

FREQUENCIES, COMPOSITION = "label frequencies", "composition, logistic"
TRANSFER = "transfer from the nearest"
LOGGED = ("fmax", "f_validation", "aupr", "fmax_pairs")
TITLES = {
    "ec": "EC numbers", "go-bp": "GO, biological processes", "go-mf": "GO, molecular functions",
    "go-cc": "GO, cellular components",
}  # fmt: skip
LEAST = 0.01  # probability of a label that predictions.parquet lists


def write_results(run: FunctionRun, inputs: HeadInputs, state: dict, context: Context) -> dict:
    """Write everything that `run.out` promises and return the content of ``metrics.json``."""
    import ray

    from protray.cluster.train.driver import track_point

    trained = finished(state)
    histories = {name: one["position"]["history"] for name, one in trained.items()}
    for name, history in histories.items():
        for point in history:  # what a dead driver may have missed; steps that are there stay as they are
            track_point(context.tracker, context.runs[name], point)
    log.info("predicting the validation and test proteins")
    stage = context.plan["function"]
    task = ray.remote(num_cpus=1, num_gpus=stage.gpus_per_worker, label_selector=stage.labels)(all_predictions)
    gpu = stage.gpus_per_worker > 0
    chosen, found = ray.get(task.remote(run, inputs, ray.put(state), context.plan.threads("function"), gpu))
    validation, test = (read_rows(inputs.examples, split) for split in ("validation", "test"))
    true_BT = test.target_NT > 0.5
    thresholds = {
        name: curve(score_BT, validation.target_NT > 0.5).best()[1] for name, (score_BT, _) in found.items()
    }  # fmt: skip
    predictions = {name: score_BT for name, (_, score_BT) in found.items()}
    rows = function_rows(
        predictions, true_BT, test.clusters, test.sets, thresholds, TRANSFER, seed=run.fit.seed
    )  # fmt: skip
    proteins = proteins_of(run)[0]
    for name, one in trained.items():
        labels = proteins.labels, proteins.names
        save_head_of(run, name, one["best"], run.task, "labels", *labels, thresholds[name])
    for row in rows:
        if row["method"] in context.runs and row["set"] == WHOLE:
            values = {f"test/{name}": row[name] for name in LOGGED}
            step = trained[row["method"]]["position"]["history"][-1]["epoch"]
            context.tracker.log(context.runs[row["method"]], values, step=step)
    write_predictions(run.out / "predictions.parquet", test, predictions, proteins.labels)
    (run.out / "tables.md").write_text(markdown(function_tables(rows, TRANSFER)))
    facts = {name: str(value) for name, value in identity(run).items()} | chosen
    facts |= {f"best epoch of {name}": str(one["position"]["best_epoch"]) for name, one in trained.items()}
    with (run.out / "report.html").writing() as path:
        write_function_report(
            path, f"protray: {TITLES[run.task]}", predictions, true_BT, rows, histories, facts, TRANSFER
        )  # fmt: skip
    for name in ("report.html", "tables.md", "predictions.parquet"):
        context.tracker.artifact(context.run_id, run.out / name)
    context.tracker.artifact(context.run_id, run.out / "model", "model")
    sizes = dict(zip(("train", "validation", "test"), proteins.sizes(), strict=True))
    return {
        "task": run.task, "table": rows, "histories": histories, "proteins": sizes, "labels": len(proteins.labels),
        "chosen": chosen,
    }  # fmt: skip


def all_predictions(
    run: FunctionRun, inputs: HeadInputs, state: dict, threads: int, gpu: bool
) -> "tuple[dict[str, str], Mapping[str, tuple[np.ndarray, np.ndarray]]]":
    """Ray task: what was chosen for the baselines, and each method's scores of validation and test proteins."""
    import torch

    from protray.evaluation.tasks.function_baselines import choose_logistic, composition
    from protray.evaluation.tasks.transfer import choose_transfer, training_hits

    torch.set_num_threads(threads)
    train, validation, test = (read_rows(inputs.examples, split) for split in ("train", "validation", "test"))
    true_BT = validation.target_NT > 0.5
    frequency_T = train.target_NT.mean(axis=0, dtype=np.float64)
    found = {FREQUENCIES: (np.tile(frequency_T, (len(validation), 1)), np.tile(frequency_T, (len(test), 1)))}
    features = [composition(rows.sequences) for rows in (train, validation, test)]
    logistic = choose_logistic(features[0], train.target_NT, features[1], validation.target_NT)
    found[COMPOSITION] = (logistic.predict(features[1]), logistic.predict(features[2]))
    log.info("searching the nearest training proteins")
    hits = training_hits(validation.sequences + test.sequences, train.sequences, threads)
    of_validation, of_test = hits[: len(validation)], hits[len(validation) :]
    transfer = choose_transfer(
        of_validation, train.target_NT, lambda score_BT: curve(score_BT, true_BT).best()[0]
    )  # fmt: skip
    found[TRANSFER] = (
        transfer.predict(of_validation, train.target_NT), transfer.predict(of_test, train.target_NT)
    )  # fmt: skip
    of_heads = head_predictions(run, inputs, state, validation.ids + test.ids, "labels", gpu)
    for name, score_NT in of_heads.items():
        found[name] = (score_NT[: len(validation)], score_NT[len(validation) :])
    chosen = {COMPOSITION: f"penalty {logistic.penalty:g}", TRANSFER: str(transfer)}
    return chosen, found


def write_predictions(
    file: Location, test: Rows, predictions: "Mapping[str, np.ndarray]", labels: Sequence[str]
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
