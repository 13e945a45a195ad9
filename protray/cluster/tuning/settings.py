"""Settings of a sweep.  Light: `--help` needs no torch and no Ray."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import tyro

from protray.cluster.tuning.space import Point, Space, choose_points, read_space
from protray.data.location import Location
from protray.plm.shipped import SHIPPED

EPOCHS = 6  # of a trial: a dozen and their repeats then take minutes on two cores


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """What to compare, and on how much of the cluster; what stands after `seed` may change between runs in a folder."""

    space: str
    """A study of tune_spaces/, such as tune_spaces/distil_weights.py; FILE.py:NAME for another space in it."""
    data: Location | None = None
    """Dataset of jobs/prepare.py (or prepare_structures.py for score network and SSDM); default: the bundled sample."""
    labels: Location | None = None
    """With `data`, for SSDM: a table of id and cath, as in jobs/ssdm.py."""
    out: Location = Location("runs/tune")
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    model: Literal["small", "paper"] = "small"
    """Size of the networks; as in jobs/distil.py and jobs/score_net.py."""
    lm: str = SHIPPED
    """Language model of the maps, as in jobs/distil.py, or of a fusion, as in jobs/ssdm.py."""
    maps: Location | None = None
    """Maps of the proteins that are there already, as in jobs/distil.py."""
    epochs: int = EPOCHS
    """Of every trial; the learning rate falls to 0 within them, unless the study says otherwise."""
    scheduler: Literal["none", "asha", "median"] = "none"
    """End poor trials early: the worse two thirds at each step of asha, or what lies below the median."""
    seed: int = 0
    search: Literal["grid", "random", "optuna"] = "grid"
    """optuna: Bayesian (TPE); needs pip install 'protray[optuna]'."""
    samples: int = 12
    """Trials, the paper's point included.  Of a larger grid: so many points, spread evenly over it."""
    repeats: int = 3
    """Fresh seeds that the paper's point and the best three are repeated with; 0 leaves that out."""
    max_concurrent: int | Literal["auto"] = "auto"
    """Trials at a time; auto: as many as the cluster has CPUs, or GPUs, for."""
    cpus_per_trial: float = 1.0
    """As many threads compute."""
    gpus_per_trial: float | None = None
    """Default: 1 where the cluster has GPUs."""
    retries: int = 1
    """Times that a trial which failed is tried again, from its last epoch; a loss that is not finite never is."""
    budget_hours: float | None = None
    """Stop then; the same command continues."""
    plan: Annotated[bool, tyro.conf.arg(aliases=["--dry-run"])] = False
    """Print trials, resources and estimated hours, and stop."""
    mlflow: str | None = None
    """Tracking URI; default MLFLOW_TRACKING_URI, else a SQLite file in `out`."""
    experiment: str = "protray-tune"

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, the paper's point and another, got {self.samples}")
        if self.repeats == 1 or self.repeats < 0:
            raise ValueError(f"repeats must be 0, or at least 2 for a spread over seeds, got {self.repeats}")
        if isinstance(self.max_concurrent, int) and self.max_concurrent < 1:
            raise ValueError(f"max_concurrent must be at least 1, got {self.max_concurrent}")
        if self.cpus_per_trial <= 0 or self.retries < 0:
            raise ValueError(
                f"cpus_per_trial must be above 0 and retries at least 0, got {self.cpus_per_trial}, {self.retries}"
            )
        if self.budget_hours is not None and self.budget_hours <= 0:
            raise ValueError(f"budget_hours must be above 0, got {self.budget_hours}")

    @property
    def metrics(self) -> Location:
        """Written last: it says that all is done."""
        return self.out / "metrics.json"

    @cached_property
    def study(self) -> Space:
        return read_space(self.space)

    def points(self) -> list[Point] | None:
        """The points of the trials, the paper's first; None where the search decides as it goes."""
        if self.search == "optuna":
            if isinstance(self.study.varied, list):
                raise ValueError(f"{self.space} is a list of points, in which optuna cannot search; use --search grid")
            return None
        return choose_points(self.study, self.search, self.samples, self.seed)

    def identity(self) -> dict:
        """The settings that a folder keeps: trials of others cannot be compared with these."""
        return {
            "space": self.study.name,
            "job": self.study.job,
            "metric": self.study.metric,
            "paper": self.study.paper,
            "model": self.model,
            "epochs": self.epochs,
            "scheduler": self.scheduler,
            "seed": self.seed,
        } | ({"fixed": self.study.fixed} if self.study.fixed else {})
