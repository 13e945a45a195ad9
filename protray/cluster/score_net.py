"""Pre-training of the score network on structures: training (Ray Train), model folder, denoising gain, report, MLflow.

``OUT/cache``          checkpoints, removed at the end
``OUT/model``          the network for jobs/embed.py
``OUT/report.html``    curves, denoising gain, distance maps
``OUT/metrics.json``   all numbers of it; written last, it says "finished"
"""

import logging
import math
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import ray

from protray.cluster import plan, remote, run_info
from protray.cluster.distil_run import belongs, check_same_settings, data_digest, digest
from protray.cluster.doctor import check_shared
from protray.cluster.files import difference, finite, read_json, write_json
from protray.cluster.progress import Progress
from protray.cluster.score_net_run import ScoreRun
from protray.cluster.start import Cluster, setup_worker_logging, start_ray, stop_ray
from protray.cluster.tracking import Tracker
from protray.cluster.trainer import Report, Workers, track_point, train
from protray.data.structures import Structures, read_structures
from protray.evaluation.denoising import DenoisingConfig, DenoisingResults, choose, evaluate_denoising
from protray.inference.denoise import NetworkDenoiser
from protray.plm.masked import has_bf16
from protray.plots.structure.score_report import Split, write_score_report
from protray.training.score_export import load_score_net, read_config, save_score_net
from protray.training.score_net import fit
from protray.training.score_steps import (
    MIN_RESIDUES,
    ScoreFitConfig,
    calibration_batches,
    steps,
    trainable,
    validation_batches,
)
from protray.training.world import World

log = logging.getLogger(__name__)


@remote.kept("data")
def score_net(run: ScoreRun) -> dict:
    """Do whatever is missing in ``run.out`` and return the content of ``metrics.json``.

    Raises
    ------
    ValueError
        For unusable settings or data, a folder that belongs to other ones, or a loss that is not finite any more.
    """
    run.check()
    if facts := finished(run):
        log.info("%s holds this run, finished; nothing to compute", run.out)
        Tracker.catch_up(run.mlflow, run.experiment, run.out)
        return facts
    chains = {split: read_split(run.data, split) for split in ("train", "validation")}
    choose(held_out(run.data)[1], run.denoising)  # better an error now than after the training
    check_same_settings(run)  # writes down what this folder belongs to
    log.info("%d chains to train on, %d to validate on", len(chains["train"]), len(chains["validation"]))
    cluster = start_ray()
    try:
        check_shared(cluster, run.out)
        job_plan = make_plan(run, cluster)
        log.info("%s", plan.describe(job_plan))
        with tracked(run) as (tracker, run_id):
            state = train_model(run, job_plan, tracker, run_id)
            return write_results(run, job_plan, state, tracker, run_id)
    finally:
        stop_ray(cluster)


def finished(run: ScoreRun) -> dict | None:
    """What a finished run in ``run.out`` wrote; ValueError if the folder belongs to other settings."""
    path = run.out / "metrics.json"
    if not belongs(run) or not path.is_file():
        return None
    facts = read_json(path)
    if changed := difference(facts["asked"], asdict(run.denoising)):
        raise ValueError(f"{run.out} holds a finished run; {changed}; choose another --out")
    return facts


def read_split(data: Path | None, split: str) -> Structures:
    """The chains of a split; ValueError if none of them is long enough to train on."""
    chains = read_structures(data, split)
    if not len(trainable(chains.lengths)):
        raise ValueError(
            f"none of {len(chains)} chains of the {split} split of {data or 'the sample'} has {MIN_RESIDUES} residues"
        )
    return chains


def held_out(data: Path | None) -> tuple[Split, Structures]:
    """The test split; where a dataset has none, the validation split, which also picked the best weights."""
    try:
        return "test", read_structures(data, "test")
    except ValueError as error:
        log.warning("%s: the denoising gain is measured on the validation split", error)
        return "validation", read_structures(data, "validation")


def make_plan(run: ScoreRun, cluster: Cluster) -> plan.Plan:
    stage = plan.trainer("score net", run.workers, run.gpus_per_worker, cluster.nodes, run.min_workers)
    return plan.make_plan([stage], cluster.nodes)


def train_model(run: ScoreRun, job_plan: plan.Plan, tracker: Tracker, run_id: str) -> dict:
    """Train, or go on from the last checkpoint; every report goes to MLflow and the log.  Returns the last state."""
    stage = job_plan["score net"]
    workers = Workers.of(stage, job_plan.threads("score net"))
    settings = {
        "net": asdict(run.net),
        "fit": asdict(run.fit),
        "data": str(run.data.resolve()) if run.data else None,
    }
    with Progress("score net") as progress:
        explained = math.nan

        def on_report(metrics: dict) -> None:
            nonlocal explained
            explained = metrics.get("validation/explained", explained)
            note = "" if math.isnan(explained) else f"validation: {100 * explained:.1f} % of the noise explained"
            progress(metrics["step"], metrics["of"], note)
            if "validation/explained" in metrics:
                log.info("%s", _line(metrics))
                track_point(tracker, run_id, metrics)

        return train(
            _loop, settings, name=run_name(run), storage=run.out / "cache", workers=workers, on_report=on_report
        )


