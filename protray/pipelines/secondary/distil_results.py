"""The end of a distillation run: model folder, predictions, metrics, report, and the same in MLflow."""

import json
import logging
import os
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file

from protray.cluster.storage.files import write_json
from protray.cluster.tracking import run_info
from protray.cluster.tracking.tracker import Tracker
from protray.data import schemas
from protray.data.dataset import Proteins
from protray.evaluation.distil import OURS, Evaluation, evaluate, three_of
from protray.evaluation.tables import to_markdown
from protray.inference.predict import Predictor, Query
from protray.pipelines.secondary.distil_run import DistilRun, digest
from protray.plm.masked import has_bf16
from protray.plm.reading import Reading
from protray.plm.shipped import absolute
from protray.plots.secondary.curves import curves_figure
from protray.plots.secondary.distil_report import write_distil_report
from protray.plots.secondary.logo import LogoRow, logo_figure
from protray.seq.downsample import LOW_QUALITY, Prior, downsample
from protray.seq.keyed import generator
from protray.seq.pssm import background, count_residues, pssm
from protray.seq.secondary import STATES
from protray.training.secondary.export import ModelCard, save_model
from protray.training.secondary.session import read_probabilities
from protray.training.secondary.stages import Stage

log = logging.getLogger(__name__)

N_LOGOS = 2  # proteins shown in the report


def write_results(
    run: DistilRun,
    inputs: dict,
    stages: list[Stage],
    folders: dict[str, Path],
    proteins: Proteins,
    tracker: Tracker,
    parent: str,
) -> dict:
    """Write everything that `run.out` promises and return the content of ``metrics.json``."""
    by_name = {stage.name: stage for stage in stages}
    outputs = {
        stage.name: read_probabilities(folders[stage.name], stage.networks.classifier.states)
        for stage in stages
        if stage.predicts
    }
    probabilities = {name: prob for name, (prob, _) in outputs.items()}
    test, validation = (evaluate(proteins, split, probabilities) for split in ("test", "validation"))

    save_results_model(run, by_name[OURS], folders[OURS])
    write_predictions(run.out / "predictions.parquet", proteins, *outputs[OURS])
    metrics = {
        "table": test.table,
        "bins": test.bins,
        "gains": test.gains,
        "validation_table": validation.table,
        "ablations": list(run.ablate),
        "inputs": inputs,
        "left_out": left_out(run, inputs),
        "facts": facts(run, inputs, proteins, parent),
        "mlflow_ui": tracker.ui(),
    }
    report(run, stages, folders, proteins, outputs[OURS], test, metrics["facts"])
    (run.out / "tables.md").write_text(markdown(test))
    write_json(run.out / "cache" / "metrics.json", metrics)
    track(run, test, tracker, parent)
    os.replace(run.out / "cache" / "metrics.json", run.out / "metrics.json")  # last: it says that the run is complete
    return metrics


def markdown(test: Evaluation) -> str:
    """Tables 2 and 3 with the deep proteins beside them, for a README or a notebook."""
    deep = [row for row in test.bins if row["above"] is not None and row["max"] is None]
    return to_markdown([*test.table, *deep]) + "\n" + to_markdown(test.gains, "gain")


def save_results_model(run: DistilRun, stage: Stage, folder: Path) -> None:
    classifier = stage.networks.classifier
    card = ModelCard(
        lm=absolute(run.lm),
        reading=Reading("bfloat16" if has_bf16() else "float32"),
        features=run.features,
        classifier=classifier,
        teacher=replace(classifier, extra=0),
        enhance=stage.networks.enhance,
    )
    save_model(run.out / "model", card, load_file(folder / "model.safetensors"))


def write_predictions(path: Path, proteins: Proteins, prob: dict, enhanced: dict) -> None:
    """The test split's predictions, `schemas.PREDICTIONS`."""
    rows = []
    for row in proteins.of_split("test"):
        name = proteins.ids[row]
        prob_L3 = three_of(prob[name])
        rows.append(
            {
                "id": name,
                "sequence": proteins.sequence(row),
                "ss3": letters(prob_L3),
                "prob": prob_L3.astype(np.float32).ravel(),
                "msa_count": int(proteins.msa_counts[row]),
                "pssm_enhanced": enhanced[name].ravel(),
            }
        )
    pq.write_table(pa.Table.from_pylist(rows, schema=schemas.PREDICTIONS), path)


def letters(prob_L3: np.ndarray) -> str:
    return "".join(STATES[state] for state in prob_L3.argmax(axis=1))


