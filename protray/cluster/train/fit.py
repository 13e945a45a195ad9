"""Ray Train around a pure training loop: workers, checkpoints, restarts, and reports to the driver.

Progress travels beside Ray Train's own reports, for each of which all workers wait, and no more often than it is read.
"""

import errno
import functools
import logging
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import ray.train
import ray.train.collective
import ray.train.torch

from protray.cluster.runtime.resources import Stage
from protray.cluster.train.checkpoints import Checkpoints, folder_name
from protray.cluster.train.job import Loop
from protray.data.location import Location
from protray.training.checkpoint import save_state
from protray.training.errors import NonFiniteLossError
from protray.training.world import World

log = logging.getLogger(__name__)

POLL_SECONDS = 0.3
WHERE = {"stage", "step", "of"}  # metrics that only say where a training is
MOST_FAILURES = 3  # restarts from the last checkpoint before giving up
NO_SPACE = errno.ENOSPC, errno.EDQUOT
OF_THE_CODE = TypeError, AttributeError, NameError, LookupError, ArithmeticError, AssertionError  # it would come again
# A step frees and takes the same blocks of about 1 MB as the one before.  By default glibc gives them back and the
# kernel clears them anew: 40,000 page faults and 0.08 of 0.67 s in a step of the score network on one core.
KEEP_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),  # never give back
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),  # the largest that glibc takes
    "MALLOC_ARENA_MAX": "1",  # Ray trains in a thread, and only the main arena heeds the first
}


@ray.remote(num_cpus=0)
class Reports:
    """Carries metrics from rank 0 to the driver, which alone logs and draws."""

    def __init__(self) -> None:
        self.held: list[dict] = []

    def put(self, metrics: dict) -> None:
        self.held.append(metrics)

    def take(self) -> list[dict]:
        held, self.held = self.held, []
        return held


def train(
    loop: Loop,
    config: dict,
    *,
    name: str,
    storage: Location,
    stage: Stage,
    threads: int = 1,
    on_report: Callable[[dict], None],
) -> dict:
    """Run `loop(config, report, resume, world)` on the workers of `stage` and return the last state it reported.

    Every `report(metrics, state)` goes to `on_report` on the driver, but of those that only say where the training is
    one in 0.3 s; a state (all ranks pass one or none) becomes a checkpoint.  A run of the same `name` in `storage`
    continues from its last checkpoint, and a finished one returns at once: the name must change with everything that
    changes the result.

    Raises
    ------
    ValueError
        When a loss is not finite, with what the loop said of it; when all checkpoints are damaged.
        Also when a worker was ended for lack of memory once too often.
    OSError
        When there is no space for a checkpoint.
    ray.train.TrainingFailedError
        For an error of the loop's code, and for any other that came once too often.
    """
    checkpoints = Checkpoints(storage, name)
    checkpoints.forget_broken_list()
    if numbers := checkpoints.numbers():
        log.info("training goes on from checkpoint %d", numbers[0])
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    reports: Any = Reports.options(label_selector=here).remote()  # not on a node that may be lost and the run go on
    trainer = functools.partial(
        ray.train.torch.TorchTrainer,
        _worker,
        train_loop_config={
            "loop": loop,
            "config": config,
            "reports": reports,
            "threads": threads,
            "checkpoints": checkpoints,
        },
        scaling_config=ray.train.ScalingConfig(
            num_workers=stage.workers if stage.least is None else (stage.least, stage.workers),
            use_gpu=stage.gpus_per_worker > 0,
            resources_per_worker=stage.bundle,
            label_selector=stage.labels or None,
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(storage),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            worker_runtime_env={"env_vars": KEEP_FREED_MEMORY},
        ),
    )
    finished = threading.Event()
    reader = threading.Thread(target=_pass_on, args=(reports, on_report, finished), daemon=True)
    reader.start()
    try:
        _fit(trainer)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        told = f"no space for a checkpoint in {storage}; the same command goes on when there is some"
        raise OSError(told) from None
    finally:
        finished.set()
        reader.join()
        ray.kill(reports)
    number, state = checkpoints.newest()
    if state is None:
        raise RuntimeError(f"training run {name!r} in {storage} ended without a checkpoint")
    if number < checkpoints.numbers()[0]:
        raise ValueError(f"the last checkpoint in {storage / name} is damaged; the same command trains it again")
    return state


def _fit(trainer: Callable[[], ray.train.torch.TorchTrainer]) -> None:
    """Train; go on from the last checkpoint after a failure that may not come again.

    A node that is lost, or a worker without memory, may not; an error of ours (ValueError, a loss that is not finite)
    or a full disk would, and is raised at once.  So is what a worker raises `OF_THE_CODE`, with its traceback.  All
    else is tried again: PyTorch raises RuntimeError for a wrong shape, but for a lost neighbour, too.
    """
    for failures in range(MOST_FAILURES + 1):
        try:
            trainer().fit()
            return
        except ray.train.TrainingFailedError as failed:
            causes = _causes(failed)
            for cause in causes:
                if isinstance(cause, ValueError | NonFiniteLossError):
                    raise ValueError(str(cause)) from None
                if isinstance(cause, OSError) and cause.errno in NO_SPACE:
                    raise cause from None
            if not isinstance(failed, ray.train.ControllerError) and any(isinstance(c, OF_THE_CODE) for c in causes):
                raise
            what = (str(causes[0]).splitlines() or [type(causes[0]).__name__])[0][:300] if causes else "unknown"
            if failures == MOST_FAILURES:
                if any(isinstance(cause, ray.exceptions.OutOfMemoryError) for cause in causes):
                    raise ValueError(f"out of memory {failures + 1} times; the last: {what}") from None
                raise
            log.warning("training goes on from the last checkpoint after: %s", what)


def _causes(failed: ray.train.TrainingFailedError) -> list[BaseException]:
    """What the workers, or Ray's controller, raised."""
    if isinstance(failed, ray.train.ControllerError):
        found = [failed.controller_failure]
    else:
        found = list(getattr(failed, "worker_failures", {}).values())
    return [getattr(error, "_base_exc", error) for error in found]  # what Ray wraps around an error with its traceback


def _pass_on(reports: Any, on_report: Callable[[dict], None], finished: threading.Event) -> None:
    last = False
    while not last:
        last = finished.wait(POLL_SECONDS)
        for metrics in ray.get(reports.take.remote()):
            on_report(metrics)


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

    told = -math.inf

    def report(metrics: dict[str, float], state: dict | None) -> None:
        nonlocal last, told
        if world.rank == 0 and (metrics.keys() - WHERE or time.monotonic() - told >= POLL_SECONDS):
            settings["reports"].put.remote(metrics)
            told = time.monotonic()
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
