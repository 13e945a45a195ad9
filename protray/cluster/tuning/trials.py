"""Which trials a sweep has, which of them are done, and which are still to be run."""

from typing import Any

from protray.cluster.storage.identity import digest
from protray.cluster.tuning.job import Sweepable
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.space import Point, point_name, replaced
from protray.cluster.tuning.trial import Record, Trial, read_record

BEST = 3  # trials that are repeated with other seeds, beside the paper's point


def base_of(job: Sweepable, run: SweepRun) -> Any:
    """The settings that all trials have in common; ValueError for one that the study fixes and that does not exist."""
    return replaced(job.base(run), run.study.fixed)


def settings_of(base: Any, trial: Trial) -> Any:
    """The settings of a trial: the study's point and the trial's seed, all else as it is."""
    return replaced(base, trial.point | {"fit.seed": trial.seed})


def trial_of(identity: dict, run: SweepRun, point: Point) -> Trial:
    """The trial of a point with the sweep's own seed."""
    role, name = "paper" if point == run.study.paper else "trial", point_name(point)
    return Trial(
        key=digest([identity, point, run.seed]), point=point, seed=run.seed, role=role,
        name=f"paper: {name}" if role == "paper" else name,
    )  # fmt: skip


def repeats(identity: dict, run: SweepRun) -> list[Trial]:
    """The paper's point and the best others with fresh seeds: the one that chose them would flatter them."""
    found = [record for record in records(run) if record.status == "finished" and record.role != "repeat"]
    paper = [record for record in found if record.role == "paper"]
    others = [record for record in found if record.role != "paper"]
    return [
        Trial(
            key=digest([identity, record.point, seed]), point=record.point, seed=seed, role="repeat",
            name=f"{record.name} seed={seed}",
        )
        for record in paper + best_first(others, run.study.mode)[:BEST]
        for seed in range(run.seed + 1, run.seed + 1 + run.repeats)
    ]  # fmt: skip


def best_first(found: list[Record], mode: str) -> list[Record]:
    sign = -1 if mode == "max" else 1
    return sorted(found, key=lambda record: sign * (record.score or 0.0))


def records(run: SweepRun) -> list[Record]:
    """Of all trials that are done, the paper's first; a folder's trials all belong to one sweep."""
    folders = [file.parent for file in (run.out / "trials").files("trial.json")]
    found = [record for folder in folders if (record := read_record(folder))]
    return sorted(found, key=lambda record: (["paper", "trial", "repeat"].index(record.role), record.name))


def missing(run: SweepRun, trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if read_record(run.out / "trials" / trial.key) is None]


def n_trials(run: SweepRun) -> int:
    points = run.points()
    return run.samples if points is None else len(points)


def n_repeats(run: SweepRun) -> int:
    """Trials with fresh seeds: of the paper's point, and of as many others as there are."""
    return run.repeats * (1 + min(BEST, n_trials(run) - 1))


def stored_metrics(run: SweepRun) -> dict | None:
    """``metrics.json``, if it answers this very command."""
    if not run.metrics.is_file():
        return None
    stored = run.metrics.read_json()
    return stored if stored["complete"] and stored["asked"] == asked(run) else None


def asked(run: SweepRun) -> dict:
    """What may change between runs in one folder, and changes what there is to compute."""
    return {"space": run.study.name, "search": run.search, "samples": run.samples, "repeats": run.repeats}


def is_complete(identity: dict, run: SweepRun) -> bool:
    """Whether the same command would have nothing left to do."""
    if (points := run.points()) is None:
        trials_done = sum(record.role != "repeat" for record in records(run)) >= run.samples
    else:
        trials_done = not missing(run, [trial_of(identity, run, point) for point in points])
    return trials_done and not missing(run, repeats(identity, run))
