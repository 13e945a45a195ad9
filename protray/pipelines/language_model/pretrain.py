"""Pre-training of a masked language model: corpus (Ray Data), training (Ray Train), model folder, scores, MLflow.

``OUT/cache/corpus-DIGEST``  the encoded sequences, which the trainers map into memory
``OUT/cache/pretrain-*``     checkpoints, removed at the end
``OUT/model``                the model for Transformers; its ``pretraining.json``, written last, says "finished"
"""

import logging
import math
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import ray
import ray.train

from protray.cluster.health.doctor import check_shared
from protray.cluster.runtime import resources as plan
from protray.cluster.runtime.progress import Progress
from protray.cluster.runtime.start import Cluster, setup_worker_logging, start_ray, stop_ray
from protray.cluster.storage import remote
from protray.cluster.storage.files import finite, write_json
from protray.cluster.tracking import run_info
from protray.cluster.tracking.tracker import Tracker
from protray.cluster.train.trainer import Report, Workers, track_point, train
from protray.data.location import Location
from protray.pipelines.language_model.corpus import CorpusSettings, encode_corpus
from protray.pipelines.language_model.pretrain_run import PretrainRun
from protray.pipelines.secondary.distil_run import check_same_settings, digest
from protray.plm.architecture import build_model
from protray.plm.corpus import Corpus, open_corpus, read_corpus
from protray.plm.masked import has_bf16, load, map_quality
from protray.plm.pretraining import MaskedLmConfig
from protray.plm.reading import Reading
from protray.plm.steps import steps, validation_batches
from protray.plm.tokens import save_tokenizer
from protray.seq.alphabet import N_AA
from protray.training.language_model.masked_lm import fit
from protray.training.world import World

log = logging.getLogger(__name__)

SCORED_PROTEINS, SCORED_LENGTH = 200, 500  # of held-out clusters; a map costs one pass per residue


@remote.kept()
def pretrain(run: PretrainRun) -> dict:
    """Do whatever is missing in ``run.out`` and return the content of ``model/pretraining.json``, and ``mlflow_ui``.

    Raises
    ------
    ValueError
        For unusable settings or input, a folder that belongs to other ones, or a loss that is not finite any more.
    """
    run.check()
    facts = run.finished()
    if not facts:
        check_held_out(run)
    check_same_settings(run)
    if facts:
        log.info("%s holds this run, finished; nothing to compute", run.out)
        return facts | {"mlflow_ui": Tracker.open(run.mlflow, run.experiment, run.out).ui()}
    cluster = start_ray()
    try:
        check_shared(cluster, run.out)
        job_plan = make_plan(run, cluster)
        log.info("%s", plan.describe(job_plan))
        with tracked(run) as (tracker, run_id):
            corpus, encoded = encode_corpus(corpus_settings(run))
            folder = encoded.path
            state = train_model(run, job_plan, folder, tracker, run_id)
            return write_results(run, job_plan, folder, corpus, state, tracker, run_id)
    finally:
        stop_ray(cluster)


def corpus_settings(run: PretrainRun) -> CorpusSettings:
    return CorpusSettings(
        fasta=tuple(map(Location, run.fasta)), held_out=tuple(map(Location, run.held_out)),
        clusters=Location(run.clusters) if run.clusters else None, held_out_share=run.held_out_share, seed=run.lm.seed,
        exclude=Location(run.exclude) if run.exclude else None, min_length=run.min_length,
        out=Location(run.out / "cache"),
    )  # fmt: skip


def check_held_out(run: PretrainRun) -> None:
    """Raise ValueError, better now than after the corpus is encoded, for a file without a usable protein."""
    for path in run.held_out:
        read_corpus([path], run.min_length)


def make_plan(run: PretrainRun, cluster: Cluster) -> plan.Plan:
    stage = plan.trainer("pre-training", run.workers, run.gpus_per_worker, cluster.nodes, run.min_workers)
    return plan.make_plan([stage], cluster.nodes)


def train_model(run: PretrainRun, job_plan: plan.Plan, folder: Path, tracker: Tracker, run_id: str) -> dict:
    """Train, or go on from the last checkpoint; every report goes to MLflow and the log.  Returns the last state."""
    stage = job_plan["pre-training"]
    workers = Workers.of(stage, job_plan.threads("pre-training"))
    with Progress("pre-training") as progress:

        def on_report(metrics: dict) -> None:
            perplexity = metrics.get("validation/perplexity")
            progress(metrics["step"], run.lm.steps, f"validation perplexity {perplexity:.3f}" if perplexity else "")
            if perplexity:
                log.info("%s", ", ".join(f"{name} {value:.5g}" for name, value in metrics.items()))
                track_point(tracker, run_id, metrics)

        held_out = str(run.held_out[0].resolve()) if run.held_out else None
        settings = {"lm": asdict(run.lm), "corpus": str(folder), "held_out": held_out, "min_length": run.min_length}
        return train(
            _loop, settings, name=run_name(run, folder), storage=run.out / "cache", workers=workers, on_report=on_report
        )


def run_name(run: PretrainRun, folder: Path) -> str:
    """Of the training, whose checkpoints are in a folder of that name."""
    return "pretrain-" + digest([run.fixed(), folder.name])


