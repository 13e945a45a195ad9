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


def distil(inputs: Path, out: Path, place: str) -> dict:
    """Places: maps, the name of a stage, report, end."""
    from tiny import tiny_networks

    import protray.training.secondary.stages

    protray.training.secondary.stages.SMALL = tiny_networks()
    from protray.pipelines.secondary import distil as job
    from protray.pipelines.secondary import distil_results
    from protray.pipelines.secondary.distil_run import DistilRun

    compute, loop, bars = job.maps.compute_maps, job._loop, job.StageBars.__call__

    def compute_some(*args):  # noqa: ANN002, ANN202
        return compute(*args[:-1], lambda done, *_: done and place == "maps" and die())

    def slow(settings, report, resume, world):  # noqa: ANN001, ANN202
        def slowly(metrics, state):  # noqa: ANN001, ANN202
            report(metrics, state)
            time.sleep(0.4)  # so that the driver hears of a stage before the next begins

        loop(settings, slowly, resume, world)

    def hear(self, letter):  # noqa: ANN001, ANN202
        tell_once()
        bars(self, letter)
        if letter["stage"] == place and letter.get("epoch") == 1:
            die()

    job.maps.compute_maps, job._loop, job.StageBars.__call__ = compute_some, slow, hear
    if place == "report":
        distil_results.report = die
    if place == "end":
        distil_results.track = after(distil_results.track)
    return job.distil(DistilRun(data=inputs / "data", lm=str(inputs / "lm"), out=out, lm_features="hidden"))


def score_net(_: Path, out: Path, place: str) -> dict:
    """Places: training, model, report, end."""
    from faults import FIT, NET

    from protray.evaluation.denoising import DenoisingConfig
    from protray.pipelines.structure import score_net as job
    from protray.pipelines.structure.score_net_run import ScoreRun

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
    metrics = {"distil": distil, "score_net": score_net}[job](Path(inputs), Path(out), place)
    print(json.dumps(metrics))


if __name__ == "__main__":
    main()
