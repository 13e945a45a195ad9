"""The end of a sweep: the best trial's model, metrics, report, and the same in MLflow, with a champion."""

import json
import logging
from typing import Any

from protray.cluster.tracking import run_info
from protray.cluster.tracking.entries import SPOOLED
from protray.cluster.tracking.registry import register_champion
from protray.cluster.tracking.store import compare_page, ui_command
from protray.cluster.tracking.tracker import Tracker
from protray.cluster.tuning.job import Sweepable
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.trial import Record
from protray.cluster.tuning.trials import asked, base_of, best_first, is_complete, records, settings_of
from protray.evaluation.sweep import Row, Scored, half_sizes, main_effects, trial_rows
from protray.evaluation.sweep_comparison import conclusion, repeat_rows
from protray.plots.sweep.sweep_report import write_sweep_report

log = logging.getLogger(__name__)


def write_results(
    job: Sweepable, run: SweepRun, identity: dict, shared: Any, runs: dict[str, str], tracker: Tracker, parent: str
) -> dict:
    """Write everything that ``run.out`` promises and return the content of ``metrics.json``; `runs` are in MLflow."""
    found = records(run)
    firsts = [record for record in found if record.role != "repeat"]
    finished = [record for record in firsts if record.status == "finished"]
    if not finished:
        reasons = "; ".join(f"{record.name}: {record.error}" for record in found if record.error)
        raise ValueError(f"no trial finished, so there is nothing to compare; {reasons or 'give it more time'}")
    if not any(record.role == "paper" for record in finished):
        log.warning("the paper's point has no result, so nothing can be held against it")
    scored = [_scored(record) for record in finished]
    repeated = [_scored(record) for record in found if record.role == "repeat" and record.status == "finished"]
    by_seeds = repeat_rows(repeated, run.study.mode)
    best = champion(finished, by_seeds, run.study.mode)
    with (run.out / "model").writing() as target:
        result = (run.out / "trials" / best.key / "result").fetch()
        job.save_model(run, settings_of(base_of(job, run), best), shared, result, target)
    metrics = {
        "complete": is_complete(identity, run),
        "asked": asked(run),
        "metric": run.study.metric,
        "mode": run.study.mode,
        "table": trial_rows(scored, run.study.mode),
        "effects": main_effects(scored),
        "repeats": by_seeds,
        "halves": half_sizes(scored[0]),
        "scored": job.scored,
        "conclusion": conclusion(by_seeds, run.study.metric, run.study.mode),
        "not_finished": [
            {
                "name": record.name,
                "status": record.status,
                "score": record.score,
                "reason": record.error,
                "folder": f"trials/{record.key}",
            }
            for record in found
            if record.status != "finished"
        ],
        "seconds_per_trial": sorted(round(record.seconds, 1) for record in found if record.seconds),
        "facts": facts(run, identity, parent),
    }
    with (run.out / "report.html").writing() as report:
        write_sweep_report(report, scored, metrics, run.study.log_scaled)
    metrics["best"] = best.name
    metrics["champion"] = _track(run, metrics, runs, best, tracker, parent)
    metrics["mlflow_ui"] = _links(tracker, [runs[record.key] for record in firsts])
    run.metrics.write_json(metrics)
    return metrics


def champion(finished: list[Record], by_seeds: list[Row], mode: str) -> Record:
    """The trial of the point with the best mean over new seeds on the choosing half; without such, the best trial."""
    if by_seeds:
        return next(record for record in finished if record.name == by_seeds[0]["name"])
    return best_first(finished, mode)[0]


def facts(run: SweepRun, identity: dict, parent: str) -> dict[str, str]:
    """Where the numbers come from."""
    tags = run_info.common_tags(run.seed, str(identity.get("digest of the data")), 1)
    return {"settings": json.dumps(identity), "asked for": json.dumps(asked(run)), "mlflow run": parent} | {
        name: str(value) for name, value in tags.items()
    }


def _scored(record: Record) -> Scored:
    assert record.score is not None
    return Scored(
        name=record.name, point=record.point, seed=record.seed, score=record.score, values=record.values,
        clusters=record.clusters, objectives=record.objectives, history=record.history,
        paper=record.name.startswith("paper: "),
    )  # fmt: skip


def _track(
    run: SweepRun, metrics: dict, runs: dict[str, str], best: Record, tracker: Tracker, parent: str
) -> str | None:
    """Log the sweep's numbers and files with the parent run, and register the best trial's model."""
    done = len(metrics["table"])
    tracker.log(parent, {"best/score": best.score or 0.0, "trials": float(done)}, step=done)
    tracker.artifact(parent, run.out / "report.html")
    tracker.artifact(runs[best.key], run.out / "model", "model")
    if runs[best.key].startswith(SPOOLED):
        log.warning("the best trial's run is not in MLflow yet, so its model is not registered")
        return None
    tags = {"sweep": run.study.name, "trial": best.key, run.study.metric.replace("/", "."): f"{best.score:.4f}"}
    return register_champion(tracker, runs[best.key], "model", f"protray-{run.study.job}".replace("_", "-"), tags)


def _links(tracker: Tracker, runs: list[str]) -> str:
    """The page that compares `runs`, and the command that shows it where no server runs."""
    if any(run.startswith(SPOOLED) for run in runs):
        return tracker.ui()
    page = compare_page(tracker.uri, tracker.experiment_id(), runs)
    return page if tracker.uri.startswith("http") else f"{ui_command(tracker.uri)}\nthen open {page}"
