"""Pre-training of the language model with Ray Train."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from protray.cluster.trainer import Report, Workers, train
from protray.plm.corpus import read_corpus
from protray.plm.masking import batches
from protray.plm.tokens import save_tokenizer
from protray.training.masked_lm import MaskedLmConfig, build_model, fit
from protray.training.world import World

log = logging.getLogger(__name__)


def pretrain(
    config: MaskedLmConfig,
    fasta: list[Path],
    held_out: Path,
    exclude: Path | None,
    out: Path,
    workers: Workers,
    on_report: Callable[[dict], None],
) -> Path:
    """Train a masked language model and save it, with its tokenizer, as ``out/model``."""
    settings = {
        "lm": asdict(config),
        "fasta": [str(path.resolve()) for path in fasta],
        "held_out": str(held_out.resolve()),
        "exclude": str(exclude.resolve()) if exclude else None,
    }
    state = train(_loop, settings, name="pretrain", storage=out, workers=workers, on_report=on_report)
    model = build_model(config)
    model.load_state_dict(state["model"])
    folder = out / "model"
    for weight in model.parameters():  # float16 on disk, read back in float32; buffers (rotary rates) stay exact
        weight.data = weight.data.half()
    model.save_pretrained(folder)
    save_tokenizer(folder)
    (folder / "pretraining.json").write_text(json.dumps(settings | {"metrics": state["metrics"]}, indent=1))
    return folder


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
