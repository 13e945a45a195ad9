"""Settings of a score-network training.  Light: `--help` needs no torch and no Ray."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from protray.cluster.storage.addresses import named
from protray.evaluation.denoising import DenoisingConfig
from protray.models.score_config import ScoreNetConfig
from protray.pipelines.secondary.distil_run import check_elastic, data_digest
from protray.training.structure.score_steps import ScoreFitConfig

# Guo et al., AAAI 2022, section 4; noise, crop, batch and positional encoding are ours, too
PAPER_NET = ScoreNetConfig(blocks=32, channels=64, bottleneck=32, distances=0)
PAPER_FIT = ScoreFitConfig(epochs=50, learning_rate=1e-4, warmup=0, constant=True, ema=0.0, split=0.0)

Model = Literal["small", "paper"]


@dataclass(frozen=True, kw_only=True)
class ScoreRun:
    """What to train on, and where to write."""

    data: Path | None = None
    """Folder written by jobs/prepare_structures.py; default: the bundled sample of real PDB chains."""
    out: Path = Path("runs/score_net")
    """Where everything is written and kept: s3:// or gs:// address, or folder; on several nodes one that all share."""
    model: Model = "small"
    """small: minutes on two CPU cores.  paper: 32 blocks, Adam 1e-4, 50 epochs.  Chooses the defaults below."""
    workers: int = 1
    """Ray Train workers (DDP); the steps are the same for any number."""
    min_workers: int | None = None
    """Elastic: go on with so few when nodes are lost, and with up to `workers` again when there are more."""
    gpus_per_worker: float | None = None
    """Default: 1 where the cluster has GPUs."""
    net: ScoreNetConfig = field(default_factory=ScoreNetConfig)
    fit: ScoreFitConfig = field(default_factory=ScoreFitConfig)
    denoising: DenoisingConfig = field(default_factory=DenoisingConfig)
    mlflow: str | None = None
    """Tracking URI; default MLFLOW_TRACKING_URI, else a SQLite file in `out`."""
    experiment: str = "protray-score-net"
    plan: bool = False
    """Print stages, resources, estimated rows/s and hours, and stop; nothing is written."""

    def check(self) -> None:
        """Raise ValueError for settings that cannot go together."""
        check_elastic(self.workers, self.min_workers)
        self.fit.check_workers(self.workers)

    def fixed(self) -> dict:
        """The settings that a folder keeps: with others, its curve would be a mixture."""
        return {
            "data": named(self.data.resolve()) if self.data else None,
            "digest of the data": data_digest(self.data),
            **{f"net.{name}": value for name, value in _flat(self.net).items()},
            **{f"fit.{name}": value for name, value in _flat(self.fit).items()},
        }


def preset(model: Model) -> ScoreRun:
    """The settings of a model, from which single ones may then depart."""
    return ScoreRun(model=model, net=PAPER_NET, fit=PAPER_FIT) if model == "paper" else ScoreRun()


def _flat(settings: ScoreNetConfig | ScoreFitConfig) -> dict:
    """As JSON gives it back, one level deep."""
    found = {}
    for name, value in asdict(settings).items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": entry for key, entry in value.items()}
        else:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found
