"""Trainings without Ray: loops, batch jobs and tasks run in the process of the test."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from batch_here import TWO, use_no_ray
from ray import cloudpickle

from protray.cluster.train import driver, fit
from protray.cluster.train.job import Loop
from protray.training.checkpoint import load_state, save_state
from protray.training.tasks import turns
from protray.training.world import World


def train_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on `run_training` works in this process: one worker, which is not started again if it fails.

    For tests of what a job reads, writes and refuses; each pipeline has one beside them that runs on Ray.  What would
    go to a worker and back is pickled, and states are written and read.  Restarts, checkpoints in the folder of the
    run, several workers, GPUs, threads, and whatever else is another process's are left out.
    """
    use_no_ray(monkeypatch)
    monkeypatch.setattr(driver, "start_ray", lambda: TWO)
    monkeypatch.setattr(driver, "stop_ray", lambda cluster: None)
    monkeypatch.setattr(fit, "train", _train)
    monkeypatch.setattr(driver, "setup_worker_logging", lambda: None)  # this process has its own
    monkeypatch.setattr(ray, "remote", _remote)
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", lambda results: results)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # which would stay for the tests that follow


def _train(loop: Loop, config: dict, *, on_report: Callable[[dict], None], **_: object) -> dict:
    last: dict = {}

    def report(metrics: dict, state: dict | None) -> None:
        nonlocal last
        on_report(metrics)
        if state is not None:
            with tempfile.TemporaryDirectory() as folder:
                save_state(Path(folder), state)
                last = load_state(Path(folder))

    loop, config = _sent((loop, config))
    loop(config, report, None, World())
    return last


def _remote(*function: Callable, **resources: object) -> Any:
    """`ray.remote(function)`, or `ray.remote(num_cpus=1)(function)`: a task that is done as soon as it is asked for."""
    if not function:
        return _remote
    return SimpleNamespace(remote=lambda *args: _sent(_sent(function[0])(*_sent(args))))


def _sent(value: Any) -> Any:
    return cloudpickle.loads(cloudpickle.dumps(value))


def curves(state: dict) -> dict[str, list[float]]:
    """The validation losses of trainings that came in turn, by name, in the last state of them all."""
    found = {name: one["position"]["history"] for name, one in turns.finished(state).items()}
    return {name: [point["validation/loss"] for point in history] for name, history in found.items()}
