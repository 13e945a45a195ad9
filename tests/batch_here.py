"""Jobs and their plans without Ray: the items are worked off, or timed, in this process."""

from collections.abc import Callable, Collection, Iterator

import pyarrow as pa
import pytest

from protray.cluster.batch import driver, finish, passes
from protray.cluster.batch.results import write_group
from protray.cluster.batch.worker import Worker
from protray.cluster.health import estimate as health
from protray.cluster.health.estimate import Process, Trials
from protray.cluster.runtime.capacity import Node
from protray.cluster.runtime.resources import Stage
from protray.cluster.runtime.start import Cluster
from protray.data.parquet import read_parquet

TWO = Cluster((Node({"CPU": 2.0, "memory": 8e9}),), local=True, ours=False)


def use_no_ray(monkeypatch: pytest.MonkeyPatch, seen: Callable[[str], None] = lambda name: None) -> None:
    """From here on `run_batch` works in this process, and `seen` hears of the name of every item."""

    def work_off(job, run, items, missing: Collection[str] | None, plan, *_) -> Iterator[dict]:  # noqa: ANN001
        alone = isinstance(items, pa.Table)
        worker = Worker(job, run, run.work / "parts", alone, 1, "cpu")
        for table in [items] if alone else map(read_parquet, items):
            for row in range(table.num_rows):
                name = table["name"][row].as_py()
                if missing is None or name in missing:
                    seen(name)
                    yield from worker(table.slice(row, 1)).to_pylist()

    def write_groups(job, run, groups, settled, plan) -> list[dict]:  # noqa: ANN001
        run.folder(job.table).remove()
        return [
            write_group(job, run, parts, settled, finish.file_of(job, run, number))
            for number, parts in enumerate(groups)
        ]

    monkeypatch.setattr(driver, "start_ray", lambda: TWO)
    monkeypatch.setattr(driver, "stop_ray", lambda cluster: None)
    monkeypatch.setattr(finish, "_write_groups", write_groups)
    monkeypatch.setattr(passes, "work_off", work_off)


def plan_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on `estimate` times one process of a stage, which is this one, for 20 ms."""

    def run(self: Trials, stage: Stage, threads: int, span: Callable, *args: object, env: object = None) -> list:
        return [span(Process(0, stage.workers, 1, "cpu", 0.02), *args)]

    monkeypatch.setattr(health, "start_ray", lambda: TWO)
    monkeypatch.setattr(health, "stop_ray", lambda cluster: None)
    monkeypatch.setattr(Trials, "run", run)
