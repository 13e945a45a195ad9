"""What a job will do and about how long, before it does anything: real work, timed for seconds, and a table.

A line for each stage (`protray.cluster.batch.measure`, `protray.cluster.train.measure`).  Its rate is that of
the real work, timed for seconds in Ray tasks with the CPUs and GPUs of the stage's own processes; several at once, as
processes of one machine slow each other down.  Nothing is written to the job's output folder.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from protray.cluster.health.doctor import check_shared
from protray.cluster.runtime.logs import setup_worker_logging
from protray.cluster.runtime.resources import Stage
from protray.cluster.runtime.start import Cluster, start_ray, stop_ray
from protray.data.location import Location

TRIAL_S = 3.0  # of work that counts, in each process
LIMIT_S = 120.0  # of one trial; importing and loading takes most of it on a busy machine
AT_ONCE = 8  # processes that are timed together, at most
WARMING = 10  # times the time for work that counts: a first call may take so long, and still be followed by another
WAIT_S = 3.0  # for CPUs that a trial before gives back


@dataclass(frozen=True)
class Process:
    """One of the processes of a stage, while it is timed."""

    rank: int = 0
    of: int = 1  # processes of the stage, of which only some may be timed
    threads: int = 1  # of torch
    device: str = "cpu"
    seconds: float = TRIAL_S  # of work that counts

    def use_torch(self) -> None:
        import torch

        torch.set_num_threads(self.threads)


@dataclass(frozen=True)
class Timed:
    """So much work took so long."""

    work: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """A stage as the table shows it."""

    name: str
    unit: str  # what a row is, in the plural
    rows: float
    done: float = 0.0  # rows, in --out
    about: bool = False  # `rows` is an estimate, too
    seconds: float | None = 0.0  # of what is left; None if no piece was done within LIMIT_S
    stage: Stage | None = None  # its processes; None: the driver

    @property
    def left(self) -> float:
        return max(0.0, self.rows - self.done)

    @property
    def per_second(self) -> float | None:
        """Rows per second of all processes together."""
        return self.left / self.seconds if self.left and self.seconds else None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The lines of a job, and what they were held against; no lines: nothing is left to do."""

    lines: tuple[Line, ...] = ()
    cluster: Cluster | None = None
    notes: tuple[str, ...] = ()  # on the trials
    leaves_out: str = ""

    @property
    def seconds(self) -> float:
        """Of all stages, one after another; those without an estimate count as 0."""
        return sum(line.seconds or 0.0 for line in self.lines)

    @property
    def whole(self) -> bool:
        """Whether every stage has an estimate."""
        return all(line.seconds is not None for line in self.lines)


