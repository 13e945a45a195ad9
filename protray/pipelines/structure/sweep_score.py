"""What a trial of the score network trains: the whole network at its own noise levels, scored at those of the paper.

Shape key:  B crops   K noise levels
"""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from protray.cluster.storage.identity import dataset_digest
from protray.cluster.train.job import Context
from protray.cluster.tuning import one_fit
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.one_fit import BEST, NetSettings, Shared
from protray.cluster.tuning.settings import SweepRun
from protray.data.location import Location
from protray.data.structure.structures import Structures, read_chain_clusters, read_structures
from protray.models.score.score_net import ScoreNet
from protray.pipelines.structure.score_net import ScoreNetRun
from protray.struct.noise import NoiseConfig
from protray.training.checkpoint import load_state
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
SECONDS_PER_WEIGHT_AND_PAIR = 6e-11  # of a crop, forward and backward, on one core


def base(run: SweepRun) -> NetSettings:
    """The settings that a study starts from."""
    one = ScoreNetRun.preset(run.model)
    return NetSettings(net=one.net, fit=replace(one.fit, epochs=run.epochs, seed=run.seed))


def identity(run: SweepRun) -> dict:
    return {"digest of the data": dataset_digest(run.data)}


def prepare(run: SweepRun, context: Context) -> Shared:
    """Count the steps; nothing else is shared but the dataset."""
    return Shared(run.data, _total(run.data, base(run).fit))


def train(
    settings: NetSettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train, and score both halves."""
    net, world = settings.net, World(device=device)
    config = replace(settings.fit, validate_every=max(1, shared.steps // POINTS), validation_levels=LEVELS)
    chains, validation = (_chains(shared.data, split) for split in ("train", "validation"))
    clusters = {name: _clusters(shared.data)[name] for name in validation.ids}
    halves = [validation.select(rows) for rows in one_fit.rows_of_halves(validation.ids, clusters)]
    choosing, confirming = (common_batches(half, net.noise) for half in halves)
    return one_fit.fit_and_score(
        COMMON,
        lambda on_report: fit(
            net, config, shared.steps, lambda step: steps(chains, config, net.noise, step),
            calibration_batches(chains, config, net.noise), validation_batches(halves[0], config, net.noise),
            on_report, resume, world,
        ),
        lambda weights, crops: score(one_fit.with_weights(ScoreNet(net).to(device), weights).eval(), crops, config),
        (choosing, confirming), clusters, folder, report,
    )  # fmt: skip


def save_model(run: SweepRun, settings: NetSettings, shared: Shared, folder: Path, target: Path) -> None:
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
def score(net: ScoreNet, batches: list[Crops], config: ScoreFitConfig) -> tuple[dict[str, float], dict[str, float]]:
    """Share of the noise that is explained: of each chain, and above and below `COARSE`."""
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
    return {name: float(value) for name, value in values.items()}, objectives


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
    total = _total(run.data, one.fit)
    return SECONDS_PER_WEIGHT_AND_PAIR * one_fit.n_weights(ScoreNet(one.net)) * one.fit.crop**2 * one.fit.batch * total


SWEEP = Sweepable(
    identity=identity, base=base, prepare=prepare, train=train, save_model=save_model, guess_seconds=guess_seconds
)  # fmt: skip
