"""What Ray Train adds to a step of the score network, and what a second worker takes off it; wall time."""

import multiprocessing
import os
import tempfile
import time
from dataclasses import asdict
from itertools import islice

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from protray.bench.plain_score import NET
from protray.bench.timing import Case, case
from protray.cluster.runtime.start import prepare_environment, start_ray, stop_ray
from protray.data.location import Location
from protray.data.structures import read_structures
from protray.models.score_net import ScoreNet
from protray.training.structure.score_export import read_config
from protray.training.structure.score_net import Denoising, fit, forward
from protray.training.structure.score_steps import ScoreFitConfig, steps
from protray.training.world import World

FIT = ScoreFitConfig(batch=32, micro_batch=8, validate_every=10**9)
STEPS, FIRST = 30, 14  # steps of a run, and the first that counts: Ray's own processes are still starting before it


def ray_cases(turns: int) -> list[Case]:
    """A step by itself, and with one and two workers of one thread, as Ray Train's and as bare processes, in turn."""
    prepare_environment()
    cluster = start_ray()
    seconds: dict[str, list[float]] = {"plain": [], "one": [], "two": [], "one bare": [], "two bare": []}
    try:
        for _ in range(turns):
            seconds["plain"].append(plain_seconds())
            seconds["one"].append(ray_seconds(1))
            seconds["two"].append(ray_seconds(2))
    finally:
        stop_ray(cluster)
    for _ in range(turns):  # without the pollings of a dozen of Ray's processes
        seconds["one bare"].append(bare_seconds(1))
        seconds["two bare"].append(bare_seconds(2))
    size = f"{FIT.batch} crops of {FIT.crop} residues, mean of steps {FIRST} to {STEPS - 2}"
    return [
        case("step through Ray", f"{size}, one worker; plain: a PyTorch loop", seconds["plain"], seconds["one"]),
        case("step of two workers", f"{size}; plain: one worker; both with Ray", seconds["one"], seconds["two"]),
        case(
            "step of two processes", f"{size}; plain: one process; both without Ray",
            seconds["one bare"], seconds["two bare"],
        ),
    ]  # fmt: skip


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
    from protray.cluster.train.fit import Workers, train

    reports: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            timed_loop, {"net": asdict(NET), "fit": asdict(FIT), "steps": STEPS}, name="bench",
            storage=Location(folder), workers=Workers(count=workers), on_report=reports.append,
        )  # fmt: skip
    return reports[-1]["seconds"]


def bare_seconds(workers: int) -> float:
    """Of a step on so many processes that gloo connects, with the memory settings of our Ray Train workers."""
    from protray.cluster.train.fit import KEEP_FREED_MEMORY

    context = multiprocessing.get_context("spawn")
    found = context.SimpleQueue()
    before = dict(os.environ)
    os.environ.update(KEEP_FREED_MEMORY)  # read by glibc when a process starts
    with tempfile.TemporaryDirectory() as folder:
        group = [context.Process(target=_bare, args=(rank, workers, folder, found)) for rank in range(workers)]
        for process in group:
            process.start()
        os.environ.clear()
        os.environ.update(before)
        for process in group:
            process.join()
    if any(process.exitcode for process in group):
        raise RuntimeError(f"one of {workers} processes failed; its error is printed above")
    return found.get()


def _bare(rank: int, size: int, folder: str, found) -> None:  # noqa: ANN001  SimpleQueue
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=size)
    reports: list[dict] = []
    settings = {"net": asdict(NET), "fit": asdict(FIT), "steps": STEPS}
    timed_loop(settings, lambda metrics, _: reports.append(metrics), None, World(rank, size))
    if rank == 0:
        found.put(reports[-1]["seconds"])
    torch.distributed.destroy_process_group()


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
