"""Run a `TrainingJob`: identity and cache, resources, MLflow, workers with restarts, results.

``OUT/run.json``       the settings that the folder belongs to
``OUT/cache``          checkpoints, and what a job keeps for the next run
``OUT/metrics.json``   all numbers; written last
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from protray.cluster.health.doctor import check_shared
from protray.cluster.runtime.logs import setup_worker_logging
from protray.cluster.runtime.progress import Progress
from protray.cluster.runtime.resources import Plan, describe, make_plan, trainer
from protray.cluster.runtime.start import Cluster, start_ray, stop_ray
from protray.cluster.storage.identity import belongs, check_same_job, claim, difference, digest, release
from protray.cluster.tracking import run_info
from protray.cluster.tracking.tracker import Tracker
from protray.cluster.train.job import Context, Stage, TrainingJob

log = logging.getLogger(__name__)


def run_training(job: TrainingJob, run: Any) -> dict:
    """Do whatever is missing in ``run.out`` and return the content of ``metrics.json``.

    Raises
    ------
    ValueError
        For unusable settings or inputs, a folder that belongs to other ones, or a loss that is not finite any more.
    """
    identity = checked(job, run)
    if facts := finished(job, run, identity):
        log.info("everything is there in %s; nothing to compute", run.out)
        Tracker.catch_up(run.mlflow, experiment(job, run), run.out)
        return facts
    if job.reuses:
        run.metrics.remove()  # of other settings
        (run.out / "run.json").write_json(identity)
    else:
        claim(run.out, identity)
    cluster = start_ray()
    try:
        check_shared(cluster, run.out)
        plan = resources(job, run, cluster)
        log.info("%s", describe(plan))
        with Tracker.job(
            run.mlflow, experiment(job, run), run.out, key=f"{job.name}-{digest(identity)}", name=job.name,
            params=identity, tags=run_info.common_tags(job.seed(run), job.digest(run), run.workers),
        ) as (tracker, run_id):  # fmt: skip
            context = Context(plan, tracker, run_id)
            inputs = _prepared(job, run, context)
            context = replace(context, runs=start_runs(job, job.stages(run, inputs), context))
            state = train_stages(job, run, inputs, context)
            facts = job.finish(run, inputs, state, context) | {"asked": identity, "mlflow_ui": tracker.ui()}
            for own in context.runs.values():
                tracker.finish(own)
        run.metrics.write_json(run_info.finite(facts))
        (run.out / "cache" / training_name(job, job.stages(run, inputs))).remove()  # checkpoints of what is finished
        return facts
    finally:
        stop_ray(cluster)


def _prepared(job: TrainingJob, run: Any, context: Context) -> Any:
    """What is trained on.  If it cannot be used, and nothing is trained yet, the folder is free for a corrected one."""
    try:
        return job.prepare(run, context)
    except ValueError:
        if not job.reuses and not (run.out / "cache" / training_name(job, job.stages(run, None))).exists():
            release(run.out)
        raise


def checked(job: TrainingJob, run: Any) -> dict:
    """The settings that the folder keeps; ValueError for unusable ones, or a folder of others."""
    run.check()
    identity = job.identity(run)
    (check_same_job if job.reuses else belongs)(run.out, identity)
    return identity


def finished(job: TrainingJob, run: Any, identity: dict) -> dict | None:
    """What a finished run wrote; None if there is something to do."""
    facts = run.metrics.read_json() if run.metrics.is_file() else None
    return facts if facts and not difference(facts["asked"], identity) else None


def experiment(job: TrainingJob, run: Any) -> str:
    """The name of the experiment in MLflow."""
    return run.experiment or f"protray-{job.name.replace(' ', '-')}"


def resources(job: TrainingJob, run: Any, cluster: Cluster) -> Plan:
    """The workers of a job."""
    options = run.workers, run.gpus_per_worker, cluster.nodes, run.min_workers, run.cpus_per_worker
    return make_plan([trainer(job.name, *options)], cluster.nodes)


def training_name(job: TrainingJob, stages: Sequence[Stage]) -> str:
    """Of the training, whose checkpoints are in a folder of that name."""
    return f"{job.name.replace(' ', '-')}-{digest([stage.key for stage in stages])}"


def start_runs(job: TrainingJob, stages: Sequence[Stage], context: Context) -> dict[str, str]:
    """Start the run in MLflow of every stage, or go on with it; a stage named as its job has the job's."""
    return {
        stage.name: context.tracker.start_run(
            key=stage.key, name=stage.name, parent=context.run_id, params=stage.params, tags={"stage": stage.name}
        )
        for stage in stages
        if stage.name != job.name
    }


