"""The end of a quality run: models, predictions, tables, report, and the same in MLflow."""

import logging
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.train.job import Context
from protray.data import schemas
from protray.data.decoys.graphs import Widths
from protray.data.location import Location
from protray.data.parquet import WRITING, read_parquet
from protray.data.splits import SPLITS
from protray.evaluation.tasks.properties.function_tables import markdown as lines
from protray.evaluation.tasks.published import published_tables
from protray.evaluation.tasks.quality.tables import Predictions, gain_rows, kind_rows, markdown, quality_rows
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL
from protray.pipelines.tasks.embedding import row_folder
from protray.pipelines.tasks.quality.inputs import PLAIN, WITH_LM, QualityRun, identity
from protray.pipelines.tasks.quality.tuned import SCORE, tuned_lines, tuned_rows
from protray.pipelines.tasks.tuned.models import save_tuned, tuned_table
from protray.pipelines.tasks.tuned.settings import TunedInputs
from protray.plm.shipped import absolute
from protray.plots.tasks.quality_report import write_quality_report
from protray.training.tasks.folder import STRUCTURE_MODEL
from protray.training.tasks.quality.export import save_graphqa
from protray.training.tasks.turns import finished

if TYPE_CHECKING:
    from protray.data.decoys.table import Decoy

log = logging.getLogger(__name__)

CONSTANT, LINEAR = "constant: the training mean", "linear fit to simple features"
LOGGED = ("rmse", "r", "r_target", "spearman", "spearman_target", "z", "frl5", "lddt_rho", "lddt_rho_decoy")


def write_results(
    run: QualityRun, decoys: Location, tuned: TunedInputs | None, state: dict, context: Context
) -> dict:  # fmt: skip
    """Write everything that `run.out` promises and return the content of ``metrics.json``."""
    from protray.cluster.train.driver import in_task, track_point
    from protray.data.decoys.table import read_decoys

    trained = finished(state)
    histories = {name: one["position"]["history"] for name, one in trained.items()}
    for name, one in trained.items():
        if name in run.tuned:
            save_tuned(run, name, one["best"], "quality", "value", [SCORE], {}, None, side_chains=False)
        else:
            save_model(run, name, one["best"])
        for point in histories[name]:  # what a dead driver may have missed; steps that are there stay as they are
            track_point(context.tracker, context.runs[name], point)
    log.info("predicting the test decoys")
    predictions = in_task(context, "quality", assess, run, decoys)
    of_vectors = in_task(context, "quality", tuned_rows, run, tuned, state) if tuned else []
    test = read_decoys(decoys.files("*.parquet"), "test")
    rows = quality_rows(test, predictions, seed=run.fit.seed)
    kinds, gains = (
        kind_rows(test, predictions, seed=run.fit.seed), gain_rows(test, predictions, PLAIN, seed=run.fit.seed)
    )  # fmt: skip
    for row in [*rows, *of_vectors]:
        own = context.runs.get(row["method"])
        if own:
            found = {f"test/{name}": row[name] for name in LOGGED if row.get(name) is not None}
            context.tracker.log(own, found, step=trained[row["method"]]["position"]["step"])
    write_predictions(run.out / "predictions.parquet", test, predictions)
    cost, told = tuned_table(run, trained)
    more = [tuned_lines(of_vectors), *told] if of_vectors else []
    (run.out / "tables.md").write_text(markdown(rows, kinds, gains) + "\n" + lines([*more, *published_tables("psr")]))
    facts = {name: str(value) for name, value in identity(run).items()}
    facts |= {f"best epoch of {name}": str(one["position"]["best_epoch"]) for name, one in trained.items()}
    with (run.out / "report.html").writing() as path:
        derived = run.data is None
        write_quality_report(path, test, predictions, rows, kinds, histories, facts, derived=derived, more=more)
    for name in ("report.html", "tables.md", "predictions.parquet"):
        context.tracker.artifact(context.run_id, run.out / name)
    context.tracker.artifact(context.run_id, run.out / "model", "model")
    splits = [
        split for file in decoys.files("*.parquet") for split in read_parquet(file, ["split"])["split"].to_pylist()
    ]
    return {
        "table": rows,
        "kinds": kinds,
        "gains": gains,
        "histories": histories,
        "decoys": {split: splits.count(split) for split in SPLITS},
        "derived": run.data is None,
        "of_vectors": of_vectors,
        "tuned": cost,
    }


def folder_of(run: QualityRun, name: str) -> Location:
    """Where a network is kept."""
    return run.out / "model" / row_folder(name, PLAIN)


def save_model(run: QualityRun, name: str, weights: dict) -> None:
    """Write a network with all that it reads: the score net is copied, a language model named."""
    widths = Widths(*(weights[f"extra_{kind}.1.weight"].shape[1] if f"extra_{kind}.1.weight" in weights else 0
                      for kind in ("node", "edge")))  # fmt: skip
    reads = {} if name == PLAIN else {"lm": absolute(run.lm)} if name == WITH_LM else {"noise": run.noise}
    with folder_of(run, name).writing() as folder:
        save_graphqa(folder, run.net, widths, weights, reads)
        if name in run.nets:
            shutil.copytree(run.nets[name].fetch(), folder / STRUCTURE_MODEL)


def assess(run: QualityRun, folder: Location, device: str) -> dict[str, list]:
    """Ray task: what each method, the baselines first, predicts for the test decoys."""
    from protray.data.decoys.table import read_decoys
    from protray.evaluation.tasks.quality.baselines import fit_constant, fit_linear
    from protray.inference.tasks.assess import Assessor

    train, test = (read_decoys(folder.files("*.parquet"), split) for split in ("train", "test"))
    found = {CONSTANT: fit_constant(train).predict(test), LINEAR: fit_linear(train).predict(test)}
    for name in run.rows:
        found[name] = Assessor.open(folder_of(run, name), device)(test)
    return found


def write_predictions(file: Location, decoys: "Sequence[Decoy]", predictions: Predictions) -> None:
    """A row for each method and decoy: ids, predicted and true scores."""
    rows = []
    for method, found in predictions.items():
        for decoy, (local_LS, global_S) in zip(decoys, found, strict=True):
            row: dict = {"method": method, "id": decoy.id, "target": decoy.target, "kind": decoy.kind}
            row |= {name: float(global_S[n]) for n, name in enumerate(GLOBAL)}
            row |= {f"true_{name}": _known(decoy.global_S[n]) for n, name in enumerate(GLOBAL)}
            row |= {f"residue_{name}": local_LS[:, n] for n, name in enumerate(LOCAL)}
            rows.append(row)
    with file.writing() as path:
        pq.write_table(pa.Table.from_pylist(rows, schema=schemas.QUALITY), path, **WRITING)


def _known(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)
