"""What a job on Ray Train is: a loop around stages, and what is made of it.  Light: `--help` needs no torch, no Ray.

A `TrainingJob` says what is trained, `protray.cluster.train.driver.run_training` how: the same behaviour for every job.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from protray.data.location import Location

if TYPE_CHECKING:
    from protray.cluster.runtime.resources import Plan
    from protray.cluster.tracking.tracker import Tracker
    from protray.training.world import World

Report = Callable[[dict[str, float], dict | None], None]
Loop = Callable[[dict, Report, dict | None, "World"], None]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What every job on Ray Train takes."""

    out: Location
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    workers: int = 1
    """Ray Train workers (DDP); the result is the same for any number, up to float noise."""
    min_workers: int | None = None
    """Elastic: go on with so few when nodes are lost, and with up to `workers` again when there are more."""
    cpus_per_worker: float | None = None
    """CPUs, and threads, of each; default: its share of a node, or 1 beside a GPU."""
    gpus_per_worker: float | None = None
    """Default: 1 where the cluster has GPUs."""
    mlflow: str | None = None
    """Tracking URI; default MLFLOW_TRACKING_URI, else a SQLite file in `out`."""
    experiment: str | None = None
    """Of MLflow; default: protray- and the name of the job."""
    plan: bool = False
    """Print stages, resources, estimated rows/s and hours, and stop; nothing is written."""

    def check(self) -> None:
        """Raise ValueError for numbers that cannot be."""
        if self.workers < 1:
            raise ValueError(f"--workers must be at least 1, got {self.workers}")
        if self.min_workers is not None and not 1 <= self.min_workers <= self.workers:
            raise ValueError(f"--min-workers must lie between 1 and --workers = {self.workers}, got {self.min_workers}")
        if self.cpus_per_worker is not None and self.cpus_per_worker <= 0:
            raise ValueError(f"--cpus-per-worker must be above 0, got {self.cpus_per_worker}")

    @property
    def metrics(self) -> Location:
        """Written last: it says that all is done."""
        return self.out / "metrics.json"


@dataclass(frozen=True)
class Stage:
    """A training inside a job; its reports have ``step`` and ``of``, and ``stage`` unless it is named as its job."""

    name: str
    key: str  # of all that its result depends on: the name of its run in MLflow
    of: int  # steps
    unit: str = "steps"
    done: int = 0  # steps that are there already
    alike: str = ""  # stages of one name here take equally long for a step of equal cost
    cost: float = 1.0  # of a step, beside that of the trial's
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What is there while a job runs: its resources, and its run in MLflow."""

    plan: "Plan"
    tracker: "Tracker"
    run_id: str
    runs: Mapping[str, str] = field(default_factory=dict)  # of the stages that have their own, by name


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Functions of the settings `run` (a `TrainingSettings`), all at the top of a module."""

    name: str  # in progress and plan, and of the experiment
    seed: Callable[[Any], int]
    identity: Callable[[Any], dict]  # the settings that a folder keeps; ValueError for unusable ones, or inputs
    digest: Callable[[Any], str]  # of the inputs
    prepare: Callable[[Any, Context], Any] = lambda run, context: None  # make what is trained on; gives `inputs`
    stages: Callable[[Any, Any], Sequence[Stage]]  # (run, inputs)
    settings: Callable[[Any, Any], dict]  # (run, inputs): what `loop` is given, on any node
    loop: Loop  # knows no Ray: reports metrics, and states that it can go on from
    finish: Callable[[Any, Any, dict, Context], dict]  # (run, inputs, last state, context): content of metrics.json
    show: Callable[[Any, dict], None]  # print what came out
    note: Callable[[dict], str] = lambda metrics: ""  # a short text behind the progress
    trial: Callable[[Any, Stage], dict]  # `settings` for a plan: a little of the work, with its share of validation
    step_of: Callable[[dict], int]  # of a state: steps of its stage that are done
    before: Callable[[Any, Any], list] | None = None  # (run, trials): lines of the plan for what `prepare` computes
    reuses: bool = False  # a folder of other settings is no error: what their keys have in common is kept
