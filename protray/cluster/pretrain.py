"""Pre-training of the language model with Ray Train."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from protray.cluster.distil_run import digest
from protray.cluster.trainer import Report, Workers, train
from protray.plm.corpus import read_corpus
from protray.plm.masked import MapQuality, load, map_quality
from protray.plm.masking import batches
from protray.plm.tokens import save_tokenizer
from protray.training.masked_lm import MaskedLmConfig, build_model, fit
from protray.training.world import World

log = logging.getLogger(__name__)


def pretrain(
    config: MaskedLmConfig,
    fasta: list[Path],
    held_out: list[Path],
    exclude: Path | None,
    out: Path,
    workers: Workers,
    on_report: Callable[[dict], None],
) -> Path:
    """Train a masked language model, save it with its tokenizer as ``out/model``, and score its maps on `held_out`.

    The first held-out file also gives the validation perplexity during training.
    """
    settings = {
        "lm": asdict(config),
        "fasta": [str(path.resolve()) for path in fasta],
        "held_out": str(held_out[0].resolve()),
        "exclude": str(exclude.resolve()) if exclude else None,
    }
    state = train(
        _loop, settings, name=f"pretrain-{digest(settings)}", storage=out, workers=workers, on_report=on_report
    )
    model = build_model(config)
    model.load_state_dict(state["model"])
    folder = out / "model"
    for weight in model.parameters():  # float16 on disk, read back in float32; buffers (rotary rates) stay exact
        weight.data = weight.data.half()
    model.save_pretrained(folder)
    save_tokenizer(folder)
    quality = {path.stem: asdict(_quality(folder, path)) for path in held_out}
    facts = {"lm": settings["lm"], "metrics": state["metrics"], "maps": quality}
    (folder / "pretraining.json").write_text(json.dumps(facts, indent=1))
    for name, scores in quality.items():
        log.info("maps of %s: %s", name, ", ".join(f"{key} {value:.4g}" for key, value in scores.items()))
    return folder


def _quality(folder: Path, fasta: Path) -> MapQuality:
    corpus = read_corpus([fasta])
    pairs = zip(corpus.starts_M[:-1], corpus.starts_M[1:], strict=True)
    return map_quality(load(str(folder)), (corpus.codes_R[start:stop] for start, stop in pairs))


def _loop(settings: dict, report: Report, resume: dict | None, world: World) -> None:
    config = MaskedLmConfig(**settings["lm"])
    excluded = frozenset(Path(settings["exclude"]).read_text().split()) if settings["exclude"] else frozenset()
    corpus = read_corpus([Path(path) for path in settings["fasta"]], excluded)
    held_out = read_corpus([Path(settings["held_out"])])
    log.info("%d sequences, %.1f M residues", len(corpus), corpus.codes_R.size / 1e6)
    validation = [next(batches(held_out, seed=0, per_step=len(held_out), crop=config.crop))]

    def mine(start: int):  # noqa: ANN202
        return batches(
            corpus, seed=config.seed, per_step=config.per_step, crop=config.crop, start=start,
            rank=world.rank, world=world.size,
        )  # fmt: skip

    def report_with_metrics(metrics: dict[str, float], state: dict) -> None:
        report(metrics, state | {"metrics": metrics})

    fit(config, mine, validation, report_with_metrics, resume, world)
