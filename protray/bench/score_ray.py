"""What Ray Train adds to a step of the score network, and what a second worker takes off it; wall time."""

import tempfile
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from protray.bench.score import NET
from protray.bench.timing import Case, case
from protray.cluster.start import prepare_environment, start_ray, stop_ray
from protray.data.structures import read_structures
from protray.models.score_net import ScoreNet
from protray.training.score_export import read_config
from protray.training.score_net import Denoising, fit, forward
from protray.training.score_steps import ScoreFitConfig, steps
from protray.training.world import World

FIT = ScoreFitConfig(batch=32, micro_batch=8, validate_every=10**9)
STEPS, FIRST = 16, 5  # steps of a run, and the first that counts


def ray_cases(turns: int) -> list[Case]:
    """A step by itself, with one Ray Train worker and with two, all of one thread, in turn."""
    prepare_environment()
    cluster = start_ray()
    seconds: dict[str, list[float]] = {"plain": [], "one": [], "two": []}
    try:
        for _ in range(turns):
            seconds["plain"].append(plain_seconds())
            seconds["one"].append(ray_seconds(1))
            seconds["two"].append(ray_seconds(2))
    finally:
        stop_ray(cluster)
    size = f"{FIT.batch} crops of {FIT.crop} residues, mean of steps {FIRST} to {STEPS - 2}"
    return [
        case("step through Ray", f"{size}, one worker; plain: a PyTorch loop", seconds["plain"], seconds["one"]),
        case("step of two workers", f"{size}; plain: one worker; both with Ray", seconds["one"], seconds["two"]),
    ]


def plain_seconds() -> float:
    """Of a step of a loop as in PyTorch's tutorials, with the same network, crops, precision and running mean."""
    torch.manual_seed(0)
    net = ScoreNet(NET).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    denoising, average = Denoising(net), AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(FIT.ema))
    optimizer = torch.optim.Adam(net.parameters(), lr=FIT.learning_rate, fused=True)
    stamps = []
    for share in islice(steps(read_structures(split="train"), FIT, NET.noise), STEPS):
        for crops in share.batches:
            (forward(denoising, crops, FIT, World())[0].sum() / (1.5 * share.residues)).backward()
        nn.utils.clip_grad_norm_(net.parameters(), FIT.clip)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(net)
        stamps.append(time.perf_counter())
    return per_step(stamps)


def ray_seconds(workers: int) -> float:
    """Of a step on so many Ray Train workers."""
    from protray.cluster.trainer import Workers, train

    reports: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            timed_loop, {"net": asdict(NET), "fit": asdict(FIT), "steps": STEPS}, name="bench", storage=Path(folder),
            workers=Workers(count=workers), on_report=reports.append,
        )  # fmt: skip
    return reports[-1]["seconds"]


def timed_loop(settings: dict, report, resume: dict | None, world: World) -> None:  # noqa: ANN001  Report, of Ray
    """Train as jobs/score_net.py does; the last report has the seconds of a step."""
    net, config = read_config(settings["net"]), ScoreFitConfig(**settings["fit"])
    chains, stamps = read_structures(split="train"), []

    def stamped(metrics: dict[str, float], state: dict | None) -> None:
        stamps.append(time.perf_counter())
        report(metrics | {"seconds": per_step(stamps)} if state else metrics, state)

    few = list(next(steps(chains, config, net.noise)).batches)
    fit(
        net, config, settings["steps"], lambda step: steps(chains, config, net.noise, step, world.rank, world.size),
        few, few, stamped, resume, world,
    )  # fmt: skip


def per_step(stamps: list[float]) -> float:
    """Mean seconds of a step from step FIRST on, without the last, which validates; `stamps` are their ends."""
    return float(np.diff(stamps[FIRST - 1 : -1]).mean())
