"""What a trial of GraphQA trains: the network without embeddings, on decoys that all trials share.

A trial is scored by its error of GDT_TS: the mean over targets of 1 - |error|, averaged over a target's decoys.
"""

import functools
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from protray.cluster.train.job import Context
from protray.cluster.tuning import one_fit
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.one_fit import BEST, NetSettings, Shared
from protray.cluster.tuning.settings import SweepRun
from protray.data.decoys.graphs import Widths
from protray.data.decoys.table import Decoy, read_decoys
from protray.data.location import Location
from protray.evaluation.tasks.quality.scores import pearson, ranks
from protray.evaluation.tasks.quality.tables import GDT_TS
from protray.models.tasks.graphqa import GraphQa
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.pipelines.tasks.quality.decoys import DecoySettings, digest_of, make_decoys, targets_of
from protray.pipelines.tasks.quality.inputs import PAPER_FIT, PAPER_NET
from protray.training.checkpoint import load_state
from protray.training.tasks.quality.export import save_graphqa
from protray.training.tasks.quality.fit import fit, predict
from protray.training.tasks.quality.steps import QualityFitConfig
from protray.training.world import World

COMMON = "validation/gdt_ts_accuracy"
POINTS = 3  # of a trial's curve
DECOYS = DecoySettings(targets=(200, 80, 1), each=6)  # test targets are not looked at
SECONDS_PER_WEIGHT_AND_DECOY = 1.2e-7  # forward and backward on one core, about


def base(run: SweepRun) -> NetSettings:
    """The settings that a study starts from."""
    net, config = (PAPER_NET, PAPER_FIT) if run.model == "paper" else (GraphQaConfig(), QualityFitConfig())
    return NetSettings(net=net, fit=replace(config, epochs=run.epochs, seed=run.seed))


def identity(run: SweepRun) -> dict:
    return {"data": digest_of(run.data)}


def prepare(run: SweepRun, context: Context) -> Shared:
    """Make the decoys, where they are missing."""
    return Shared(make_decoys(run.out, run.data, DECOYS), _steps(run))


def _steps(run: SweepRun) -> int:
    count = sum(split == "train" for _, split in targets_of(run.data, DECOYS))
    return base(run).fit.steps(count)


def train(
    settings: NetSettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train, and score both halves; all decoys of a target are in one."""
    config = replace(settings.fit, validate_every=max(1, settings.fit.epochs // POINTS))
    training, validation = (_decoys(shared.data, split) for split in ("train", "validation"))
    targets = [decoy.target for decoy in validation]
    clusters = dict.fromkeys(targets, "")
    choosing, confirming = ([validation[row] for row in rows] for rows in one_fit.rows_of_halves(targets, clusters))
    return one_fit.fit_and_score(
        COMMON,
        lambda on_report: fit(
            settings.net, Widths(), training, choosing, config, on_report, resume, World(device=device)
        ),
        lambda weights, decoys: score(one_fit.with_weights(GraphQa(settings.net), weights), decoys, device),
        (choosing, confirming), clusters, folder, report,
    )  # fmt: skip


def score(net: GraphQa, decoys: list[Decoy], device: str) -> tuple[dict[str, float], dict[str, float]]:
    """1 - |error| of GDT_TS over the decoys of each target with known scores; the means of it and of Spearman's rank
    correlation over targets."""
    of_target: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for decoy, (_, global_S) in zip(decoys, predict(net, decoys, device=device), strict=True):
        if np.isfinite(decoy.global_S[GDT_TS]):
            of_target[decoy.target].append((float(global_S[GDT_TS]), float(decoy.global_S[GDT_TS])))
    pairs = {target: np.array(found).T for target, found in of_target.items()}
    values = {target: float(1 - np.abs(found - true).mean()) for target, (found, true) in pairs.items()}
    orders = [pearson(ranks(found), ranks(true)) for found, true in pairs.values()]
    known = [order for order in orders if order is not None]
    return values, {
        "1 - error of GDT_TS": one_fit.mean(values), "Spearman within targets": float(np.mean(known)) if known else 0.0
    }  # fmt: skip


def save_model(run: SweepRun, settings: NetSettings, shared: Shared, folder: Path, target: Path) -> None:
    """Write the model, for jobs/assess.py, from a finished trial's folder."""
    save_graphqa(target, settings.net, Widths(), load_state(folder / BEST), {})


@functools.lru_cache(maxsize=2)
def _decoys(folder: Location, split: str) -> list[Decoy]:
    """Read once per process."""
    return read_decoys(folder.files("*.parquet"), split)


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, steps and decoys in a step."""
    one = base(run)
    return SECONDS_PER_WEIGHT_AND_DECOY * one_fit.n_weights(GraphQa(one.net)) * one.fit.batch * _steps(run)


SWEEP = Sweepable(
    identity=identity, base=base, prepare=prepare, train=train, save_model=save_model, guess_seconds=guess_seconds
)  # fmt: skip
