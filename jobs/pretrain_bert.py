"""Pre-train a masked protein language model on FASTA files.

python jobs/pretrain_bert.py --fasta swissprot.fasta.xz --held-out chains.fasta --out runs/bert
ray job submit --working-dir . -- python jobs/pretrain_bert.py --fasta DIR --held-out chains.fasta --workers 8
"""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from protray.training.masked_lm import MaskedLmConfig


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    fasta: tuple[Path, ...]
    """FASTA files or folders of them (plain, .gz, .xz, .bz2)."""
    held_out: Path
    """FASTA of proteins to report the validation perplexity on."""
    exclude: Path | None = None
    """Text file with ids to leave out of training, such as relatives of the held-out proteins."""
    out: Path = Path("runs/bert")
    workers: int = 1
    threads: int = 2
    """Of each worker."""
    lm: MaskedLmConfig = field(default_factory=MaskedLmConfig)


def main() -> None:
    run = tyro.cli(Pretrain, description=__doc__)
    from protray.cluster.pretrain import pretrain
    from protray.cluster.trainer import Workers

    workers = Workers(count=run.workers, threads=run.threads)
    folder = pretrain(run.lm, list(run.fasta), run.held_out, run.exclude, run.out, workers, print)
    print(f"saved {folder}")


if __name__ == "__main__":
    main()
