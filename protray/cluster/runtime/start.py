"""Start Ray on this machine or join a cluster, and show one readable log instead of Ray's own.

Every job does ``setup_logging()``, then ``cluster = start_ray()``, and ``stop_ray(cluster)`` at its end.  Functions
that run inside Ray workers call ``setup_worker_logging()`` first: what they log then appears in the driver's log.
"""

import logging
import os
import re
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protray.cluster.runtime.capacity import Node, cluster_nodes
from protray.cluster.runtime.logs import log_level_not_announced, quieten, show_only_our_lines
from protray.cluster.runtime.machine import LONGEST, allow_open_files, check_reaches_itself, session_folder

logger = logging.getLogger(__name__)

ANSWER_S = 10.0  # in which a cluster's port has to answer
NEEDED_CPUS = 2  # a map needs an actor and, beside it, one CPU for reading and writing

EVERYWHERE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # every actor pool prints a C++ line; failures are raised in Python
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the coming default; unset, every task without a GPU warns
    "RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S": "120",  # Ray's 1800 s look like a hang when Data has no free CPU
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # only the word works
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",  # forked tokenizers warn
}
LOCAL = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # saves 6 s per fit; a large cluster keeps Ray's 2 s
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process more, 3 s of CPU per fit; nobody takes this machine away
    "RAY_DEFAULT_OBJECT_STORE_MEMORY_PROPORTION": "0.1",  # Ray's 0.3 leaves too little of 6 GB to the models
    "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
}


@dataclass(frozen=True)
class Cluster:
    """What the planner may hand out: all nodes that are up or that the autoscaler may add."""

    nodes: tuple[Node, ...]
    local: bool  # started for this job on this machine
    ours: bool  # started by this very call, so ours to end


def start_ray() -> Cluster:
    """Join the cluster at ``RAY_ADDRESS``, or start Ray on this machine; do neither if Ray runs in this process.

    Raises
    ------
    ValueError
        If there is no folder where Ray can keep its sockets.
    ConnectionError
        If no cluster answers at ``RAY_ADDRESS``, or if this machine cannot talk to itself.
    TimeoutError
        If this machine is too busy to start Ray.
    """
    address = os.environ.get("RAY_ADDRESS")
    prepare_environment()
    ours = not _ray_runs()
    import ray
    import ray.data  # sets up its loggers at import, so they can be quietened only after it

    if ours:
        if address:
            _check_answers(address)
        local = {} if address else _local_start()
        show_only_our_lines()  # Ray's first ones, too; it puts its printer back in
        try:
            with log_level_not_announced():
                ray.init(logging_level=logging.ERROR, log_to_driver=True, **local)
                ray.nodes()  # the first question to the cluster may print that line once more
        except Exception as error:
            if address or "timed out during startup" not in str(error):
                raise
            raise TimeoutError(
                "Ray did not start in time: the machine is too busy, or out of memory; try again"
            ) from None
        show_only_our_lines()
        _end_in_order()
    quieten()
    return Cluster(cluster_nodes(joined=bool(address)), local=not address, ours=ours)


def _end_in_order() -> None:
    """Let SIGTERM unwind as Ctrl-C does: Ray's handler prints a stack, and aborts the process three seconds later."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))


def _local_start() -> dict[str, Any]:
    """What `ray.init` is to start on this machine; ConnectionError or ValueError where it could not."""
    import ray
    from ray._private.utils import get_num_cpus  # knows a container's CPU limit, unlike os.cpu_count()

    allow_open_files()
    check_reaches_itself()
    check_reaches_itself(ray.util.get_node_ip_address())
    folder = session_folder()
    local = {
        "address": "local",  # and not "auto": a second job on this machine must not land in the first one's Ray
        "num_cpus": max(NEEDED_CPUS, int(get_num_cpus())),
        "include_dashboard": False,  # it needs about 2 s and 200 MB
        "_temp_dir": str(folder / "ray"),
    }
    wanted = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or str(folder)
    if Path(wanted) == folder:
        return local
    logger.info("Ray keeps its sockets in %s: TMPDIR cannot be written, or is longer than %d bytes", folder, LONGEST)
    spills = os.path.isdir(wanted) and os.access(wanted, os.W_OK)
    return local | ({"object_spilling_directory": wanted} if spills else {})


def _check_answers(address: str) -> None:
    """Raise ConnectionError if nobody listens at ``host:port``: Ray would ask again for minutes, and say nothing."""
    found = re.fullmatch(r"(?:ray://)?(\[[^\]]+\]|[^:/]+):(\d+)", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=ANSWER_S).close()
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error.strerror or error}): is its head up, and may "
            "this machine reach the port? Without RAY_ADDRESS the job starts Ray here"
        ) from None


def prepare_environment() -> None:
    """Set what Ray reads when it is imported; a job calls this before it imports anything that imports Ray."""
    if os.environ.get("RAY_ADDRESS"):
        _set_environment(EVERYWHERE)
        return
    _set_environment(EVERYWHERE | LOCAL)
    _set_own_token()


def stop_ray(cluster: Cluster) -> None:
    """End Ray if this `cluster` was started, or joined, by ``start_ray``; a cluster that was joined lives on."""
    if cluster.ours and _ray_runs():
        import ray

        time.sleep(0.5)  # Ray's own time at exit for the workers' last lines to arrive
        ray.shutdown()


def _set_environment(values: Mapping[str, str]) -> None:
    """Set what the user has not set; Ray reads most of it when it is imported."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def _set_own_token() -> None:
    """Give the local Ray a secret of its own, unless the user has arranged for one or for none.

    Ray would write a token into the home folder and warn; without a token anyone on the network could run code here.
    """
    known = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if not any(name in os.environ for name in known):
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _ray_runs() -> bool:
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()
