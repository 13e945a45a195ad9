"""The end of a distillation run: model folder, predictions, metrics, report, and the same in MLflow."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file

from protray.cluster.tracking import run_info
from protray.cluster.train.job import Context
from protray.data import schemas
from protray.data.location import Location
from protray.data.secondary.dataset import Proteins
from protray.evaluation.distil import OURS, Evaluation, evaluate, three_of
from protray.evaluation.tables import to_markdown, to_rich
from protray.inference.secondary.predict import Predictor, Query
from protray.pipelines.language_model.made_with import MadeWith
from protray.pipelines.secondary.distil_inputs import DistilRun, Inputs
from protray.plots.secondary.curves import curves_figure
from protray.plots.secondary.distil_report import headline, write_distil_report
from protray.plots.secondary.logo import LogoRow, logo_figure
from protray.seq.downsample import LOW_QUALITY, Prior, downsample
from protray.seq.keyed import generator
from protray.seq.pssm import background, count_residues, pssm
from protray.seq.secondary import STATES
from protray.training.secondary.export import ModelCard, save_model
from protray.training.secondary.finished import read_history, read_probabilities
from protray.training.secondary.stages import Stage, training_rows, unlabelled_rows

N_LOGOS = 2  # proteins shown in the report
TABLE_WIDTH = 110


def write_results(
    run: DistilRun, inputs: Inputs, stages: Sequence[Stage], folders: Mapping[str, Location], context: Context
) -> dict:
    """Write everything that `run.out` promises and return the content of ``metrics.json``."""
    proteins = inputs.proteins
    outputs = {
        stage.name: read_probabilities(folders[stage.name], stage.networks.classifier.states)
        for stage in stages
        if stage.predicts
    }
    probabilities = {name: prob for name, (prob, _) in outputs.items()}
    test, validation = (evaluate(proteins, split, probabilities) for split in ("test", "validation"))

    ours = next(stage for stage in stages if stage.name == OURS)
    save_model_of(run, inputs.made, ours, folders[OURS], run.out / "model")
    with (run.out / "predictions.parquet").writing() as partial:
        write_predictions(partial, proteins, *outputs[OURS])
    histories = {stage.name: read_history(folders[stage.name]) for stage in stages}
    found = facts(run, inputs, histories, context)
    fig_4 = logos(run, proteins) if run.enhance_net else {}
    with (run.out / "report.html").writing() as partial:
        write_distil_report(
            partial, test.table, test.bins, test.gains, test.bin_gains, logos=fig_4,
            curves=curves_figure({name: curve(history) for name, history in histories.items()}), facts=found,
            confusion_SS=test.confusion_SS,
        )  # fmt: skip
    (run.out / "tables.md").write_text(markdown(test))
    track(run, test, context)
    return {
        "table": test.table, "bins": test.bins, "gains": test.gains, "validation_table": validation.table,
        "ablations": list(run.ablate), "left_out": inputs.left_out, "facts": found,
    }  # fmt: skip


def markdown(test: Evaluation) -> str:
    """Tables 2 and 3 with the deep proteins beside them, for a README or a notebook."""
    deep = [row for row in test.bins if row["above"] is not None and row["max"] is None]
    return to_markdown([*test.table, *deep]) + "\n" + to_markdown(test.gains, "gain")


def save_model_of(run: DistilRun, made: MadeWith, stage: Stage, folder: Location, out: Location) -> None:
    """Write the model folder `out` from the folder of a finished training."""
    classifier = stage.networks.classifier
    card = ModelCard(
        lm=made.lm, reading=made.reading, features=run.features, classifier=classifier,
        teacher=replace(classifier, extra=0), enhance=stage.networks.enhance,
    )  # fmt: skip
    with out.writing() as partial:
        save_model(partial, card, load_file((folder / "model.safetensors").fetch()))


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


def facts(run: DistilRun, inputs: Inputs, histories: Mapping[str, list[dict]], context: Context) -> dict[str, str]:
    """Where the numbers come from, for the report and for ``metrics.json``."""
    proteins, made = inputs.proteins, inputs.made
    splits = {split: len(proteins.of_split(split)) for split in ("train", "validation", "test")}
    deep = {split: int(proteins.deep[proteins.of_split(split)].sum()) for split in splits}
    workers = sorted({int(point["train/world_size"]) for history in histories.values() for point in history})
    learnt = f"{len(unlabelled_rows(proteins))} deep training proteins"
    settings = {"model": run.model, "train_on": run.train_on, "lm_features": run.lm_features, "seed": run.seed}
    settings |= {"background": run.background, "drawing": run.drawing, "epochs": run.networks.fit.epochs}
    return {
        "proteins": ", ".join(f"{n} {split} ({deep[split]} of them deep)" for split, n in splits.items())
        + f"; deep: more than {LOW_QUALITY} homologs",
        "without labels": f"{learnt}, of {run.unlabelled}" if run.unlabelled else learnt,
        "left out": f"{inputs.left_out['n_rejected']} proteins without a map",
        "dataset": f"{run.data or 'bundled sample'}, digest {made.proteins}",
        "probability maps": "none" if run.without_lm else f"{made}{f'; from {run.maps}' if run.maps else ''}",
        "settings": json.dumps(settings),
        "weights": json.dumps(asdict(run.weights)),
        "workers of the trainings": ", ".join(map(str, workers)),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "mlflow run": context.run_id,
    } | {name: str(value) for name, value in run_info.common_tags(run.seed, made.proteins, run.workers).items()}


def curve(history: list[dict]) -> list[dict]:
    """What is drawn of a training's epochs."""
    return [
        {"epoch": epoch["epoch"], "train_loss": epoch["train/loss"]}
        | ({"val_q3": epoch["validation/q3"]} if "validation/q3" in epoch else {})
        for epoch in history
    ]


