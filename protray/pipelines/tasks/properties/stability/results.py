"""The end of a stability run: predictions, tables, models, report, and the same in MLflow."""

import logging
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.train.job import Context
from protray.data import schemas
from protray.data.parquet import WRITING
from protray.data.tasks.examples import Rows, read_rows, read_vectors
from protray.evaluation.tasks.properties.function_tables import markdown
from protray.evaluation.tasks.properties.stability import NUMBERS, RANKINGS, ranking_rows, stability_tables, value_rows
from protray.evaluation.tasks.published import published_tables
from protray.pipelines.tasks.properties.heads import WITH_LM, HeadInputs, head_predictions, save_head_of
from protray.pipelines.tasks.properties.read_outs import read_outs
from protray.pipelines.tasks.properties.stability.inputs import StabilityRun, identity, measurements_of
from protray.pipelines.tasks.tuned.models import save_tuned, tuned_predictions, tuned_table
from protray.plots.tasks.stability_report import write_stability_report
from protray.training.tasks.turns import finished

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protray.data.tasks.stability import Measurements

log = logging.getLogger(__name__)

MEAN, TRANSFER = "training mean", "transfer from the nearest"
COMPOSITION, SUBSTITUTION = "composition, linear", "substitution, linear"
ZERO_SHOT = "language model's log-odds"
OUTPUT = {"msp": "binds better", "thermostability": "melting temperature", "ddg": "change of stability"}
TITLES = {
    "msp": "does the mutant of a complex bind better", "thermostability": "melting temperatures",
    "ddg": "effects of mutations on stability",
}  # fmt: skip


def write_results(run: StabilityRun, inputs: HeadInputs, state: dict, context: Context) -> dict:
    """Write everything that `run.out` promises and return the content of ``metrics.json``."""
    from protray.cluster.train.driver import in_task, track_point

    trained, side_chains = finished(state), inputs.side_chains
    histories = {name: one["position"]["history"] for name, one in trained.items()}
    for name, one in trained.items():
        for point in histories[name]:  # what a dead driver may have missed; steps that are there stay as they are
            track_point(context.tracker, context.runs[name], point)
        save = save_tuned if name in run.tuned else save_head_of
        save(run, name, one["best"], run.task, run.kind, [OUTPUT[run.task]], {}, None, side_chains)
    log.info("predicting the test measurements")
    chosen, found = in_task(context, "stability", all_predictions, run, inputs, state)
    test = read_rows(inputs.examples, "test")
    true_N = test.target_NT[:, 0].astype(float)
    reference = reference_of(run)
    rows_of = partial(ranking_rows if run.task == "msp" else value_rows, reference=reference, first=run.first)
    known_N = true_N > 0.5 if run.task == "msp" else true_N
    rows = rows_of(found, known_N, test.clusters, heads=run.rows, seed=run.fit.seed)
    columns = RANKINGS if run.task == "msp" else NUMBERS
    for row in rows:
        if row["method"] in context.runs:
            values = {f"test/{name}": row[name] for name in columns if row[name] is not None}
            step = histories[row["method"]][-1]["epoch"]
            context.tracker.log(context.runs[row["method"]], values, step=step)
    _write_predictions(run, test, found)
    tuned, told = tuned_table(run, trained)
    tables = [*stability_tables(rows, reference, run.first), *told]
    (run.out / "tables.md").write_text(markdown([*tables, *published_tables(run.task)]))
    facts = {name: str(value) for name, value in identity(run).items()} | chosen
    facts |= {f"best epoch of {name}": str(one["position"]["best_epoch"]) for name, one in trained.items()}
    with (run.out / "report.html").writing() as path:
        title = f"protray: {TITLES[run.task]}"
        write_stability_report(path, title, found, true_N, rows, tables, histories, facts, reference)
    for name in ("report.html", "tables.md", "predictions.parquet"):
        context.tracker.artifact(context.run_id, run.out / name)
    context.tracker.artifact(context.run_id, run.out / "model", "model")
    sizes = dict(zip(("train", "validation", "test"), measurements_of(run)[0].sizes(), strict=True))
    return {
        "task": run.task, "table": rows, "histories": histories, "measurements": sizes, "chosen": chosen,
        "tuned": tuned,
    }  # fmt: skip


def reference_of(run: StabilityRun) -> str:
    """The simple fit that all are compared with."""
    return SUBSTITUTION if run.of_mutations else COMPOSITION


