"""What Ray Train adds to a step of a training, and what a second worker takes off it.

Wall time; that of one worker is compared in processor time too, which other programs on the machine disturb less.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from protray.bench.timing import Case, case
from protray.cluster.runtime.start import prepare_environment, start_ray, stop_ray
from protray.cluster.train.job import Loop, Report
from protray.data.location import Location
from protray.training.world import World

Stamp = tuple[float, float]  # the end of a step: wall time, and processor time of the process
Seconds = tuple[float, float]  # of a step, in both


@dataclass(frozen=True)
class Training:
    """One that is timed; its functions are those of a module, since other processes run them."""

    what: str  # is in a step
    plain: Callable[[dict], list[Stamp]]  # train by a loop as in PyTorch's tutorials; the end of each step
    loop: Loop  # train as the job does, with a report after each step
    settings: dict  # of both
    steps: int  # of a run
    first: int  # step that counts: Ray's own processes are still starting before it


def ray_cases(training: Training, turns: int) -> list[Case]:
    """A step by itself, and with one and two workers of one thread, as Ray Train's and as bare processes, in turn."""
    prepare_environment()
    cluster = start_ray()
    plain, one, two, one_bare, two_bare = ([] for _ in range(5))
    try:
        for _ in range(turns):
            plain.append(per_step(training.plain(training.settings), training.first))
            one.append(ray_seconds(training, 1))
            two.append(ray_seconds(training, 2))
    finally:
        stop_ray(cluster)
    for _ in range(turns):  # without the pollings of a dozen of Ray's processes
        one_bare.append(bare_seconds(training, 1))
        two_bare.append(bare_seconds(training, 2))
    size = f"{training.what}, mean of steps {training.first} to {training.steps - 2}"

    def compared(name: str, measured: str, before: list[Seconds], after: list[Seconds], clock: int = 0) -> Case:
        return case(name, f"{size}{measured}", [pair[clock] for pair in before], [pair[clock] for pair in after])

    return [
        compared("step through Ray", ", one worker; plain: a PyTorch loop", plain, one),
        compared("the same, processor time", " of the worker; plain: of a PyTorch loop", plain, one, clock=1),
        compared("step of two workers", "; plain: one worker; both with Ray", one, two),
        compared("step of two processes", "; plain: one process; both without Ray", one_bare, two_bare),
    ]


def per_step(stamps: list[Stamp], first: int) -> Seconds:
    """Means from step `first` on, without the last, which validates."""
    counted = stamps[first - 1 : -1]
    wall, processor = ((end - start) / (len(counted) - 1) for start, end in zip(counted[0], counted[-1], strict=True))
    return wall, processor


def now() -> Stamp:
    """The end of a step."""
    return time.perf_counter(), time.process_time()


def ray_seconds(training: Training, workers: int) -> Seconds:
    """Of a step on so many Ray Train workers."""
    from protray.cluster.runtime.resources import Stage
    from protray.cluster.train.fit import train

    reports: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            timed_loop, {"training": training}, name="bench", storage=Location(folder),
            stage=Stage(name="bench", kind="train", workers=workers), on_report=reports.append,
        )  # fmt: skip
    return reports[-1]["wall"], reports[-1]["processor"]


def bare_seconds(training: Training, workers: int) -> Seconds:
    """Of a step on so many processes that gloo connects, with the memory settings of our Ray Train workers."""
    from protray.cluster.train.fit import KEEP_FREED_MEMORY

    context = multiprocessing.get_context("spawn")
    found = context.SimpleQueue()
    before = dict(os.environ)
    os.environ.update(KEEP_FREED_MEMORY)  # read by glibc when a process starts
    with tempfile.TemporaryDirectory() as folder:
        group = [
            context.Process(target=_bare, args=(training, rank, workers, folder, found)) for rank in range(workers)
        ]
        for process in group:
            process.start()
        os.environ.clear()
        os.environ.update(before)
        for process in group:
            process.join()
    if any(process.exitcode for process in group):
        raise RuntimeError(f"one of {workers} processes failed; its error is printed above")
    return found.get()


def _bare(training: Training, rank: int, size: int, folder: str, found) -> None:  # noqa: ANN001  SimpleQueue
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=size)
    reports: list[dict] = []
    timed_loop({"training": training}, lambda metrics, _: reports.append(metrics), None, World(rank, size))
    if rank == 0:
        found.put((reports[-1]["wall"], reports[-1]["processor"]))
    torch.distributed.barrier()  # a process that leaves while another still talks to it can end that one
    torch.distributed.destroy_process_group()


def timed_loop(settings: dict, report: Report, resume: dict | None, world: World) -> None:
    """Train as the job does; the last report has the seconds of a step."""
    training, stamps = settings["training"], []

    def stamped(metrics: dict[str, float], state: dict | None) -> None:
        stamps.append(now())
        if state:
            wall, processor = per_step(stamps, training.first)
            metrics = metrics | {"wall": wall, "processor": processor}
        report(metrics, state)

    training.loop(training.settings, stamped, resume, world)