def _loop(settings: dict, report: Report, resume: dict | None, world: World) -> None:
    setup_worker_logging()
    config = MaskedLmConfig(**settings["lm"])
    folder = remote.pull(Path(settings["corpus"]))
    corpus = open_corpus(folder, "train")
    if settings["held_out"]:
        held_out = read_corpus([Path(settings["held_out"])], settings["min_length"])
    else:
        held_out = open_corpus(folder, "held-out")

    def mine(epoch: int, index: int):  # noqa: ANN202
        return steps(corpus, config, epoch, index, world.rank, world.size)

    if resume and world.rank == 0:
        log.info("pre-training goes on at step %d of %d", resume["position"]["step"], config.steps)
    fit(config, mine, validation_batches(held_out, config), report, resume, world)


def write_results(
    run: PretrainRun, job_plan: plan.Plan, corpus: Path, summary: dict, state: dict, tracker: Tracker, run_id: str
) -> dict:
    """Write model, scores and curve, and remove the checkpoints."""
    folder = run.out / "model"
    save_model(run.lm, state["model"], folder)
    remote.push(folder)
    history = state["position"]["history"]
    for point in history:  # what a dead driver may have missed; steps that are there stay as they are
        track_point(tracker, run_id, point)
    scores = score_maps(run, job_plan, corpus, folder, summary["amino_acids"])
    for name, values in scores.items():
        log.info("maps of %s: %s", name, ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
        tracker.log(run_id, {f"maps/{name}/{key}": value for key, value in values.items()}, step=run.lm.steps)
    draw_curve(history, next(iter(scores.values()))["frequency_perplexity"], run.out / "curve.png")
    tracker.artifact(run_id, run.out / "curve.png")
    tracker.artifact(run_id, folder, "model")
    facts = {
        "lm": asdict(run.lm),
        "files": [path.name for path in (*run.fasta, *run.held_out)],
        "corpus": {name: summary[name] for name in ("sequences", "residues", "left_out")},
        "metrics": finite(history[-1]),
        "maps": scores,
    }
    remote.push(run.out)  # all that the next file says is finished
    write_json(folder / "pretraining.json", facts)
    remote.remove(run.out / "cache" / run_name(run, corpus))
    return facts | {"mlflow_ui": tracker.ui()}


def save_model(config: MaskedLmConfig, weights: dict, folder: Path) -> None:
    """Write model and tokenizer, so that ``AutoModelForMaskedLM.from_pretrained(folder)`` reads them."""
    model = build_model(config)
    model.load_state_dict(weights)
    for weight in model.parameters():  # float16 on disk, read back in float32; buffers (rotary rates) stay exact
        weight.data = weight.data.half()
    model.save_pretrained(folder)
    save_tokenizer(folder)


def score_maps(run: PretrainRun, job_plan: plan.Plan, corpus: Path, model: Path, counts: list[int]) -> dict:
    """Name of a held-out set -> how well maps of one mask per position tell its residues; one Ray task for each."""
    stage = job_plan["pre-training"]
    task = ray.remote(num_cpus=1, num_gpus=stage.gpus_per_worker, label_selector=stage.labels)(_score)
    threads, on_gpu = job_plan.threads("pre-training"), stage.gpus_per_worker > 0
    sets = {path.stem: str(path.resolve()) for path in run.held_out} or {"held-out": None}
    results = {
        name: task.remote(
            str(model.resolve()), path or str(corpus), path is None, run.min_length, counts, threads, on_gpu
        )
        for name, path in sets.items()
    }
    return {name: ray.get(result) for name, result in results.items()}


def _score(model: str, source: str, encoded: bool, min_length: int, counts: list[int], threads: int, gpu: bool) -> dict:
    import torch

    torch.set_num_threads(threads)
    if encoded:
        proteins = _sample(open_corpus(remote.pull(Path(source)), "held-out"))
    else:
        held_out = read_corpus([Path(source)], min_length)
        proteins = [held_out.codes(m) for m in range(len(held_out))]
    lm = load(str(remote.pull(Path(model))), device="cuda" if gpu else "cpu")
    reading = Reading("bfloat16" if has_bf16() else "float32")
    return asdict(map_quality(lm, proteins, reading)) | frequency_quality(proteins, np.array(counts[:N_AA]))


def _sample(corpus: Corpus) -> list[np.ndarray]:
    """Some proteins, by the hashes of their ids, cut to a length that maps can be computed of."""
    rows = np.argsort(corpus.ids(), kind="stable")[:SCORED_PROTEINS]
    return [corpus.codes(m)[:SCORED_LENGTH] for m in rows]


def frequency_quality(proteins: list[np.ndarray], counts_A: np.ndarray) -> dict[str, float]:
    """The same scores for a guess that knows only how frequent each amino acid is in the training sequences."""
    codes = np.concatenate(proteins)
    codes = codes[codes < N_AA]
    prob_A = (counts_A + 1) / (counts_A.sum() + N_AA)
    perplexity = math.exp(-np.log(prob_A[codes]).mean())
    return {"frequency_perplexity": perplexity, "frequency_top1": float((codes == prob_A.argmax()).mean())}


def draw_curve(history: list[dict], baseline: float, path: Path) -> None:
    from protray.plots.language_model.pretraining import pretraining_figure  # matplotlib is slow to import

    pretraining_figure(history, baseline).savefig(path, dpi=150)


def tracked(run: PretrainRun) -> AbstractContextManager[tuple[Tracker, str]]:
    """MLflow with the run of this job."""
    return Tracker.job(
        run.mlflow,
        run.experiment,
        run.out,
        key="pretrain-" + digest(run.fixed()),
        name=f"pretrain {run.lm.size}",
        params=run.fixed(),
        tags=run_info.common_tags(run.lm.seed, run.corpus_digest(), run.workers),
    )
