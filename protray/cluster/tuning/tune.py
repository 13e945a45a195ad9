"""Ray Tune around trials that train in the process of their own Tune actor, which is used again for the next trial.

What Tune writes is thrown away: the records of `protray.cluster.tuning.trial` say what is done.
"""

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray.tune

from protray.cluster.runtime.logs import setup_worker_logging
from protray.cluster.runtime.resources import Stage
from protray.cluster.tuning.job import Sweepable
from protray.cluster.tuning.space import Point, Range, Space
from protray.cluster.tuning.trial import Record, Trial, read_record, run_trial
from protray.cluster.tuning.trial_runs import TrialRuns
from protray.data.location import Location

log = logging.getLogger(__name__)

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # CSV, JSON and TensorBoard files that nobody reads
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C stops the job, as in every other
    "TUNE_WARN_THRESHOLD_S": "10",
    "RAY_AIR_NEW_OUTPUT": "0",  # with the old one, verbose=0 is silent
}
FINAL = "final"  # marks a trial's last report, which repeats its best score
GRACE, REDUCTION = 3, 3  # of the schedulers: a third of a trial is never judged; asha keeps the best third


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every trial needs, sent to each worker once."""

    job: Sweepable
    shared: Any
    settings_of: Callable[[Trial], Any]
    trial_of: Callable[[Point], Trial]  # for a search that makes up its points
    folder: Location  # of the trials
    metric: str
    steps: int  # the last one of a trial
    threads: int
    device: str


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How Tune runs trials."""

    mode: Literal["max", "min"]
    stage: Stage  # of the trials
    scheduler: Literal["none", "asha", "median"]
    retries: int
    deadline: float | None  # of time.monotonic()

    @property
    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(1.0, self.deadline - time.monotonic())


def tune_points(work: Work, tuning: Tuning, trials: list[Trial], runs: TrialRuns) -> None:
    """Run trials that are known beforehand."""
    if trials:
        _fit(work, tuning, {"trial": ray.tune.grid_search(trials)}, None, 1, runs)


def tune_optuna(
    work: Work, tuning: Tuning, space: Space, done: list[Record], samples: int, runs: TrialRuns, seed: int
) -> None:
    """Let Optuna's TPE make up points, the paper's first, with what `done` has found; `samples` trials in all."""
    searcher = optuna_search(space, done, seed)
    if samples > len(done):
        _fit(work, tuning, {}, searcher, samples - len(done), runs)


def optuna_search(space: Space, done: list[Record], seed: int) -> Any:
    """Make the searcher."""
    import optuna  # pyright: ignore[reportMissingImports]  (an extra)
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert isinstance(space.varied, dict)
    ranges: dict[str, Any] = {}
    for name, values in space.varied.items():
        if isinstance(values, Range):
            ranges[name] = optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)
        else:
            ranges[name] = optuna.distributions.CategoricalDistribution(values)
    first = [] if any(record.point == space.paper for record in done) else [space.paper]
    # the seed: with the number of done trials, or a continued search would draw its first points again
    searcher = OptunaSearch(ranges, space.metric, space.mode, points_to_evaluate=first, seed=seed + len(done))
    for record in done:
        if record.score is not None:
            searcher.add_evaluated_point(record.point, record.score)
    return searcher


def _fit(work: Work, tuning: Tuning, space: dict, searcher: Any, samples: int, runs: TrialRuns) -> None:
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    storage = work.folder.parent / "cache" / "tune"
    storage.remove()
    stage = tuning.stage
    where: dict[str, Any] = {"bundle_label_selector": [stage.labels]} if stage.pool else {}
    need = ray.tune.PlacementGroupFactory([stage.bundle], **where)
    tuner = ray.tune.Tuner(
        ray.tune.with_resources(ray.tune.with_parameters(_trial, work=work), need),
        param_space=space,
        tune_config=ray.tune.TuneConfig(
            metric=work.metric, mode=tuning.mode, search_alg=searcher, scheduler=_scheduler(work, tuning),
            num_samples=samples, max_concurrent_trials=stage.workers, time_budget_s=tuning.seconds_left,
            reuse_actors=True, trial_name_creator=_short_name, trial_dirname_creator=_short_name,
        ),
        run_config=ray.tune.RunConfig(
            name="tune", storage_path=str(storage), verbose=0, callbacks=[_Listener(work, tuning, runs)],
            failure_config=ray.tune.FailureConfig(max_failures=tuning.retries),
        ),
    )  # fmt: skip
    try:
        tuner.fit()
    finally:
        storage.remove()


