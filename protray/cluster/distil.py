"""PSSM-Distil end to end: dataset, probability maps, trainings, tables and report, each kept and never done twice.

What is kept lies in ``out/cache``: the dataset and the maps as Arrow files, and a folder for every finished training,
named by the hash of all that its result depends on.
"""

import json
import logging
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from protray.cluster import maps, plan, remote, run_info
from protray.cluster.distil_run import (
    DistilRun,
    check_elastic,
    check_same_settings,
    data_digest,
    digest,
    stored_metrics,
)
from protray.cluster.doctor import check_shared
from protray.cluster.files import write_json, write_table
from protray.cluster.lengths import read_lengths
from protray.cluster.map_units import ACTOR_TOKENS, MapConfig
from protray.cluster.progress import Progress
from protray.cluster.shards import SHARD_PROTEINS, Manifest
from protray.cluster.start import Cluster, setup_worker_logging, start_ray, stop_ray
from protray.cluster.tracking import Tracker
from protray.cluster.trainer import Report, Workers, train
from protray.data import schemas
from protray.data.arrow import map_arrow, write_arrow
from protray.data.dataset import Proteins, joined, parquet_files, read_table
from protray.data.sample import SAMPLE, sample_table
from protray.inference.many import Source
from protray.plm.masked import has_bf16
from protray.plm.shipped import absolute, check_present, fingerprint
from protray.training.secondary.session import is_finished, run_stages, stage_keys
from protray.training.secondary.stages import Stage, check_splits
from protray.training.world import World

log = logging.getLogger(__name__)

PREPARED = "proteins.arrow", "maps.arrow"


@remote.kept("data")
def distil(run: DistilRun) -> dict:
    """Run whatever is missing in ``run.out`` and return the content of ``metrics.json``."""
    check_elastic(run.workers, run.min_workers)
    check_present(run.lm)
    inputs = {"data": data_digest(run.data), "lm": fingerprint(run.lm), "features": asdict(run.features)}
    check_same_settings(run)
    metrics = stored_metrics(run, inputs)
    if metrics:
        if set(run.ablate) <= set(metrics["ablations"]):
            log.info("everything is cached in %s; nothing to compute", run.out)
            Tracker.catch_up(run.mlflow, run.experiment, run.out)
            return metrics
        run = replace(run, ablate=tuple(dict.fromkeys([*metrics["ablations"], *run.ablate])))  # keep earlier ones
    cluster = start_ray()
    try:
        check_shared(cluster, run.out)
        job_plan = make_plan(run, cluster)
        log.info("%s", plan.describe(job_plan))
        with tracked(run, inputs) as (tracker, parent):
            cache = (run.out / "cache").resolve()
            proteins = prepare_inputs(run, job_plan, cache / digest(inputs))
            channels = len(proteins.lm_hidden(0)[0]) if run.features.lm_hidden else 0
            stages = run.stages(channels)
            keys = stage_keys(stages, inputs["data"], inputs["lm"], run.features)
            folders = {stage.name: cache / f"{slug(stage.name)}-{keys[stage.name]}" for stage in stages}
            train_all(run, job_plan, stages, folders, cache / digest(inputs), tracker, parent)
            from protray.cluster.distil_results import write_results  # draws: matplotlib is slow to import

            return write_results(run, inputs, stages, folders, proteins, tracker, parent)
    finally:
        stop_ray(cluster)


def make_plan(run: DistilRun, cluster: Cluster) -> plan.Plan:
    """Share the cluster out: first an actor pool for the maps, then the trainers."""
    trainers = plan.trainer("train", run.workers, run.gpus_per_worker, cluster.nodes, run.min_workers)
    lengths = read_lengths(parquet_files(run.data / "proteins") if run.data else [SAMPLE])
    most = int(MapConfig(lm=run.lm).total(lengths) / ACTOR_TOKENS)
    return plan.make_plan([plan.actor_pool("maps", cluster.nodes, most), trainers], cluster.nodes)


def prepare_inputs(run: DistilRun, job_plan: plan.Plan, folder: Path) -> Proteins:
    """Dataset and maps as Arrow files in `folder`, aligned row by row; computes what is not there."""
    if not prepared(folder):
        table = _dataset(run)
        check_splits(Proteins(table))
        manifest = _compute_maps(run, job_plan, table, folder / "maps")
        table = _without(table, manifest, run.out)
        write_json(folder / "left_out.json", {name: manifest.summary()[name] for name in ("n_rejected", "reasons")})
        computed = read_table(remote.pull(folder / "maps" / "maps"), schemas.MAPS)
        for content, name in zip((table, computed), PREPARED, strict=True):
            write_arrow(content, folder / name)
        remote.push(folder)
    proteins = read_prepared(folder)
    check_splits(proteins)  # again: the language model may have left some out
    return proteins


def prepared(folder: Path) -> bool:
    """Whether dataset and maps are in `folder`."""
    return all((folder / name).is_file() for name in PREPARED)


def read_prepared(folder: Path) -> Proteins:
    """Dataset and maps, mapped into memory, on any node."""
    return joined(*(map_arrow(remote.pull(folder / name)) for name in PREPARED))


def _dataset(run: DistilRun) -> pa.Table:
    if run.data:
        return read_table(run.data / "proteins", schemas.PROTEINS)
    log.info("no --data: using the bundled sample of real PDB chains")
    sample = ray.remote(sample_table).remote()  # in a worker, whose linear algebra keeps to one thread
    return ray.get(sample).sort_by("id").combine_chunks()