class Trials:
    """``with Trials(run.out) as trials:`` starts or joins Ray, for as long as work is timed.

    Raises ValueError for an output folder that the nodes of the cluster do not share.
    """

    def __init__(self, out: Location) -> None:
        self.out, self.seconds, self.notes, self.load = out, 0.0, [], os.getloadavg()[0]

    def __enter__(self) -> "Trials":
        self.cluster = start_ray()
        try:
            check_shared(self.cluster, self.out)
        except BaseException:
            stop_ray(self.cluster)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        stop_ray(self.cluster)

    def run(
        self, stage: Stage, threads: int, piece: Callable[..., Any], *args: object, env: dict[str, str] | None = None
    ) -> list[Any]:
        """Call ``piece(process, *args)`` in as many processes of `stage` as there is room for, at most `AT_ONCE`.

        Where there is no room for one, such as before an autoscaling cluster has machines, one process beside the
        driver does it.  Gives the results; none if one of them took longer than `LIMIT_S`.

        Raises
        ------
        ValueError, OSError
            What `piece` raised: the job itself would.
        """
        import ray
        from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        started, gpu = time.monotonic(), stage.gpus_per_worker > 0
        at_once = _room(stage)
        options: dict[str, Any] = {"num_cpus": stage.cpus_per_worker, "num_gpus": stage.gpus_per_worker}
        if not at_once:
            options = {"num_cpus": 0, "num_gpus": 0}
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=False
            )
            self._note(
                f"{stage.name}: no machine with room for a process of it is up, so one CPU process beside the driver "
                "was timed" + (", where a GPU will be faster" if gpu else "")
            )
        device = "cuda" if gpu and at_once else "cpu"
        processes = [Process(rank, stage.workers, threads, device, TRIAL_S) for rank in range(at_once or 1)]
        if env:
            options["runtime_env"] = {"env_vars": env}
        remote: Any = ray.remote(max_retries=0, **options)(_sit)
        tasks = [remote.remote(piece, process, *args) for process in processes]
        done, late = ray.wait(tasks, num_returns=len(tasks), timeout=LIMIT_S)
        for task in late:
            ray.cancel(task, force=True)
        self.seconds += time.monotonic() - started
        if late:
            self._note(f"{stage.name}: nothing was done within {LIMIT_S:g} s, so there is no estimate")
            return []
        try:
            return ray.get(done)
        except RayTaskError as error:
            raise error.cause from None
        except (WorkerCrashedError, OutOfMemoryError):
            self._note(f"{stage.name}: a process died (memory, or a crash in a library), so there is no estimate")
            return []

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def estimate(self, lines: Sequence[Line], leaves_out: str) -> Estimate:
        where = "this machine" if self.cluster.local else "machines of the cluster"
        based = (
            f"{self.seconds:.0f} s of trials on {where}, with the start of their processes; this machine's load was "
            f"{self.load:.1f} on {os.cpu_count()} cores before"
        )
        return Estimate(
            lines=tuple(lines), cluster=self.cluster, notes=(based, *self.notes), leaves_out=leaves_out
        )  # fmt: skip


def timed(calls: Iterator[float], budget_s: float) -> Timed:
    """Draw `calls`, each of which says how much work it was, for `budget_s`.

    The first imports what it needs and warms caches up: it does not count, unless it is the only one there is, or takes
    `WARMING` times the budget itself.
    """
    started = time.monotonic()
    work = next(calls, 0.0)
    warm = time.monotonic()
    if warm - started > WARMING * budget_s:
        return Timed(work, warm - started)
    counted = 0.0
    for more in calls:
        counted += more
        if time.monotonic() - warm > budget_s:
            break
    return Timed(counted, time.monotonic() - warm) if counted else Timed(work, warm - started)


def mean_rate(found: Sequence[Timed]) -> float | None:
    """Work per second of one process, in the mean over those that were timed; None if none was."""
    if not any(one.work for one in found):
        return None
    return sum(one.work / max(one.seconds, 1e-9) for one in found) / len(found)


def seconds_for(work: float, rate: float | None, processes: int = 1) -> float | None:
    """Time that `processes` of so much work per second each take for `work`."""
    if not work:
        return 0.0
    return None if rate is None else work / (rate * processes)


def spread(count: int, most: int) -> list[int]:
    """Up to `most` of the numbers 0 to `count` - 1, evenly spread."""
    return [number * count // min(most, count) for number in range(min(most, count))]


def _sit(piece: Callable[..., Any], process: Process, *args: object) -> Any:
    """Ray task."""
    setup_worker_logging()
    return piece(process, *args)


def _room(stage: Stage) -> int:
    """Processes of `stage` that can run now, at most `AT_ONCE`; waits a little for what is about to be free."""
    import ray

    wanted = min(stage.workers, AT_ONCE)
    deadline = time.monotonic() + WAIT_S
    while True:
        free = ray.available_resources()
        fit = math.floor(free.get("CPU", 0.0) / stage.cpus_per_worker + 1e-4)
        if stage.gpus_per_worker:
            fit = min(fit, math.floor(free.get("GPU", 0.0) / stage.gpus_per_worker + 1e-4))
        if fit >= wanted or time.monotonic() > deadline:
            return min(fit, wanted)
        time.sleep(0.1)
