"""Ray Train around a pure training loop: workers, checkpoints, restarts, and a mailbox to the driver."""

import errno
import functools
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import ray.train
import ray.train.collective
import ray.train.torch

from protray.cluster.runtime.resources import Stage
from protray.cluster.tracking.tracker import Tracker
from protray.cluster.train.checkpoints import Checkpoints, folder_name
from protray.training.checkpoint import save_state
from protray.training.world import World

log = logging.getLogger(__name__)

Report = Callable[[dict[str, float], dict | None], None]
POLL_SECONDS = 0.3
# in the traceback of a worker, or of Ray's controller: errors of ours that say all, and what the system says
OURS = re.compile(r"(?:FloatingPointError|NonFiniteLossError|DamagedCheckpointError): (.*)")
DISK_FULL = re.compile(rf"\[[Ee]rrno (?:{errno.ENOSPC}|{errno.EDQUOT})\]")
# A step frees and takes the same blocks of about 1 MB as the one before.  By default glibc gives them back and the
# kernel clears them anew: 40,000 page faults and 0.08 of 0.67 s in a step of the score network on one core.
KEEP_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),  # never give back
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),  # the largest that glibc takes
    "MALLOC_ARENA_MAX": "1",  # Ray trains in a thread, and only the main arena heeds the first
}


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How many workers train together and what each may use."""

    count: int = 1
    least: int | None = None  # elastic: go on with so few if no more can be had, and with up to `count` when they come
    cpus: float = 1.0
    gpus: float = 0.0
    threads: int = 1  # of torch, per worker
    max_failures: int = 3  # restarts from the last checkpoint before giving up
    labels: dict[str, str] = field(default_factory=dict)  # of the nodes that they may run on

    @classmethod
    def of(cls, stage: Stage, threads: int) -> "Workers":
        """Those of a stage of the plan."""
        return cls(
            count=stage.workers, least=stage.least, cpus=stage.cpus_per_worker, gpus=stage.gpus_per_worker,
            threads=threads, labels=stage.labels,
        )  # fmt: skip


@ray.remote(num_cpus=0)
class Mailbox:
    """Carries metrics from rank 0 to the driver, which alone logs and draws."""

    def __init__(self) -> None:
        self.letters: list[dict] = []

    def put(self, letter: dict) -> None:
        self.letters.append(letter)

    def drain(self) -> list[dict]:
        letters, self.letters = self.letters, []
        return letters


def train(
    loop: Callable[[dict, Report, dict | None, World], None],
    config: dict,
    *,
    name: str,
    storage: Path,
    workers: Workers,
    on_report: Callable[[dict], None],
) -> dict:
    """Run `loop(config, report, resume, world)` on Ray Train workers and return the last state it reported.

    Every `report(metrics, state)` goes to `on_report` on the driver; a state (all ranks pass one or none) becomes a
    checkpoint.  A run of the same `name` in `storage` continues from its last checkpoint, and a finished one
    returns at once: the name must change with everything that changes the result.

    Raises
    ------
    ValueError
        When a loss is not finite, with what the loop said of it; when all checkpoints are damaged.
        Also when a worker was ended for lack of memory once too often.
    OSError
        When there is no space for a checkpoint.
    """
    checkpoints = Checkpoints.of(storage, name)
    place = checkpoints.storage
    checkpoints.forget_broken_list()
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    mailbox: Any = Mailbox.options(label_selector=here).remote()  # not on a node that may be lost and the run go on
    trainer = functools.partial(
        ray.train.torch.TorchTrainer,
        _worker,
        train_loop_config={
            "loop": loop,
            "config": config,
            "mailbox": mailbox,
            "threads": workers.threads,
            "checkpoints": checkpoints,
        },
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers.count if workers.least is None else (workers.least, workers.count),
            use_gpu=workers.gpus > 0,
            resources_per_worker={"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {}),
            label_selector=workers.labels or None,
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=place,
            failure_config=ray.train.FailureConfig(max_failures=workers.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            worker_runtime_env={"env_vars": KEEP_FREED_MEMORY},
        ),
    )
    finished = threading.Event()
    postman = threading.Thread(target=_deliver, args=(mailbox, on_report, finished), daemon=True)
    postman.start()
    try:
        _fit(trainer, workers.max_failures)
    except ray.train.TrainingFailedError as error:
        if found := OURS.search(str(error)):
            raise ValueError(found[1]) from None
        if DISK_FULL.search(str(error)):
            raise OSError(
                f"no space for a checkpoint in {place}; the same command goes on when there is some"
            ) from None
        raise
    finally:
        finished.set()
        postman.join()
        ray.kill(mailbox)
    number, state = checkpoints.newest()
    if state is None:
        raise RuntimeError(f"training run {name!r} in {storage} ended without a checkpoint")
    if number < checkpoints.numbers()[0]:
        raise ValueError(f"the last checkpoint in {place}/{name} is damaged; the same command trains it again")
    return state


def _fit(trainer: Callable[[], ray.train.torch.TorchTrainer], max_failures: int) -> None:
    """Train; also go on after a worker was ended for lack of memory, which Ray 2.60 takes for an error of its own."""
    failures = 0
    while True:
        try:
            trainer().fit()
            return
        except ray.train.ControllerError as error:
            if not isinstance(error.controller_failure, ray.exceptions.OutOfMemoryError):
                raise
            failures += 1
            what = str(error.controller_failure).splitlines()[0]
            if failures > max_failures:
                raise ValueError(f"out of memory {failures} times; the last: {what}") from None
            log.warning("out of memory, training goes on from the last checkpoint: %s", what)


def track_point(tracker: Tracker, run_id: str, metrics: dict) -> None:
    """Log a point of a training's curve; steps that are there stay as they are."""
    tracker.log(run_id, {name: value for name, value in metrics.items() if "/" in name}, step=metrics["step"])


def _deliver(mailbox: Any, on_report: Callable[[dict], None], finished: threading.Event) -> None:
    last = False
    while not last:
        last = finished.wait(POLL_SECONDS)
        for letter in ray.get(mailbox.drain.remote()):
            on_report(letter)


def _worker(settings: dict) -> None:
    """Run on every worker: connect the loop to Ray and to nothing else."""
    import torch

    torch.set_num_threads(settings["threads"])
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    world = World(context.get_world_rank(), context.get_world_size(), str(device))
    checkpoints: Checkpoints = settings["checkpoints"]
    number, resume = checkpoints.newest() if world.rank == 0 else (0, None)
    number, last = ray.train.collective.broadcast_from_rank_zero((number, max([0, *checkpoints.numbers()])))
    if world.rank and number:
        resume = checkpoints.load(number)

    def report(metrics: dict[str, float], state: dict | None) -> None:
        nonlocal last
        if world.rank == 0:
            settings["mailbox"].put.remote(metrics)
        if state is None:
            return
        with tempfile.TemporaryDirectory(prefix=f"protray-{os.getpid()}-") as folder:
            saved = None
            if world.rank == 0:
                save_state(Path(folder), state)
                saved = ray.train.Checkpoint.from_directory(folder)
            last += 1
            ray.train.report({"reported": 1}, checkpoint=saved, checkpoint_dir_name=folder_name(last))

    settings["loop"](settings["config"], report, resume, world)
