"""The end of a run on interaction sites: models, predictions, tables, report, and the same in MLflow."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.train.job import Context
from protray.data.location import Location
from protray.data.parquet import WRITING
from protray.data.sites.batch import FeatureSet
from protray.data.sites.table import LABELS, SiteProtein, read_backbone, read_sites
from protray.data.splits import SPLITS
from protray.evaluation.tasks.sites.tables import Trained, markdown, measures_of, site_tables
from protray.pipelines.tasks.embedding import row_folder
from protray.pipelines.tasks.sites.inputs import (
    PLAIN,
    SiteData,
    SitesRun,
    identity,
    read_split,
)
from protray.plm.shipped import absolute
from protray.plots.tasks.sites_report import write_sites_report
from protray.training.tasks.folder import STRUCTURE_MODEL
from protray.training.tasks.sites.export import save_site_net
from protray.training.tasks.turns import finished

log = logging.getLogger(__name__)

ALL, LOGISTIC = "every residue a site", "logistic regression on windows"
PREDICTED = pa.schema(
    [
        pa.field("method", pa.string(), nullable=False),
        pa.field("training", pa.string()),  # null for a baseline
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("threshold", pa.float32(), nullable=False),  # of validation
        pa.field("prob", pa.list_(pa.float32()), nullable=False),
    ]
)
Named = Mapping[str, Mapping[str | None, Trained]]  # method -> training -> what it gives


def write_results(run: SitesRun, data: SiteData, state: dict, context: Context) -> dict:
    """Write everything that `run.out` promises and return the content of ``metrics.json``."""
    from protray.cluster.train.driver import in_task, track_history

    trained = finished(state)
    histories = {row: {} for row in run.embeddings}
    for name, (row, _) in run.trainings.items():
        histories[row][name] = trained[name]["position"]["history"]
        track_history(context, context.runs[name], histories[row][name])
    log.info("predicting the test proteins")
    weights = {name: one["best"] for name, one in trained.items()}
    found, wanted, chosen = in_task(context, "sites", predict_all, run, data, weights)
    for row in run.embeddings:
        best = min(histories[row], key=lambda name: trained[name]["position"]["best_loss"])
        save_model(run, row, weights[best], wanted[row], found[row][best].threshold)
    proteins = read_sites(data.proteins, "test")
    methods = {method: list(trainings.values()) for method, trainings in found.items()}
    rows, gains = site_tables(proteins, methods, PLAIN, seed=run.fit.seed)
    _log_to_runs(run, context, proteins, found, trained)
    write_predictions(run.out / "predictions.parquet", proteins, found)
    (run.out / "tables.md").write_text(markdown(rows, gains))
    facts = {name: str(value) for name, value in identity(run).items()} | {LOGISTIC: chosen}
    with (run.out / "report.html").writing() as path:
        backbone_of = partial(read_backbone, data.proteins)
        write_sites_report(path, proteins, methods, rows, gains, histories, facts, backbone_of)
    for name in ("report.html", "tables.md", "predictions.parquet"):
        context.tracker.artifact(context.run_id, run.out / name)
    context.tracker.artifact(context.run_id, run.out / "model", "model")
    counts = {split: len(read_sites(data.proteins, split)) for split in SPLITS}
    return {
        "table": rows, "gains": gains, "histories": histories, "proteins": counts, "logistic regression": chosen,
        "best epochs": {name: one["position"]["best_epoch"] for name, one in trained.items()},
    }  # fmt: skip


def predict_all(
    run: SitesRun, data: SiteData, weights: Mapping[str, dict], device: str
) -> tuple[dict[str, dict[str | None, Trained]], dict[str, FeatureSet], str]:
    """Ray task: what each method, the baselines first, gives for the test proteins.

    And what each row's networks read; and which logistic regression was chosen.
    """
    from protray.evaluation.tasks.sites.baselines import best_logistic
    from protray.models.tasks.site_net import SiteNet
    from protray.training.tasks.sites.fit import predict

    sets = {split: read_split(data, PLAIN, split) for split in SPLITS}
    logistic = best_logistic(sets["train"], sets["validation"])
    found: dict[str, dict[str | None, Trained]] = {
        ALL: {None: Trained([np.ones(len(one.sequence)) for one in sets["test"]], 1.0)},
        LOGISTIC: {None: judged(logistic.predict(sets["validation"]), logistic.predict(sets["test"]), sets)},
    }
    wanted: dict[str, FeatureSet] = {}
    for row in run.embeddings:
        sets = {split: read_split(data, row, split) for split in SPLITS}
        wanted[row], found[row] = FeatureSet.of(sets["train"]), {}
        for name in (name for name, (of, _) in run.trainings.items() if of == row):
            net = SiteNet(run.net, wanted[row].width, wanted[row].channels)
            net.load_state_dict(weights[name])
            validation, test = (predict(net, sets[split], wanted[row], device) for split in ("validation", "test"))
            found[row][name] = judged(validation, test, sets)
    return found, wanted, f"window {logistic.window}, penalty {logistic.penalty:g}"


def judged(
    validation: Sequence[np.ndarray], test: Sequence[np.ndarray], sets: Mapping[str, Sequence[SiteProtein]]
) -> Trained:
    """Scores of the test proteins, with the threshold that is best on validation."""
    from protray.evaluation.tasks.sites.scores import Scored, best_threshold

    labels, clusters = zip(*((one.label_L, one.cluster) for one in sets["validation"]), strict=True)
    scored = Scored.of(validation, labels, clusters)
    return Trained(test, best_threshold(scored.score_N, scored.site_N))


def save_model(run: SitesRun, row: str, weights: dict, wanted: FeatureSet, threshold: float) -> None:
    """Write a network with all that it reads: the score net is copied, a language model named."""
    by = run.embeddings[row]
    reads = {} if by is None else {"lm": absolute(by.lm)} if by.lm else {"noise": by.noise}
    with (run.out / "model" / row_folder(row, PLAIN)).writing() as folder:
        save_site_net(folder, run.net, weights, wanted, threshold, reads)
        if by and by.model:
            shutil.copytree(by.model.fetch(), folder / STRUCTURE_MODEL)


def _log_to_runs(
    run: SitesRun, context: Context, proteins: Sequence[SiteProtein], found: Named, trained: Mapping[str, dict]
) -> None:
    """Test measures of each training, in its own run in MLflow."""
    for name, (row, _) in run.trainings.items():
        values = {f"test/{key}": value for key, value in measures_of(proteins, found[row][name]).items()}
        context.tracker.log(context.runs[name], values, step=trained[name]["position"]["step"])


def write_predictions(file: Location, proteins: Sequence[SiteProtein], found: Named) -> None:
    """A row for each method, training and protein."""
    rows = [
        {
            "method": method, "training": name, "id": one.id, "sequence": one.sequence, "threshold": trained.threshold,
            "label": "".join(LABELS[label] for label in one.label_L), "prob": prob_L,
        }
        for method, trainings in found.items()
        for name, trained in trainings.items()
        for one, prob_L in zip(proteins, trained.scores, strict=True)
    ]  # fmt: skip
    with file.writing() as path:
        pq.write_table(pa.Table.from_pylist(rows, schema=PREDICTED), path, **WRITING)