def _scheduler(work: Work, tuning: Tuning) -> Any:
    """The rule by which poor trials end early; the paper's point, which all others are held against, never does."""
    from ray.tune import schedulers

    grace = max(1, work.steps // GRACE)
    if tuning.scheduler == "asha":
        return _sparing(
            schedulers.ASHAScheduler, work, max_t=work.steps + 1, grace_period=grace, reduction_factor=REDUCTION
        )
    if tuning.scheduler == "median":
        return _sparing(schedulers.MedianStoppingRule, work, grace_period=grace, min_samples_required=3)
    return None


def _sparing(kind: Any, work: Work, **settings: Any) -> Any:
    class Sparing(kind):
        def on_trial_result(self, controller: Any, trial: Any, result: dict) -> str:
            if _trial_of(trial.config, work).role == "paper":
                return self.CONTINUE
            return super().on_trial_result(controller, trial, result)

    return Sparing(time_attr="step", **settings)


def _short_name(trial: Any) -> str:
    return trial.trial_id


def _trial(config: dict, work: Work) -> None:
    """Run in the thread of a Tune actor."""
    import torch

    setup_worker_logging()
    torch.set_num_threads(work.threads)
    trial = _trial_of(config, work)

    def report(step: int, metrics: dict[str, float]) -> None:
        if step < work.steps:  # after the last one, a trial that Tune ends would leave no record
            ray.tune.report(metrics | {"step": step})

    settings, folder = work.settings_of(trial), work.folder / trial.key
    try:
        record = run_trial(work.job, trial, settings, work.shared, work.metric, folder, report, work.device)
    except OSError:  # of a disk, also where a damaged file makes it a ValueError, too: tried again by Tune
        raise
    except (ValueError, FloatingPointError) as error:  # a loss that is not finite: tried again, it would be so again
        record = Record(**vars(trial), status="failed", error=f"{type(error).__name__}: {error}")
        record.write(folder)
    score = math.nan if record.score is None else record.score  # schedulers and searches leave that out
    ray.tune.report({work.metric: score, "step": work.steps + 1, FINAL: 1})


def _trial_of(config: dict, work: Work) -> Trial:
    return config["trial"] if "trial" in config else work.trial_of(config)


class _Listener(ray.tune.Callback):
    """Passes what happens on to the runs, in the driver."""

    def __init__(self, work: Work, tuning: Tuning, runs: TrialRuns) -> None:
        self.work, self.tuning, self.runs = work, tuning, runs

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: object) -> None:
        self.runs.begin(_trial_of(trial.config, self.work))

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: object) -> None:
        if FINAL not in result:
            metrics = {name: value for name, value in result.items() if "/" in name and isinstance(value, float)}
            self.runs.report(_trial_of(trial.config, self.work), result["step"], metrics)

    def on_trial_recover(self, iteration: int, trials: list, trial: Any, **info: object) -> None:
        log.warning("%s failed and is tried again: %s", _trial_of(trial.config, self.work).name, _reason(trial))

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: object) -> None:
        mine = _trial_of(trial.config, self.work)
        record = read_record(self.work.folder / mine.key)
        if record is None:
            if self.tuning.deadline and time.monotonic() >= self.tuning.deadline - 1:
                return  # out of time: not judged, and continued by the next run
            record = Record(**vars(mine), status="stopped", score=trial.last_result.get(self.work.metric))
            record.write(self.work.folder / mine.key)
        self._end(record)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: object) -> None:
        mine = _trial_of(trial.config, self.work)
        record = Record(**vars(mine), status="failed", error=_reason(trial))
        record.write(self.work.folder / mine.key)
        self._end(record)

    def _end(self, record: Record) -> None:
        if record.status == "failed":
            log.error("%s failed for good: %s", record.name, record.error)
        self.runs.end(record)


def _reason(trial: Any) -> str:
    """The last line of a trial's traceback, or what Ray says of its process."""
    local = Path(trial.error_file or "")  # Tune copies it to its storage, where `get_error` looks, a little later
    text = local.read_text() if local.is_file() else str(trial.get_error() or "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if "ActorDiedError" in line or "ActorUnavailableError" in line:
            return "its process or its node died"
    return lines[-1] if lines else "unknown"
