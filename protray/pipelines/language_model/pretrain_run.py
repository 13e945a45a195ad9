"""Settings of a pre-training run.  Light: `--help` needs no torch and no Ray."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from protray.cluster.storage.files import state_of
from protray.pipelines.secondary.distil_run import check_elastic
from protray.plm.pretraining import MaskedLmConfig


@dataclass(frozen=True, kw_only=True)
class PretrainRun:
    """What to read, and where to write; give `held_out` or `clusters`, so that there is something to validate on."""

    fasta: tuple[Path, ...]
    """FASTA files or folders of them (plain, .gz, .xz, .bz2)."""
    held_out: tuple[Path, ...] = ()
    """FASTA files of proteins to score the maps on; the first is also the validation set.  Their ids never train."""
    clusters: Path | None = None
    """Without --held-out: table `representative<TAB>member` of MMseqs2; some clusters of it are the validation set."""
    held_out_share: float = 0.01
    """Share of --clusters that is held out."""
    exclude: Path | None = None
    """Text file with ids to leave out of training, such as relatives of the held-out proteins."""
    min_length: int = 30
    """Residues; shorter sequences are left out."""
    out: Path = Path("runs/bert")
    """Where everything is written and kept: s3:// or gs:// address, or folder; on several nodes one that all share."""
    workers: int = 1
    """Ray Train workers (DDP); the steps are the same for any number."""
    min_workers: int | None = None
    """Elastic: go on with so few when nodes are lost, and with up to `workers` again when there are more."""
    gpus_per_worker: float | None = None
    """Default: 1 where the cluster has GPUs."""
    lm: MaskedLmConfig = field(default_factory=MaskedLmConfig)
    mlflow: str | None = None
    """Tracking URI; default MLFLOW_TRACKING_URI, else a SQLite file in `out`."""
    experiment: str = "protray-pretrain"
    plan: bool = False
    """Print stages, resources, estimated rows/s and hours, and stop; nothing is written."""

    def check(self) -> None:
        """Raise ValueError for settings that cannot go together, or files that are not there."""
        if bool(self.held_out) == bool(self.clusters):
            raise ValueError(
                "validation needs proteins that never train: give exactly one of --held-out FILE.fasta and "
                "--clusters TABLE, the representative<TAB>member table of `mmseqs easy-linclust`"
            )
        for path in (*self.fasta, *self.held_out, *filter(None, (self.clusters, self.exclude))):
            if not path.exists():
                raise ValueError(f"{path}: no such file or folder")
        names = [path.stem for path in self.held_out]
        if len(set(names)) < len(names):
            raise ValueError(f"scores are named after the --held-out files, but two of {names} are the same")
        if not 0 < self.held_out_share < 1:
            raise ValueError(f"--held-out-share must lie between 0 and 1, got {self.held_out_share}")
        check_elastic(self.workers, self.min_workers)
        self.lm.check_workers(self.workers)

    def corpus_digest(self) -> str:
        """Hash of all that the encoded corpus depends on, with name, size and time of every file."""
        from protray.seq.fasta import fasta_files

        seed = self.lm.seed if self.clusters else None  # which clusters are held out
        singles = [path for path in (self.clusters, self.exclude) if path]
        groups = fasta_files(self.fasta), fasta_files(self.held_out) if self.held_out else [], singles
        states = [state_of(path.resolve() for path in group) for group in groups]
        return hashlib.sha256(repr((self.min_length, self.held_out_share, seed, states)).encode()).hexdigest()[:12]

    def fixed(self) -> dict:
        """The settings that a folder keeps: with others, its curve would be a mixture."""
        free = ("checkpoint_every",)
        return {
            "fasta": [str(path.resolve()) for path in self.fasta],
            "held_out": [str(path.resolve()) for path in self.held_out],
            "clusters": str(self.clusters.resolve()) if self.clusters else None,
            "held_out_share": self.held_out_share if self.clusters else None,
            "exclude": str(self.exclude.resolve()) if self.exclude else None,
            "min_length": self.min_length,
            "state of the input files": self.corpus_digest(),
            **{f"lm.{name}": value for name, value in asdict(self.lm).items() if name not in free},
        }

    def finished(self) -> dict | None:
        """What a finished run has written."""
        path = self.out / "model" / "pretraining.json"
        return json.loads(path.read_text()) if path.is_file() else None
