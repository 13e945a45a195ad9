"""What one node is like, seen from a process on that node: what `jobs/doctor.py` asks before it judges."""

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from protray.data.location import Location

PACKAGES = ("ray", "torch", "transformers", "mlflow", "pyarrow", "numpy", "safetensors")
LONGEST_VISIT_S = 120.0  # an actor on a node that has to unpack the working_dir first
PINGS = 5
_COUNT_GPUS = "import torch; print(torch.version.cuda, torch.cuda.device_count())"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node as Ray describes it."""

    id: str
    name: str  # its address
    gpus: int
    object_store_bytes: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found on a node."""

    node: Node
    versions: dict[str, str]  # "missing" for a package that is not there
    sees_mark: bool
    write_error: str  # of a file beside the mark; empty if it could be written
    torch_gpus: int | None  # None on a node without any
    cuda: str  # that torch was built for
    shm_bytes: int
    open_files: int  # soft limit of a Ray worker
    clock_ahead_s: float = 0.0  # of the driver's clock
    clock_error_s: float = 0.0  # half the round trip in which it was read


class Visitor:
    """A Ray actor that lives on one node for a moment; it takes no CPU, so that a busy node answers, too."""

    def look(self, node: Node, mark: Location | None) -> Facts:
        sees_mark, write_error = look_at(mark, node) if mark else (False, "")
        gpus, cuda = count_gpus() if node.gpus or list(Path("/dev").glob("nvidia[0-9]*")) else (None, "")
        return Facts(
            node=node,
            versions=installed(),
            sees_mark=sees_mark,
            write_error=write_error,
            torch_gpus=gpus,
            cuda=cuda,
            shm_bytes=shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else 0,
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )

    def now(self) -> float:
        return time.time()


def visit(nodes: list[Node], mark: Location | None) -> tuple[list[Facts], dict[str, str]]:
    """Send a visitor to every node; gives what they found, and the last line of the error for each that failed.

    `mark` is a file in the output folder that the driver wrote; None if it could not.
    """
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote: Any = ray.remote(Visitor)
    visitors = [
        remote.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote()
        for node in nodes
    ]
    answers = [visitor.look.remote(node, mark) for visitor, node in zip(visitors, nodes, strict=True)]
    deadline = time.monotonic() + LONGEST_VISIT_S
    found, silent = [], {}
    for node, visitor, answer in zip(nodes, visitors, answers, strict=True):
        try:
            facts: Any = ray.get(answer, timeout=max(1.0, deadline - time.monotonic()))
            ahead_s, error_s = read_clock(visitor)
            found.append(replace(facts, clock_ahead_s=ahead_s, clock_error_s=error_s))
        except RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            silent[node.name] = lines[-1] if lines else type(error).__name__
        ray.kill(visitor)
    return found, silent


def read_clock(visitor: Any) -> tuple[float, float]:
    """How far the clock there is ahead of ours, and half the round trip, of the reading with the shortest one."""
    import ray

    readings = []
    for _ in range(PINGS):
        before = time.time()
        there: Any = ray.get(visitor.now.remote())
        after = time.time()
        readings.append(((after - before) / 2, there - (before + after) / 2))
    error_s, ahead_s = min(readings)
    return ahead_s, error_s


def installed() -> dict[str, str]:
    """Versions of Python, protray and what it stands on."""
    versions = {"python": platform.python_version(), "protray": str(import_module("protray").__version__)}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    return versions


def look_at(mark: Location, node: Node) -> tuple[bool, str]:
    """Whether this node sees the driver's mark, and why it could not write a file of its own beside it."""
    try:
        seen = mark.is_file()
        return seen, write_beside(mark, node) if seen else ""
    except OSError as error:  # a bucket, which there is, but not for this node
        return True, str(error)


def write_beside(mark: Location, node: Node) -> str:
    """Write a file of this node beside the driver's mark; gives the reason if that fails."""
    try:
        name_for(mark, node).write_text(node.id)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def name_for(mark: Location, node: Node) -> Location:
    return Location(f"{mark}.{node.id[:12]}")


def count_gpus() -> tuple[int, str]:
    """GPUs that a new torch sees, and the CUDA it was built for; in a worker without GPUs Ray may hide them."""
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", _COUNT_GPUS],
        capture_output=True,
        text=True,
        env=environment,
        timeout=LONGEST_VISIT_S / 2,
    )
    if done.returncode:
        return 0, "none"
    cuda, count = done.stdout.split()[-2:]
    return int(count), cuda
