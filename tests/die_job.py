"""jobs/distil.py, score_net.py and tune.py in small, whose driver is killed at a place of choice: see `main`.

For tests that start it as a process of its own, again and again on one folder.
"""

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from protray.data.location import Location

STARTED = time.monotonic()


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(function, then=die):  # noqa: ANN001, ANN201
    """`function`, and `then` something worse."""

    def both(*args, **more):  # noqa: ANN002, ANN003, ANN202
        result = function(*args, **more)
        then()
        return result

    return both


def tell_once() -> None:
    """Say how long it took until training went on."""
    if not os.environ.get("TOLD"):
        os.environ["TOLD"] = "yes"
        print(f"MEASURED {time.monotonic() - STARTED:.1f} s from the command to the first report", file=sys.stderr)


def distil(inputs: Path, out: Location, place: str) -> dict:
    """Places: maps, the name of a stage, report, end."""
    from tiny import tiny_networks

    import protray.training.secondary.stages

    protray.training.secondary.stages.SMALL = tiny_networks()
    from protray.cluster.batch import driver as batch_driver
    from protray.cluster.train import driver
    from protray.pipelines.secondary import distil_results
    from protray.pipelines.secondary.distil import JOB, DistilRun

    track, loop, job = driver.track_point, JOB.loop, JOB

    def slow(settings, report, resume, world):  # noqa: ANN001, ANN202
        def slowly(metrics, state):  # noqa: ANN001, ANN202
            report(metrics, state)
            time.sleep(0.4)  # so that the driver hears of a stage before the next begins

        loop(settings, slowly, resume, world)

    def hear(tracker, run_id, metrics):  # noqa: ANN001, ANN202
        tell_once()
        track(tracker, run_id, metrics)
        if metrics.get("stage") == place and metrics.get("epoch") == 1:
            die()

    driver.track_point, job = hear, replace(job, loop=slow)
    if place == "maps":
        batch_driver.finish = die
    if place == "report":
        distil_results.write_distil_report = die
    if place == "end":
        job = replace(job, finish=after(JOB.finish))
    run = DistilRun(
        data=Location(inputs) / "data", lm=str(inputs / "lm"), out=out, lm_features="hidden",
        workers=2 if out.is_address else 1,
    )  # fmt: skip
    return driver.run_training(job, run)


def score_net(_: Path, out: Location, place: str) -> dict:
    """Places: training, model, report, end."""
    from faults import RUN

    from protray.cluster.train import driver
    from protray.pipelines.structure.score_net import JOB
    from protray.plots.structure import score_report
    from protray.training.structure import score_export

    track, job = driver.track_point, JOB

    def hear(tracker, run_id, metrics):  # noqa: ANN001, ANN202
        tell_once()
        track(tracker, run_id, metrics)
        if place == "training" and metrics["step"] == 10:
            die()

    driver.track_point = hear
    if place == "model":
        score_export.save_score_net = after(score_export.save_score_net)
    if place == "report":
        score_report.write_score_report = die
    if place == "end":
        job = replace(job, finish=after(JOB.finish))
    return driver.run_training(job, replace(RUN, out=out))


def sweep(inputs: Path, out: Location, place: str) -> dict:
    """Three trials.  Places: trial, report, end."""
    from tiny import tiny_networks

    import protray.training.secondary.stages

    protray.training.secondary.stages.SMALL = tiny_networks()
    from protray.cluster.tuning import results
    from protray.cluster.tuning.settings import SweepRun
    from protray.cluster.tuning.sweep import run_sweep
    from protray.cluster.tuning.trial_runs import TrialRuns
    from protray.pipelines.secondary.sweep_distil import SWEEP

    report = TrialRuns.report

    def hear(self, trial, step, metrics):  # noqa: ANN001, ANN202
        report(self, trial, step, metrics)
        if place == "trial" and len(list((out / "trials").files("trial.json"))) >= 1:
            die()

    TrialRuns.report = hear
    if place == "report":
        results.write_sweep_report = die
    if place == "end":
        results._links = die
    study = inputs / "study.py"
    study.write_text(
        'JOB, METRIC, MODE, PAPER = "distil", "validation/q3", "max", {"weights.alpha": 0.16}\n'
        'SPACE = {"weights.alpha": (0.16, 0.5, 0.9)}\n'
    )
    run = SweepRun(
        space=str(study), data=Location(inputs) / "data", lm=str(inputs / "lm"), out=out, epochs=2, repeats=0,
        max_concurrent=1,
    )  # fmt: skip
    return run_sweep(SWEEP, run)


def main() -> None:
    """JOB INPUTS OUT PLACE; the metrics of a job that lives to its end are printed as JSON."""
    job, inputs, out, place = sys.argv[1:]
    metrics = {"distil": distil, "score_net": score_net, "sweep": sweep}[job](Path(inputs), Location(out), place)
    print(json.dumps(metrics))


if __name__ == "__main__":
    main()