def train_stages(job: TrainingJob, run: Any, inputs: Any, context: Context) -> dict:
    """Train the stages that are missing in one group of workers; each point of a curve goes to the run of its stage.

    Returns the last state; an empty one where nothing was left to train.
    """
    from protray.cluster.train.fit import train

    stages = job.stages(run, inputs)
    state: dict = {}
    if any(stage.done < stage.of for stage in stages):
        with _Bars(job, len(stages) == 1) as show:

            def on_report(metrics: dict) -> None:
                show(metrics)
                track_point(context.tracker, context.runs.get(metrics.get("stage", ""), context.run_id), metrics)

            state = train(
                job.loop, job.settings(run, inputs), name=training_name(job, stages), storage=run.out / "cache",
                stage=context.plan[job.name], threads=context.plan.threads(job.name), on_report=on_report,
            )  # fmt: skip
    return state


def in_task(context: Context, name: str, function: Callable, *args: Any) -> Any:
    """``function(*args, device)`` in a Ray task, on such a GPU and with as many threads as a worker of training `name`.

    It is for the end of a job, such as predictions: the driver may be a machine without either.
    """
    import ray

    stage = context.plan[name]
    task: Any = ray.remote(num_cpus=1, num_gpus=stage.gpus_per_worker, label_selector=stage.labels)(_with_threads)
    device = "cuda" if stage.gpus_per_worker else "cpu"
    return ray.get(task.remote(context.plan.threads(name), function, *args, device))


def _with_threads(threads: int, function: Callable, *args: Any) -> Any:
    """Ray task."""
    import torch

    setup_worker_logging()
    torch.set_num_threads(threads)
    return function(*args)


def track_history(context: Context, run_id: str, history: Sequence[dict]) -> None:
    """Log what a dead driver may have missed of a training's curve."""
    for point in history:
        track_point(context.tracker, run_id, point)


def track_point(tracker: Tracker, run_id: str, metrics: dict) -> None:
    """Log a point of a training's curve, if it is one; steps that are there stay as they are.

    MLflow's step is the epoch, where the point has one.
    """
    values = {name: value for name, value in metrics.items() if "/" in name}
    if values:
        tracker.log(run_id, values, step=metrics.get("epoch", metrics["step"]))


class _Bars:
    """Progress of one stage after another, and a line for each point of the curve."""

    def __init__(self, job: TrainingJob, single: bool) -> None:
        self.job, self.single, self.stage = job, single, None
        self.bar: Progress | None = None
        self.note = ""

    def __call__(self, metrics: dict) -> None:
        stage = metrics.get("stage", self.job.name)
        if stage != self.stage or self.bar is None:
            self.__exit__()
            self.stage, self.note, self.bar = stage, "", Progress(stage).__enter__()
        self.note = self.job.note(metrics) or self.note
        self.bar(metrics["step"], metrics["of"], self.note)
        if self.single and any("/" in name for name in metrics):
            shown = {name: value for name, value in metrics.items() if "/" in name and "level" not in name}
            log.info("step %d: %s", metrics["step"], ", ".join(f"{name} {value:.5g}" for name, value in shown.items()))

    def __enter__(self) -> "_Bars":
        return self

    def __exit__(self, *error: Any) -> None:
        if self.bar:
            self.bar.__exit__(error[0] if error else None)
            self.bar = None
