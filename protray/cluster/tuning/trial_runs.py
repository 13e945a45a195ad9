"""The runs of a sweep in MLflow, one for every trial, and a line in the log for every one that ends."""

import logging
from collections.abc import Callable, Mapping
from typing import Literal

from protray.cluster.runtime.progress import Progress
from protray.cluster.tracking.tracker import Tracker
from protray.cluster.tuning.trial import Record, Trial

log = logging.getLogger(__name__)

STATUS: dict[str, Literal["FINISHED", "FAILED"]] = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}


class TrialRuns:
    """MLflow runs of trials, children of the sweep's; the driver alone writes them."""

    def __init__(
        self,
        tracker: Tracker,
        parent: str,
        params_of: Callable[[Trial], dict],
        metric: str,
        steps: int,
        total: int,
    ) -> None:
        self.tracker, self.parent, self.params_of = tracker, parent, params_of
        self.metric, self.steps, self.total = metric, steps, total
        self.runs: dict[str, str] = {}  # key of a trial -> its run
        self.closed: set[str] = set()
        self.at: dict[str, float] = {}  # share of each trial that is done
        self.progress = Progress("trials")

    def begin(self, trial: Trial) -> None:
        if trial.key not in self.runs:
            tags = {"trial": trial.key, "role": trial.role, "seed": str(trial.seed)}
            if trial.role == "paper":
                tags["paper"] = "true"
            self.runs[trial.key] = self.tracker.start_run(
                key=f"trial-{trial.key}", name=trial.name, parent=self.parent, params=self.params_of(trial), tags=tags
            )

    def report(self, trial: Trial, step: int, metrics: Mapping[str, float]) -> None:
        self.begin(trial)
        self._log(trial.key, metrics, step)
        self._show(trial.key, step / self.steps)

    def end(self, record: Record, cached: bool = False) -> None:
        """Write what is missing of a trial's run and end it; a second time does nothing."""
        if record.key in self.closed:
            return
        self.begin(record)
        run = self.runs[record.key]
        for point in record.history:  # what a dead driver may have missed; steps that are there stay as they are
            self._log(record.key, {name: value for name, value in point.items() if "/" in name}, int(point["step"]))
        if record.status == "finished":
            assert record.score is not None
            final = {"best/score": record.score} | {f"best/{name}": value for name, value in record.objectives.items()}
            self.tracker.log(run, final, self.steps)
            done = "(cached)" if cached else f"in {record.seconds:.0f} s"
            log.info("%s: %s %.4f %s", record.name, self.metric, record.score, done)
        self.tracker.finish(run, STATUS[record.status])
        self.closed.add(record.key)
        self._show(record.key, 1.0)

    def abandon(self) -> None:
        """End the runs of trials that neither finished nor failed, so that nothing stays RUNNING."""
        for key, run in self.runs.items():
            if key not in self.closed:
                self.tracker.finish(run, "KILLED")

    def _log(self, key: str, metrics: Mapping[str, float], step: int) -> None:
        first = {self.metric: metrics[self.metric]} if self.metric in metrics else {}  # what MLflow plots
        self.tracker.log(self.runs[key], first | dict(metrics), step)

    def _show(self, key: str, share: float) -> None:
        self.at[key] = share
        total = max(self.total, len(self.at))  # an extended sweep has more repeats, where its best have changed
        self.progress(sum(self.at.values()), total, f"{len(self.closed)} of {total} trials")
