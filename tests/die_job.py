"""jobs/distil.py and jobs/score_net.py in small, whose driver is killed at a place of choice: see `main`.

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
        batch_driver._finish = die
    if place == "report":
        distil_results.write_distil_report = die
    if place == "end":
        job = replace(job, finish=after(JOB.finish))
    run = DistilRun(
        data=Location(inputs) / "data", lm=str(inputs / "lm"), out=out, lm_features="hidden",
        workers=2 if out.is_address else 1,
    )  # fmt: skip
    return driver.run_training(job, run)


def score_net(_: Path, out: Path, place: str) -> dict:
    """Places: training, model, report, end."""
    from faults import FIT, NET
    from protray.pipelines.structure.score_net_run import ScoreRun

    from protray.evaluation.denoising import DenoisingConfig
    from protray.pipelines.structure import score_net as job

    track = job.track_point

    def hear(tracker, run_id, metrics):  # noqa: ANN001, ANN202
        tell_once()
        track(tracker, run_id, metrics)
        if place == "training" and metrics["step"] == 10:
            die()

    job.track_point = hear
    if place == "model":
        job.save_score_net = after(job.save_score_net)
    if place == "report":
        job.write_score_report = after(job.write_score_report)
    if place == "end":
        job.write_json = die
    denoising = DenoisingConfig(chains=3, longest=60, every=16, sampled=2, stop=2.0, shown=1)
    return job.score_net(replace(ScoreRun(net=NET, fit=FIT, denoising=denoising), out=out))


def main() -> None:
    """JOB INPUTS OUT PLACE; the metrics of a job that lives to its end are printed as JSON."""
    job, inputs, out, place = sys.argv[1:]
    metrics = {"distil": distil, "score_net": score_net}[job](Path(inputs), Location(out), place)
    print(json.dumps(metrics))


if __name__ == "__main__":
    main()
