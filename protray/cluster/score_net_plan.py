"""What jobs/score_net.py will do and about how long: training steps, the points of its curve, the denoising gain."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch

from protray.cluster import remote
from protray.cluster.checkpoints import steps_done
from protray.cluster.estimate import (
    EnoughError,
    Estimate,
    Line,
    Seat,
    Ticks,
    Timed,
    Trials,
    mean_rate,
    seconds_for,
    spread,
    timed,
)
from protray.cluster.score_net import finished, held_out, make_plan, read_split, run_name
from protray.cluster.score_net_run import ScoreRun
from protray.cluster.trainer import KEEP_FREED_MEMORY
from protray.data.structures import Structures
from protray.evaluation.denoising import DenoisingConfig, choose, evaluate_denoising, noise_path
from protray.inference.denoise import NetworkDenoiser
from protray.models.score_config import ScoreNetConfig
from protray.models.score_net import ScoreNet
from protray.plm.masked import has_bf16
from protray.training.score_net import fit, validate
from protray.training.score_steps import (
    CALIBRATION,
    Crops,
    ScoreFitConfig,
    steps,
    trainable,
    validation_batches,
)
from protray.training.world import World

SOME = 64  # chains that travel to a trial
LEAVES_OUT = (
    "starting Ray and its processes (about 10 s on a free machine), reading the dataset, drawing the report, MLflow; "
    "several workers also send each other gradients"
)


@remote.kept("data")
def stages(run: ScoreRun) -> Estimate:
    """Training and evaluation that are missing in ``run.out``.

    Raises
    ------
    ValueError
        As the job itself does, for settings, data or a folder of no use, and a plan that would wait for ever.
    """
    run.check()
    if finished(run):
        return Estimate()
    chains, others = (read_split(run.data, split) for split in ("train", "validation"))
    _, tested = held_out(run.data)
    measured = choose(tested, run.denoising)
    total = run.fit.steps(len(trainable(chains.lengths)))
    done = steps_done(run.out / "cache", run_name(run))
    points = -(-total // run.fit.validate_every) - done // run.fit.validate_every
    batches = validation_batches(others, run.fit, run.net.noise)
    crops = sum(len(batch.ids) for batch in batches) + CALIBRATION * run.fit.micro_batch
    some = chains.select(spread(len(chains), SOME))
    with Trials(run.out) as trials:
        plan = make_plan(run, trials.cluster)
        stage, threads = plan["score net"], plan.threads("score net")

        def rate(piece: Callable[..., Timed], *args: object) -> float | None:
            return mean_rate(trials.run(stage, threads, piece, run.net, run.fit, *args, env=KEEP_FREED_MEMORY))

        training = Line(
            name="training", unit=f"steps of {run.fit.batch} crops", rows=total, done=done, stage=stage,
            seconds=seconds_for(total - done, rate(time_steps, some) if done < total else None),
        )  # fmt: skip
        curve = Line(
            name="validation", unit=f"crops, {points} times {crops}", rows=points * crops, stage=stage,
            seconds=seconds_for(points * crops, rate(time_validation, batches[:8]) if points else None, stage.workers),
        )  # fmt: skip
        alone = replace(stage, name="denoising gain", workers=1, least=None)
        lengths = np.minimum(tested.lengths[measured], run.denoising.longest)
        typical = tested.select([measured[int(np.argsort(lengths)[len(lengths) // 2])]])
        pairs = evaluations(run.net, run.denoising, lengths)
        gain = Line(
            name="denoising gain", unit="chains", rows=len(measured), stage=alone,
            seconds=seconds_for(
                pairs,
                mean_rate(trials.run(alone, threads, time_denoising, run.net, run.fit, typical, some, run.denoising)),
            ),
        )  # fmt: skip
        return trials.estimate([training, curve, gain], LEAVES_OUT)


def time_steps(seat: Seat, net: ScoreNetConfig, config: ScoreFitConfig, chains: Structures) -> Timed:
    """This worker's share of steps; that workers wait for each other is not in it."""
    seat.use_torch()
    config, ticks = replace(config, validate_every=10**9), Ticks(seat.seconds)
    with suppress(EnoughError):
        fit(
            net, config, 10**9, lambda step: steps(chains, config, net.noise, step, seat.rank, seat.of), [], [],
            lambda metrics, state: ticks.tick(), None, World(device=seat.device),
        )  # fmt: skip
    return ticks.timed


def time_validation(seat: Seat, net: ScoreNetConfig, config: ScoreFitConfig, batches: list[Crops]) -> Timed:
    """Crops that are scored."""
    seat.use_torch()
    model = ScoreNet(net).to(memory_format=torch.channels_last).to(seat.device).eval()  # type: ignore[call-overload]

    def pieces() -> Iterator[float]:
        for batch in itertools.cycle(batches):
            validate(model, [batch], config, World(device=seat.device))
            yield float(len(batch.ids))

    return timed(pieces(), seat.seconds)


def time_denoising(
    seat: Seat, net: ScoreNetConfig, fit: ScoreFitConfig, chain: Structures, train: Structures, config: DenoisingConfig
) -> Timed:
    """All that is measured of one chain; the work is in pairs of residues, once for each evaluation of the network."""
    seat.use_torch()
    model = ScoreNet(net).to(memory_format=torch.channels_last).to(seat.device)  # type: ignore[call-overload]
    denoiser, one = NetworkDenoiser(model, fit.crop, has_bf16()), replace(config, chains=1, sampled=1)
    lengths = np.minimum(chain.lengths, config.longest)

    def pieces() -> Iterator[float]:
        while True:
            evaluate_denoising(denoiser, net.noise.sigmas(), chain, train, one)
            yield evaluations(net, one, lengths)

    return timed(pieces(), seat.seconds)


def evaluations(net: ScoreNetConfig, config: DenoisingConfig, lengths: np.ndarray) -> float:
    """Pairs of residues that the network scores: of each chain at every level, of some on three ways down from noise.

    The ways are one step, and two that take as many as there are levels.
    """
    pairs = lengths.astype(float) ** 2
    levels = len(range(0, net.noise.levels, config.every))
    down = 1 + 2 * len(noise_path(net.noise.sigmas(), config))
    return float(levels * pairs.sum() + down * pairs[: config.sampled].sum())