def all_predictions(
    run: StabilityRun, inputs: HeadInputs, state: dict, device: str
) -> "tuple[dict[str, str], dict[str, np.ndarray]]":
    """Ray task: what was chosen for the baselines, and what each method predicts for the test split, shape (N,)."""
    parts = [read_rows(inputs.examples, split) for split in ("train", "validation", "test")]
    train, validation, test = parts
    measured = measurements_of(run)[0]
    found = {MEAN: np.full(len(test), train.target_NT.mean(dtype=np.float64))}
    name, chosen = reference_of(run), {}
    (_, found[name]), chosen[name] = _linear(run.kind == "labels", parts, _features(measured, parts))
    if run.task != "msp":
        found[TRANSFER], chosen[TRANSFER] = _transfer(parts)
    if run.of_mutations and WITH_LM in inputs.vectors:
        odds = [read_vectors(inputs.vectors[WITH_LM], rows.ids)[:, -1:].astype(float) for rows in parts]
        known = [np.where(np.isfinite(one), one, np.nanmean(odds[0])) for one in odds]
        (_, found[ZERO_SHOT]), _ = _linear(run.kind == "labels", parts, known)
    more, also = read_outs(
        inputs.vectors, parts, partial(_linear, run.kind == "labels", parts),
        lambda found_N1: -float(np.square(found_N1 - validation.target_NT).mean()),
    )  # fmt: skip
    found |= {name: found_N.reshape(len(test)) for name, (_, found_N) in more.items()}
    of_heads = head_predictions(run, inputs, state, test.ids, run.kind, device)
    tuned = tuned_predictions(run, inputs.of_tuned, state, [test], run.kind, device)
    of_heads |= {name: found_N1 for name, (found_N1,) in tuned.items()}
    return chosen | also, found | {name: found_N1[:, 0].astype(float) for name, found_N1 in of_heads.items()}


def _features(measured: "Measurements", parts: list[Rows]) -> list[np.ndarray]:
    """Of the training, validation and test split: the composition of proteins, or what mutations change."""
    from protray.evaluation.tasks.properties.function_baselines import composition
    from protray.evaluation.tasks.properties.stability_baselines import substitution

    if not measured.mutants:
        return [composition(rows.sequences).astype(float) for rows in parts]
    of = {one.row.id: substitution(one.was, one.to) for one in measured.mutants}
    return [np.stack([of[id] for id in rows.ids]) for rows in parts]


def _linear(ranking: bool, parts: list[Rows], x: "Sequence[np.ndarray]") -> tuple[list[np.ndarray], str]:
    """A logistic or a ridge regression, its penalty chosen on validation, for the validation and the test split."""
    from protray.evaluation.tasks.properties.function_baselines import choose_logistic
    from protray.evaluation.tasks.properties.stability_baselines import choose_ridge

    train, validation, _ = (rows.target_NT.astype(float) for rows in parts)
    if ranking:
        logistic = choose_logistic(x[0], train, x[1], validation)
        return [logistic.predict(part)[:, 0] for part in x[1:]], f"penalty {logistic.penalty:g}"
    ridge = choose_ridge(x[0], train[:, 0], x[1], validation[:, 0])
    return [ridge.predict(part) for part in x[1:]], f"penalty {ridge.penalty:g}"


def _transfer(parts: list[Rows]) -> tuple[np.ndarray, str]:
    """The values of the nearest training sequences; of a sequence with several measurements, their mean."""
    import torch

    from protray.evaluation.tasks.properties.transfer import choose_transfer, training_hits

    train, validation, test = parts
    known, place_N = np.unique(train.sequences, return_inverse=True)
    y_M1 = (np.bincount(place_N, weights=train.target_NT[:, 0]) / np.bincount(place_N))[:, None]
    asked = sorted(set(validation.sequences + test.sequences))
    hits = dict(zip(asked, training_hits(asked, known.tolist(), torch.get_num_threads()), strict=True))
    of_validation, of_test = ([hits[sequence] for sequence in rows.sequences] for rows in (validation, test))
    best = choose_transfer(
        of_validation, y_M1, lambda found_N1: -float(np.square(found_N1 - validation.target_NT).mean())
    )
    return best.predict(of_test, y_M1)[:, 0], str(best)


def _write_predictions(run: StabilityRun, test: Rows, found: "Mapping[str, np.ndarray]") -> None:
    """A row for each method and measurement of the test split."""
    rows = [
        {"method": method, "id": id, "cluster": cluster, "true": true, "predicted": predicted}
        for method, found_N in found.items()
        for id, cluster, true, predicted in zip(test.ids, test.clusters, test.target_NT[:, 0], found_N, strict=True)
    ]
    with (run.out / "predictions.parquet").writing() as path:
        pq.write_table(pa.Table.from_pylist(rows, schema=schemas.STABILITIES), path, **WRITING)
