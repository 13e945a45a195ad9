"""Pre-train a masked protein language model on FASTA files.

    python jobs/pretrain_bert.py --fasta swissprot.fasta.xz --held-out chains.fasta --out runs/bert
    ray job submit --working-dir . -- python jobs/pretrain_bert.py --fasta DIR --held-out chains.fasta --workers 8

The model, `OUT/model`, is one of Hugging Face Transformers: any tool that takes ESM takes it.  A stopped run continues.
"""

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from protray.training.masked_lm import MaskedLmConfig


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    fasta: tuple[Path, ...]
    """FASTA files or folders of them (plain, .gz, .xz, .bz2)."""
    held_out: tuple[Path, ...]
    """FASTA files of proteins to score the maps on; the first is also the validation set."""
    exclude: Path | None = None
    """Text file with ids to leave out of training, such as relatives of the held-out proteins."""
    out: Path = Path("runs/bert")
    workers: int = 1
    gpus_per_worker: float = 0.0
    threads: int = 2
    """Of each worker, on CPUs."""
    lm: MaskedLmConfig = field(default_factory=MaskedLmConfig)


def main() -> None:
    run = tyro.cli(Pretrain, description=__doc__)
    from protray.cluster.start import prepare_environment, setup_logging, start_ray, stop_ray

    setup_logging()
    prepare_environment()
    from protray.cluster import plan
    from protray.cluster.pretrain import pretrain
    from protray.cluster.progress import Progress
    from protray.cluster.trainer import Workers

    log = logging.getLogger("jobs.pretrain_bert")
    workers = Workers(count=run.workers, gpus=run.gpus_per_worker, threads=run.threads)
    cluster = start_ray()
    try:
        stage = plan.Stage(name="pre-training", kind="train", workers=run.workers, gpus_per_worker=run.gpus_per_worker)
        log.info("%s", plan.describe(plan.make_plan([stage], cluster.resources, cluster.nodes)))
        with Progress("pre-training") as progress:

            def on_report(metrics: dict) -> None:
                progress(metrics["step"], run.lm.steps)
                log.info("%s", ", ".join(f"{name} {value:.5g}" for name, value in metrics.items()))

            folder = pretrain(run.lm, list(run.fasta), list(run.held_out), run.exclude, run.out, workers, on_report)
    except ValueError as error:
        sys.exit(f"error: {error}")
    finally:
        stop_ray(cluster)
    print(f"saved {folder}")


if __name__ == "__main__":
    main()