def run_name(run: ScoreRun) -> str:
    """Of the training, whose checkpoints are in a folder of that name."""
    return "score-net-" + digest(run.fixed())


def _loop(settings: dict, report: Report, resume: dict | None, world: World) -> None:
    setup_worker_logging()
    net, config = read_config(settings["net"]), ScoreFitConfig(**settings["fit"])
    data = _pulled(settings["data"])
    chains, others = (read_structures(data, split) for split in ("train", "validation"))
    total = config.steps(len(trainable(chains.lengths)))
    if resume and world.rank == 0:
        log.info("training goes on at step %d of %d", resume["position"]["step"], total)
    fit(
        net, config, total,
        lambda step: steps(chains, config, net.noise, step, world.rank, world.size),
        calibration_batches(chains, config, net.noise), validation_batches(others, config, net.noise),
        report, resume, world,
    )  # fmt: skip


def write_results(run: ScoreRun, job_plan: plan.Plan, state: dict, tracker: Tracker, run_id: str) -> dict:
    """Write model, denoising gain, report and metrics, and remove the checkpoints."""
    model, position = run.out / "model", state["position"]
    save_score_net(model, run.net, state["best"])
    remote.push(model)
    for point in position["history"]:  # what a dead driver may have missed; steps that are there stay as they are
        track_point(tracker, run_id, point)
    stage = job_plan["score net"]
    measure = ray.remote(num_cpus=1, num_gpus=stage.gpus_per_worker, label_selector=stage.labels)(_denoise)
    log.info("measuring the denoising gain")
    results, split, counts = ray.get(
        measure.remote(
            str(model.resolve()), run.fit.crop, str(run.data.resolve()) if run.data else None, run.denoising,
            job_plan.threads("score net"), stage.gpus_per_worker > 0,
        )
    )  # fmt: skip
    tracker.log(run_id, results.metrics(), step=position["step"])
    report = run.out / "report.html"
    facts = {name: str(value) for name, value in (counts | run.fixed()).items()}
    write_score_report(report, position["history"], run.net.noise.sigmas(), results, split=split, facts=facts)
    tracker.artifact(run_id, report)
    tracker.artifact(run_id, model, "model")
    metrics = {
        "best_step": position["best_step"],
        "steps": position["step"],
        "history": position["history"],
        "denoising": results.rows(),
        "denoising_split": split,
        "chains": counts,
        "asked": asdict(run.denoising),
        "mlflow_ui": tracker.ui(),
    }
    remote.push(run.out)  # all that the next file says is finished
    write_json(run.out / "metrics.json", finite(metrics))
    remote.remove(run.out / "cache")
    return metrics


def _denoise(
    model: str, crop: int, data: str | None, config: DenoisingConfig, threads: int, gpu: bool
) -> tuple[DenoisingResults, Split, dict[str, int]]:
    """Ray task: how well the network denoises chains of which split, and how many chains there are."""
    import torch

    torch.set_num_threads(threads)
    net = load_score_net(remote.pull(Path(model))).to(memory_format=torch.channels_last).to("cuda" if gpu else "cpu")  # type: ignore[call-overload]
    denoiser = NetworkDenoiser(net, crop, has_bf16())
    train_chains, (split, others) = read_structures(_pulled(data), "train"), held_out(_pulled(data))
    results = evaluate_denoising(denoiser, net.config.noise.sigmas(), others, train_chains, config)
    return results, split, {"training chains": len(train_chains), f"{split} chains": len(others)}


def _pulled(data: str | None) -> Path | None:
    """The dataset as this node sees it."""
    return None if data is None else remote.pull(Path(data))


def _line(metrics: dict) -> str:
    """A point of the curve for the log, without its single noise levels."""
    shown = {key: value for key, value in metrics.items() if "/" in key and "level" not in key}
    return f"step {metrics['step']}: " + ", ".join(f"{key} {value:.5g}" for key, value in shown.items())


def tracked(run: ScoreRun) -> AbstractContextManager[tuple[Tracker, str]]:
    """MLflow with the run of this job."""
    return Tracker.job(
        run.mlflow,
        run.experiment,
        run.out,
        key="score-net-" + digest(run.fixed()),
        name=f"score net {run.model}",
        params=run.fixed() | {"model": run.model},
        tags=run_info.common_tags(run.fit.seed, data_digest(run.data), run.workers),
    )
