"""What a trial of a head trains: EC numbers from a language model's embeddings, which all trials share.

A trial is scored by the average precision of each protein's labels, the mean over proteins (label ranking).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from protray.cluster.train.job import Context
from protray.cluster.tuning import one_fit
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.one_fit import BEST, NetSettings
from protray.cluster.tuning.settings import SweepRun
from protray.data.location import Location
from protray.data.tasks.examples import Rows, read_rows, read_vectors
from protray.evaluation.tasks.properties.function import curve
from protray.evaluation.tasks.sites.scores import average_precision
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig
from protray.pipelines.tasks.properties.function.inputs import FunctionRun, data_digest, prepared, proteins_of
from protray.pipelines.tasks.properties.heads import WITH_LM, save_head_of
from protray.training.checkpoint import load_state
from protray.training.tasks.properties.head_steps import HeadFitConfig
from protray.training.tasks.properties.heads import Examples, fit, predict
from protray.training.world import World

COMMON = "validation/label_ranking"
SECONDS_PER_WEIGHT_AND_ROW = 1e-9  # forward and backward on one core, about
PAPER_NET, PAPER_FIT = HeadConfig(hidden=512, dropout=0.0), HeadFitConfig(learning_rate=1e-4, weight_decay=0.0)


@dataclass(frozen=True)
class Shared:
    """What all trials read."""

    examples: Location
    vectors: Sequence[Location]
    labels: list[str]
    steps: int  # of a trial


def function_run(run: SweepRun) -> FunctionRun:
    """The run whose proteins and embeddings are used."""
    return FunctionRun(data=run.data, out=run.out, lm=run.lm, model=())


def base(run: SweepRun) -> NetSettings:
    """The settings that a study starts from; no trial is stopped early, so that all are as long."""
    net, config = (PAPER_NET, PAPER_FIT) if run.model == "paper" else (HeadConfig(), HeadFitConfig())
    return NetSettings(net=net, fit=replace(config, epochs=run.epochs, patience=run.epochs, seed=run.seed))


def identity(run: SweepRun) -> dict:
    embedding = function_run(run).embeddings[WITH_LM].identity()
    return {"data": data_digest(function_run(run)), "embedding": embedding}


def prepare(run: SweepRun, context: Context) -> Shared:
    """Embed the proteins, where they are missing."""
    inputs, proteins = prepared(function_run(run)), proteins_of(function_run(run))[0]
    return Shared(inputs.examples, inputs.vectors[WITH_LM], proteins.labels, base(run).fit.steps(proteins.sizes()[0]))


def train(
    settings: NetSettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train, and score both halves."""
    (_, training), (rows, validation) = (_examples(shared, split) for split in ("train", "validation"))
    clusters = dict(zip(rows.ids, rows.clusters, strict=True))
    choosing, confirming = one_fit.rows_of_halves(rows.ids, clusters)
    chosen = Examples(validation.x_NC[choosing], validation.y_NT[choosing])

    def score(weights: dict, half_M: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
        found_MT = predict(built(settings.net, weights), validation.x_NC[half_M], device)
        true_MT = validation.y_NT[half_M] > 0.5
        values = dict(zip([rows.ids[m] for m in half_M], ranking(found_MT, true_MT).tolist(), strict=True))
        return values, {
            "label ranking": one_fit.mean(values), "AUPR": average_precision(found_MT.ravel(), true_MT.ravel())
        }  # fmt: skip

    return one_fit.fit_and_score(
        COMMON,
        lambda on_report: fit(
            settings.net, "labels", training, chosen, settings.fit, on_report, resume, World(device=device)
        ),
        score, (choosing, confirming), clusters, folder, report,
    )  # fmt: skip


def ranking(score_NT: np.ndarray, true_NT: np.ndarray) -> np.ndarray:
    """Average precision of each protein's labels among all; shape (N,).

    >>> ranking(np.array([[0.9, 0.8, 0.1]]), np.array([[False, True, False]])).tolist()
    [0.5]
    """
    return np.array([average_precision(*pair) for pair in zip(score_NT, true_NT, strict=True)])


def built(config: HeadConfig, weights: dict) -> Head:
    """A head with these weights."""
    return one_fit.with_weights(Head(config, "labels", len(weights["mean_C"]), len(weights["mean_T"])), weights)


def save_model(run: SweepRun, settings: NetSettings, shared: Shared, folder: Path, target: Path) -> None:
    """Write the model, for jobs/annotate.py, from a finished trial's folder; its threshold is that of validation."""
    weights = load_state(folder / BEST)
    _, validation = _examples(shared, "validation")
    found_NT = predict(built(settings.net, weights), validation.x_NC)
    threshold = curve(found_NT, validation.y_NT > 0.5).best()[1]
    one = replace(function_run(run), net=settings.net)
    save_head_of(one, WITH_LM, weights, "ec", "labels", shared.labels, {}, threshold, False, Location(target))


@functools.lru_cache(maxsize=2)
def _read(examples: Location, vectors: tuple[Location, ...], split: str) -> tuple[Rows, Examples]:
    """Read once per process."""
    rows = read_rows(examples, split)
    return rows, Examples(read_vectors(vectors, rows.ids), rows.target_NT)


def _examples(shared: Shared, split: str) -> tuple[Rows, Examples]:
    return _read(shared.examples, tuple(shared.vectors), split)


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, epochs and proteins."""
    one, proteins = base(run), proteins_of(function_run(run))[0]
    width = function_run(run).embeddings[WITH_LM].width
    weights = one.net.hidden * (width + one.net.hidden + len(proteins.labels))
    return SECONDS_PER_WEIGHT_AND_ROW * weights * proteins.sizes()[0] * one.fit.epochs


SWEEP = Sweepable(
    identity=identity, base=base, prepare=prepare, train=train, save_model=save_model, guess_seconds=guess_seconds
)  # fmt: skip
