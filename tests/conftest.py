"""One Ray for all tests that carry the marker `ray`, and the environment that has to stand before Ray is imported."""

import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

os.environ.update(
    RAY_AUTH_MODE="disabled",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.1",
    RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="0",
    RAY_DATA_DISABLE_PROGRESS_BARS="1",
    OMP_NUM_THREADS="1",
    MLFLOW_DISABLE_TELEMETRY="true",
)

import pytest  # noqa: E402


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two files of tests at a time; a cluster of several nodes needs the machine for itself."""
    return 0 if config.option.markexpr == "cluster" else 2


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """Ray on this machine with four logical CPUs."""
    import ray

    ray.init(
        address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=300 * 1024**2
    )
    yield
    ray.shutdown()


@pytest.fixture
def few_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of two proteins or clusters, which can be checked by hand."""
    from protray.evaluation import bootstrap

    monkeypatch.setattr(bootstrap, "FEWEST", 2)


@pytest.fixture(scope="session", autouse=True)
def copied_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow databases that are not there yet begin as copies of an empty one: to make one takes MLflow a second."""
    from protray.cluster.tracking import store

    knock = store._knock

    @cache
    def empty() -> Path:
        from mlflow import MlflowClient

        file = tmp_path_factory.mktemp("mlflow") / "empty.db"
        MlflowClient(f"sqlite:///{file}").search_experiments()
        return file

    def copy_first(uri: str) -> None:
        file = Path(uri.removeprefix("sqlite:///"))
        if uri.startswith("sqlite:///") and file.parent.is_dir() and not file.exists():
            shutil.copyfile(empty(), file)
        knock(uri)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_knock", copy_first)
        yield


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch jobs are worked off in this process: for tests of what a job reads and writes, not of how it is run."""
    from batch_here import use_no_ray

    use_no_ray(monkeypatch)
