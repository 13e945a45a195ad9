"""One MLflow store for all tests of this folder, what our tracking logs, and a cluster of several Ray nodes."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tracking_store import forget

from protray.cluster.tracking.tracker import Tracker
from protray.data.location import Location

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

IMPATIENT = {  # a dead node is missed within 3 s, and Ray Train does not wait for it longer than 10 s
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "10",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "RAY_memory_monitor_refresh_ms": "0",  # all nodes are one machine, and its memory is not theirs alone
}


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: MLflow takes some seconds to create one."""
    return tmp_path_factory.mktemp("my store") / "mlflow.db"  # a space on purpose


@pytest.fixture
def tracker(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """A fresh output folder on that store; the state of the process as if it had just begun."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    forget()
    return Tracker.open(f"sqlite:///{database}", "test", Location(tmp_path) / "out")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What our tracking logs; kept by a handler of its own, as MLflow and Ray rearrange those of the root logger."""
    messages: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Keep()
    logger = logging.getLogger("protray.cluster.tracking")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> "Iterator[Cluster]":
    """A Ray cluster of this machine, joined; its head does no work, so begin with ``nodes.add_node(num_cpus=1)``.

    For `pytest -m cluster`.  Nodes can be added in the main thread only.
    """
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    import ray
    from ray.cluster_utils import Cluster

    from protray.cluster.runtime.start import start_ray

    ray.shutdown()  # of `ray_local`, in which the test would run otherwise; ask for that one earlier in a file
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    start_ray()
    yield cluster
    ray.shutdown()
    cluster.shutdown()
