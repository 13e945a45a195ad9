"""What a trial of the score network trains: the whole network at its own noise levels, scored at those of the paper.

Shape key:  B crops   K noise levels
"""

import functools
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from protray.cluster.runtime.resources import Plan
from protray.cluster.runtime.start import Cluster
from protray.cluster.storage.identity import dataset_digest
from protray.cluster.train.job import Context
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.settings import SweepRun
from protray.data.location import Location
from protray.data.structures import Structures, read_chain_clusters, read_structures
from protray.evaluation.sweep_halves import HALVES, ids_of
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_net import ScoreNet
from protray.pipelines.structure.score_net import ScoreNetRun
from protray.struct.noise import NoiseConfig
from protray.training.checkpoint import load_state, save_state
from protray.training.structure.score_export import save_score_net
from protray.training.structure.score_net import Denoising, fit, forward
from protray.training.structure.score_steps import (
    Crops,
    ScoreFitConfig,
    calibration_batches,
    steps,
    trainable,
    validation_batches,
)
from protray.training.world import World

COMMON = "validation/explained_common"
POINTS = 3  # of a trial's curve: validation takes as long as many steps
LEVELS = 4  # noise levels that each validation chain is seen with
COARSE = 1.0  # Å: noise above it moves folds, below it bonds
BEST = "best"  # folder of the weights to keep
SECONDS_PER_WEIGHT_AND_PAIR = 6e-11  # of a crop, forward and backward, on one core


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """What may vary."""

    net: ScoreNetConfig
    fit: ScoreFitConfig


@dataclass(frozen=True)
class Shared:
    """What all trials read."""

    data: Location | None
    steps: int  # of a trial


def base(run: SweepRun) -> ScoreSettings:
    """The settings that a study starts from."""
    one = ScoreNetRun.preset(run.model)
    return ScoreSettings(net=one.net, fit=replace(one.fit, epochs=run.epochs, seed=run.seed))


def identity(run: SweepRun) -> dict:
    return {"digest of the data": dataset_digest(run.data)}


def plan(run: SweepRun, cluster: Cluster) -> Plan:
    """Nothing is trained before the trials."""
    return Plan((), cluster.nodes)


def params(settings: ScoreSettings, shared: Shared) -> dict:
    """Parameters of a trial's MLflow run: those of a single run."""
    return asdict(settings)


def prepare(run: SweepRun, context: Context) -> Shared:
    """Count the steps; nothing else is shared but the dataset."""
    return Shared(run.data, _total(run.data, base(run).fit))


def train(
    settings: ScoreSettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train in this process, validate on the choosing half, and score both halves."""
    net, world = settings.net, World(device=device)
    config = replace(settings.fit, validate_every=max(1, shared.steps // POINTS), validation_levels=LEVELS)
    chains, validation = (_chains(shared.data, split) for split in ("train", "validation"))
    clusters = {name: _clusters(shared.data)[name] for name in validation.ids}
    choosing, confirming = (
        validation.select(np.flatnonzero(np.isin(validation.ids, ids_of(half, clusters)))) for half in HALVES
    )
    common = common_batches(choosing, net.noise)

    def on_report(metrics: dict[str, float], state: dict | None) -> None:
        if state is None:
            report(None, metrics, None)
            return
        _, explained, _ = score(_built(net, state["best"], device), common, config)
        report(int(metrics["step"]), metrics | {COMMON: explained}, state)

    state = fit(
        net, config, shared.steps, lambda step: steps(chains, config, net.noise, step),
        calibration_batches(chains, config, net.noise), validation_batches(choosing, config, net.noise),
        on_report, resume, world,
    )  # fmt: skip
    save_state(folder / BEST, state["best"])
    best = _built(net, state["best"], device)
    values, explained, objectives = score(best, common, config)
    values |= score(best, common_batches(confirming, net.noise), config)[0]
    return Outcome(
        values=values, scores={COMMON: explained}, objectives=objectives, history=state["position"]["history"],
        clusters=clusters,
    )  # fmt: skip


def save_model(run: SweepRun, settings: ScoreSettings, shared: Shared, folder: Path, target: Path) -> None:
    """Write the model, for jobs/embed.py, from a finished trial's folder."""
    save_score_net(target, settings.net, load_state(folder / BEST))


def common_batches(chains: Structures, noise: NoiseConfig) -> list[Crops]:
    """One and the same set of noisy crops for every trial, at the paper's levels and the default crop.

    A network is told the nearest of its own levels, and the true sigma.
    """
    return [
        replace(crops, level_B=np.array([noise.nearest(sigma) for sigma in crops.sigma_B.tolist()]))
        for crops in validation_batches(chains, ScoreFitConfig(validation_levels=LEVELS), NoiseConfig())
    ]


@torch.no_grad()
def score(
    net: ScoreNet, batches: list[Crops], config: ScoreFitConfig
) -> tuple[dict[str, float], float, dict[str, float]]:
    """Share of the noise that is explained: of each chain, in the mean over chains, and above and below `COARSE`."""
    denoising, world = Denoising(net), World(device=str(next(net.parameters()).device))
    sums: dict[str, np.ndarray] = {}  # chain -> (coarse or fine, loss or that of a zero score)
    for crops in batches:
        loss_B, zero_B, _ = forward(denoising, crops, config, world)
        pairs_B2 = torch.stack([loss_B, zero_B], dim=1).double().cpu().numpy()
        for name, sigma, pair in zip(crops.ids, crops.sigma_B, pairs_B2, strict=True):
            sums.setdefault(name, np.zeros((2, 2)))[int(sigma < COARSE)] += pair
    values = {name: 1 - found[:, 0].sum() / found[:, 1].sum() for name, found in sums.items()}
    total = sum(sums.values())
    assert isinstance(total, np.ndarray)
    names = (f"explained at sigma >= {COARSE:g} Å", f"explained at sigma < {COARSE:g} Å")
    objectives = {name: float(1 - loss / zero) for name, (loss, zero) in zip(names, total, strict=True)}
    return {name: float(value) for name, value in values.items()}, float(np.mean(list(values.values()))), objectives


def _built(config: ScoreNetConfig, weights: dict, device: str) -> ScoreNet:
    net = ScoreNet(config).to(device)
    net.load_state_dict(weights)
    return net.eval()


def _total(data: Location | None, config: ScoreFitConfig) -> int:
    return config.steps(len(trainable(_chains(data, "train").lengths)))


@functools.lru_cache(maxsize=2)
def _chains(data: Location | None, split: str) -> Structures:
    """Read once per process."""
    return read_structures(data, split)


@functools.lru_cache(maxsize=1)
def _clusters(data: Location | None) -> dict[str, str]:
    """Cluster of each chain; read once per process."""
    return read_chain_clusters(data)


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, residue pairs and steps."""
    one = base(run)
    weights = sum(weight.numel() for weight in ScoreNet(one.net).parameters())
    total = _total(run.data, one.fit)
    return SECONDS_PER_WEIGHT_AND_PAIR * weights * one.fit.crop**2 * one.fit.batch * total


SWEEP = Sweepable(
    identity=identity, base=base, params=params, prepare=prepare, train=train, save_model=save_model,
    guess_seconds=guess_seconds, plan=plan,
)  # fmt: skip
