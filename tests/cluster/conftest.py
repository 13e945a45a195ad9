"""One MLflow store for all tests of this folder, and what our tracking logs."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking_store import forget

from protray.cluster.tracking import Tracker


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: MLflow takes some seconds to create one."""
    return tmp_path_factory.mktemp("my store") / "mlflow.db"  # a space on purpose


@pytest.fixture
def tracker(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """A fresh output folder on that store; the state of the process as if it had just begun."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    forget()
    return Tracker.open(f"sqlite:///{database}", "test", tmp_path / "out")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What our tracking logs; kept by a handler of its own, as MLflow and Ray rearrange those of the root logger."""
    messages: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Keep()
    loggers = [logging.getLogger(f"protray.cluster.{name}") for name in ("tracking", "registry")]
    for logger in loggers:
        logger.addHandler(handler)
    yield messages
    for logger in loggers:
        logger.removeHandler(handler)
