"""What a trial of GraphQA trains: the network without embeddings, on decoys that all trials share.

A trial is scored by its error of GDT_TS: the mean over targets of 1 - |error|, averaged over a target's decoys.
"""

import functools
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from protray.cluster.runtime.resources import Plan
from protray.cluster.runtime.start import Cluster
from protray.cluster.train.job import Context
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.settings import SweepRun
from protray.data.decoys.graphs import Widths
from protray.data.decoys.table import Decoy, read_decoys
from protray.data.location import Location
from protray.evaluation.sweep_halves import HALVES, ids_of
from protray.evaluation.tasks.quality import pearson, ranks
from protray.evaluation.tasks.quality_tables import GDT_TS
from protray.models.tasks.graphqa import GraphQa
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.pipelines.tasks.quality.decoys import DecoySettings, digest_of, make_decoys, targets_of
from protray.pipelines.tasks.quality.inputs import PAPER_FIT, PAPER_NET
from protray.training.checkpoint import load_state, save_state
from protray.training.tasks.quality import fit, predict
from protray.training.tasks.quality_export import save_graphqa
from protray.training.tasks.quality_steps import QualityFitConfig
from protray.training.world import World

COMMON = "validation/gdt_ts_accuracy"
POINTS = 3  # of a trial's curve
DECOYS = DecoySettings(targets=(200, 80, 1), each=6)  # test targets are not looked at
BEST = "best"  # folder of the weights to keep
SECONDS_PER_WEIGHT_AND_DECOY = 1.2e-7  # forward and backward on one core, about


@dataclass(frozen=True, kw_only=True)
class QualitySettings:
    """What may vary."""

    net: GraphQaConfig
    fit: QualityFitConfig


@dataclass(frozen=True)
class Shared:
    """What all trials read."""

    decoys: Location
    steps: int  # of a trial


def base(run: SweepRun) -> QualitySettings:
    """The settings that a study starts from."""
    net, config = (PAPER_NET, PAPER_FIT) if run.model == "paper" else (GraphQaConfig(), QualityFitConfig())
    return QualitySettings(net=net, fit=replace(config, epochs=run.epochs, seed=run.seed))


def identity(run: SweepRun) -> dict:
    return {"data": digest_of(run.data)}


def plan(run: SweepRun, cluster: Cluster) -> Plan:
    """Making decoys takes single CPUs, when no trial runs."""
    return Plan((), cluster.nodes)


def params(settings: QualitySettings, shared: Shared) -> dict:
    """Parameters of a trial's MLflow run."""
    return asdict(settings)


def prepare(run: SweepRun, context: Context) -> Shared:
    """Make the decoys, where they are missing."""
    return Shared(make_decoys(run.out, run.data, DECOYS), _steps(run))


def _steps(run: SweepRun) -> int:
    count = sum(split == "train" for _, split in targets_of(run.data, DECOYS))
    return base(run).fit.steps(count)


def train(
    settings: QualitySettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train in this process, validate on the choosing half, and score both halves."""
    config = replace(settings.fit, validate_every=max(1, settings.fit.epochs // POINTS))
    training, validation = (_decoys(shared.decoys, split) for split in ("train", "validation"))
    clusters = {decoy.target: "" for decoy in validation}
    choosing = set(ids_of(HALVES[0], clusters))
    chosen = [decoy for decoy in validation if decoy.target in choosing]

    def on_report(metrics: dict[str, float], state: dict | None) -> None:
        if state is None:
            report(None, metrics, None)
            return
        values, _ = score(built(settings.net, state["best"]), chosen, device)
        report(int(metrics["step"]), metrics | {COMMON: float(np.mean(list(values.values())))}, state)

    state = fit(settings.net, Widths(), training, chosen, config, on_report, resume, World(device=device))
    save_state(folder / BEST, state["best"])
    values, orders = score(built(settings.net, state["best"]), validation, device)
    mine = [target for target in values if target in choosing]
    accuracy = float(np.mean([values[target] for target in mine]))
    known = [order for target in mine if (order := orders[target]) is not None]
    objectives = {"1 - error of GDT_TS": accuracy, "Spearman within targets": float(np.mean(known)) if known else 0.0}
    return Outcome(
        values=values, scores={COMMON: accuracy}, objectives=objectives, history=state["position"]["history"],
        clusters=clusters,
    )  # fmt: skip


def score(net: GraphQa, decoys: list[Decoy], device: str) -> tuple[dict[str, float], dict[str, float | None]]:
    """Of each target with known scores: the mean of 1 - |error| of GDT_TS, and Spearman's correlation of its decoys."""
    of_target: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for decoy, (_, global_S) in zip(decoys, predict(net, decoys, device=device), strict=True):
        if np.isfinite(decoy.global_S[GDT_TS]):
            of_target[decoy.target].append((float(global_S[GDT_TS]), float(decoy.global_S[GDT_TS])))
    pairs = {target: np.array(found).T for target, found in of_target.items()}
    values = {target: float(1 - np.abs(found - true).mean()) for target, (found, true) in pairs.items()}
    return values, {target: pearson(ranks(found), ranks(true)) for target, (found, true) in pairs.items()}


def built(config: GraphQaConfig, weights: dict) -> GraphQa:
    """A network with these weights."""
    net = GraphQa(config)
    net.load_state_dict(weights)
    return net


def save_model(run: SweepRun, settings: QualitySettings, shared: Shared, folder: Path, target: Path) -> None:
    """Write the model, for jobs/assess.py, from a finished trial's folder."""
    save_graphqa(target, settings.net, Widths(), load_state(folder / BEST), {})


@functools.lru_cache(maxsize=2)
def _decoys(folder: Location, split: str) -> list[Decoy]:
    """Read once per process."""
    return read_decoys(folder.files("*.parquet"), split)


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, steps and decoys in a step."""
    one = base(run)
    weights = sum(weight.numel() for weight in GraphQa(one.net).parameters())
    return SECONDS_PER_WEIGHT_AND_DECOY * weights * one.fit.batch * _steps(run)


SWEEP = Sweepable(
    identity=identity, base=base, params=params, prepare=prepare, train=train, save_model=save_model,
    guess_seconds=guess_seconds, plan=plan,
)  # fmt: skip