def logos(run: DistilRun, proteins: Proteins) -> dict:
    """Fig. 4: deep test proteins lowered to a shallow alignment, enhanced, and as they are."""
    predictor = Predictor.open((run.out / "model").fetch(), with_lm=False)
    shown = {}
    deep = [row for row in proteins.of_split("test") if proteins.deep[row]]
    prior = Prior.of(proteins.msa_counts[training_rows(proteins, "all")])
    for row in deep[:N_LOGOS]:
        name = proteins.ids[row]
        rng = generator(run.seed, "logo", name)
        lowered_NL = downsample(proteins.msa(row), min(prior.draw(rng), 10), rng)
        counts_LA = count_residues(lowered_NL)
        prob_LA = None if run.without_lm else proteins.prob_map(row)
        query = Query(name, lowered_NL, prob_LA, proteins.lm_hidden(row) if run.hidden else None)
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


def track(run: DistilRun, test: Evaluation, context: Context) -> None:
    """Log the table's numbers and the files with the run of the job."""
    values = {}
    for row in test.table:
        if row["q3"] is not None:
            depth = "all" if row["max"] is None else f"{row['by']}_{row['max']}"
            values[f"test/{row['method']}/q3_{depth}"] = row["q3"]
    context.tracker.log(context.run_id, values, step=0)
    for name in ("predictions.parquet", "report.html", "tables.md"):
        context.tracker.artifact(context.run_id, run.out / name)
    context.tracker.artifact(context.run_id, run.out / "model", "model")


def print_summary(run: DistilRun, metrics: dict) -> None:
    """Print the test split's tables to the terminal, and where everything lies."""
    from rich.console import Console

    console = Console()
    if console.width < TABLE_WIDTH:
        console = Console(width=TABLE_WIDTH)  # of a pipe or a narrow window; cut-off names help nobody
    for table in to_rich(metrics["table"]):
        console.print(table)
    for sentence in headline(metrics["table"], metrics["gains"]):
        console.print(sentence)
    places = {"report": "report.html", "predictions": "predictions.parquet", "model": "model"}
    lines = [f"{what:<12} {run.out / name}" for what, name in places.items()] + [f"MLflow       {metrics['mlflow_ui']}"]
    console.print("\n" + "\n".join(lines), soft_wrap=True, highlight=False)