def left_out(run: DistilRun, inputs: dict) -> dict:
    """How many proteins the language model gave no map, and why."""
    path = run.out / "cache" / digest(inputs) / "left_out.json"
    return json.loads(path.read_text()) if path.is_file() else {"n_rejected": 0, "reasons": {}}


def facts(run: DistilRun, inputs: dict, proteins: Proteins, parent: str) -> dict[str, str]:
    """Where the numbers come from, for the report and for ``metrics.json``."""
    splits = {split: len(proteins.of_split(split)) for split in ("train", "validation", "test")}
    deep = {split: int(proteins.deep[proteins.of_split(split)].sum()) for split in splits}
    return {
        "proteins": ", ".join(f"{n} {split} ({deep[split]} of them deep)" for split, n in splits.items())
        + f"; deep: more than {LOW_QUALITY} homologs",
        "left out": f"{left_out(run, inputs)['n_rejected']} proteins without a map",
        "dataset": f"{run.data or 'bundled sample'}, digest {inputs['data']}",
        "language model": f"{run.lm}, fingerprint {inputs['lm']}",
        "settings": json.dumps(run.fixed()),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, bfloat16 {'yes' if has_bf16() else 'no'}",
        "mlflow run": parent,
    } | {name: str(value) for name, value in run_info.common_tags(run.seed, inputs["data"], run.workers).items()}


def report(
    run: DistilRun,
    stages: list[Stage],
    folders: dict[str, Path],
    proteins: Proteins,
    ours: tuple[dict, dict],
    test: Evaluation,
    facts_: dict[str, str],
) -> None:
    history = {}
    for stage in stages:
        epochs = json.loads((folders[stage.name] / "stage.json").read_text())["history"]
        history[stage.name] = [
            {"epoch": epoch["epoch"], "train_loss": epoch["train/loss"]}
            | ({"val_q3": epoch["validation/q3"]} if "validation/q3" in epoch else {})
            for epoch in epochs
        ]
    write_distil_report(
        run.out / "report.html", test.table, test.bins, test.gains, test.bin_gains,
        logos=logos(run, proteins, folders, stages), curves=curves_figure(history), facts=facts_,
        confusion_SS=test.confusion_SS,
    )  # fmt: skip


def logos(run: DistilRun, proteins: Proteins, folders: dict[str, Path], stages: list[Stage]) -> dict:
    """Fig. 4: deep test proteins lowered to a shallow alignment, enhanced, and as they are."""
    predictor = Predictor.open(run.out / "model", with_lm=False)
    shown = {}
    deep = [row for row in proteins.of_split("test") if proteins.deep[row]]
    prior = Prior.of(proteins.msa_counts[proteins.of_split("train")])
    for row in deep[:N_LOGOS]:
        name = proteins.ids[row]
        rng = generator(run.seed, "logo", name)
        lowered_NL = downsample(proteins.msa(row), min(prior.draw(rng), 10), rng)
        counts_LA = count_residues(lowered_NL)
        query = Query(name, lowered_NL, proteins.prob_map(row), _hidden(run, proteins, row))
        [prediction] = predictor.predict([query])
        high_A = background(proteins.counts(row), run.background)
        rows = [
            LogoRow(
                f"low ({len(lowered_NL) - 1} homologs)", pssm(counts_LA, len(lowered_NL), run.background),
                background(counts_LA, run.background),
            ),
            LogoRow("enhanced", prediction.pssm_enhanced_LA, high_A),
            LogoRow(
                f"high ({proteins.msa_counts[row]} homologs)",
                pssm(proteins.counts(row), proteins.n_rows(row), run.background), high_A,
            ),
        ]  # fmt: skip
        true = "".join("-" if code < 0 else STATES[code] for code in proteins.ss3(row))
        shown[f"Fig. 4: {name}, lowered and enhanced"] = logo_figure(
            rows, [("DSSP", true), ("predicted", prediction.ss3)]
        )
    return shown


def _hidden(run: DistilRun, proteins: Proteins, row: int) -> np.ndarray | None:
    return proteins.lm_hidden(row) if run.features.lm_hidden else None


def track(run: DistilRun, test: Evaluation, tracker: Tracker, parent: str) -> None:
    """Log the table's numbers and the files with the parent run."""
    values = {}
    for row in test.table:
        if row["q3"] is not None:
            depth = "all" if row["max"] is None else f"{row['by']}_{row['max']}"
            values[f"test/{row['method']}/q3_{depth}"] = row["q3"]
    tracker.log(parent, values, step=0)
    for name in ("cache/metrics.json", "predictions.parquet", "report.html", "tables.md"):
        tracker.artifact(parent, run.out / name)
    tracker.artifact(parent, run.out / "model", "model")
    tracker.finish(parent)