def _compute_maps(run: DistilRun, job_plan: plan.Plan, table: pa.Table, out: Path) -> Manifest:
    """Compute what is missing of the maps in `out`, a folder as jobs/prob_maps.py leaves it."""
    config = MapConfig(lm=absolute(run.lm), bf16=has_bf16(), hidden=run.features.lm_hidden)
    manifest = Manifest.open(out, {"language model": fingerprint(run.lm), "hidden": config.hidden})
    if manifest.shards is None:
        rows = zip(table["id"].to_pylist(), table["sequence"].to_pylist(), strict=True)
        manifest.stage((Source(name, "", None, sequence) for name, sequence in rows), SHARD_PROTEINS, config.tokens)
    if not manifest.complete:
        with Progress("probability maps") as progress:
            maps.compute_maps(manifest, config, job_plan["maps"], job_plan.threads("maps"), progress)
    return manifest


def _without(table: pa.Table, manifest: Manifest, out: Path) -> pa.Table:
    """Leave proteins out that have no map, and say so."""
    rejected = pq.read_table(manifest.out / "rejected.parquet")
    if not rejected.num_rows:
        return table
    write_table(rejected, out / "rejected.parquet")
    reasons = ", ".join(f"{count} x {reason}" for reason, count in manifest.summary()["reasons"].items())
    if rejected.num_rows == table.num_rows:
        raise ValueError(f"the language model can read none of the {table.num_rows} proteins: {reasons}")
    log.warning(
        "%d of %d proteins have no map and are left out: %s; see %s",
        rejected.num_rows,
        table.num_rows,
        reasons,
        out / "rejected.parquet",
    )
    names = set(rejected["id"].to_pylist())
    return table.filter(pa.array([name not in names for name in table["id"].to_pylist()]))


def train_all(
    run: DistilRun,
    job_plan: plan.Plan,
    stages: list[Stage],
    folders: dict[str, Path],
    inputs: Path,
    tracker: Tracker,
    parent: str,
) -> None:
    """Train the stages that are not finished, in one group of workers; log every epoch to the stage's own run."""
    for stage in stages:
        if is_finished(folders[stage.name]):
            log.info("%s: cached", stage.name)
    runs = {stage.name: start_stage_run(tracker, stage, folders[stage.name], parent) for stage in stages}

    def log_epoch(letter: dict) -> None:
        if "epoch" in letter:
            values = {name: value for name, value in letter.items() if "/" in name}
            tracker.log(runs[letter["stage"]], values, step=letter["epoch"])

    if not all(is_finished(folder) for folder in folders.values()):
        settings = {"stages": stages, "folders": folders, "inputs": inputs.resolve(), "features": run.features}
        planned = job_plan["train"]
        workers = Workers.of(planned, job_plan.threads("train"))
        name = "train-" + digest([folders[stage.name].name for stage in stages])
        with StageBars() as bars:

            def on_report(letter: dict) -> None:
                bars(letter)
                log_epoch(letter)

            train(_loop, settings, name=name, storage=run.out / "cache", workers=workers, on_report=on_report)
            for folder in folders.values():
                remote.pull(folder)
        remote.remove(run.out / "cache" / name)  # checkpoints of finished trainings
    for stage in stages:  # what a dead driver may have missed; steps that are there stay as they are
        for epoch in json.loads((folders[stage.name] / "stage.json").read_text())["history"]:
            log_epoch({"stage": stage.name} | epoch)
        tracker.finish(runs[stage.name])


def _loop(settings: dict, report: Report, resume: dict | None, world: World) -> None:
    setup_worker_logging()
    proteins = read_prepared(settings["inputs"])
    folders = {name: remote.pull(folder, exact=True) for name, folder in settings["folders"].items()}
    world.sum([0.0])  # a barrier: nobody writes a stage while another worker still looks which are finished
    for stage in settings["stages"]:
        run_stages([stage], folders, proteins, settings["features"], report, resume, world)
        publish(folders[stage.name], world)


def publish(folder: Path, world: World) -> None:
    """Give a finished stage to the workers of other nodes, where they share a bucket; each has its own predictions."""
    if remote.uri_of(folder) is None:
        return
    finished = folder / "stage.json"
    for file in folder.glob("*"):
        if file != finished:
            remote.push(file)
    world.sum([0.0])  # a barrier: what says "finished" comes last
    if world.rank == 0:
        remote.push(finished)
    world.sum([0.0])
    remote.pull(folder)


class StageBars:
    """One progress bar after another, as reports of the stages arrive."""

    def __init__(self) -> None:
        self.stage: str | None = None
        self.bar: Progress | None = None

    def __call__(self, letter: dict) -> None:
        if letter["stage"] != self.stage:
            self.__exit__()
            self.stage, self.bar = letter["stage"], Progress(letter["stage"])
            self.bar.__enter__()
        assert self.bar is not None
        if "epoch" in letter:
            score = letter.get("validation/q3")
            self.bar(letter["epoch"], letter["epochs"], f"validation Q3 {score:.3f}" if score else "")
        else:
            self.bar(letter["done"], letter["of"])

    def __enter__(self) -> "StageBars":
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.__exit__(error[0] if error else None)  # type: ignore[arg-type]
            self.bar = None


def start_stage_run(tracker: Tracker, stage: Stage, folder: Path, parent: str) -> str:
    params = asdict(stage)
    return tracker.start_run(key=folder.name, name=stage.name, parent=parent, params=params, tags={"stage": stage.name})


def tracked(run: DistilRun, inputs: dict) -> AbstractContextManager[tuple[Tracker, str]]:
    """MLflow with the parent run of all trainings."""
    return Tracker.job(
        run.mlflow,
        run.experiment,
        run.out,
        key="distil-" + digest(run.fixed()),
        name=f"distil {run.model}",
        params=run.fixed(),
        tags=run_info.common_tags(run.seed, inputs["data"], run.workers),
    )


def slug(name: str) -> str:
    """A stage's name as part of a file name."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
