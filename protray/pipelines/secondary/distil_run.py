"""Settings of a distillation run, and the folder that belongs to them.  Light: `--help` needs no torch and no Ray."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from protray.cluster.storage.addresses import named
from protray.cluster.storage.files import read_json, write_json
from protray.losses.weights import TUNED, DistilWeights
from protray.plm.shipped import SHIPPED, absolute
from protray.seq.pseudo_msa import Drawing
from protray.seq.pssm import Background

if TYPE_CHECKING:
    from protray.cluster.tuning.sweep_run import SweepRun
    from protray.data.features import FeatureConfig
    from protray.pipelines.language_model.pretrain_run import PretrainRun
    from protray.pipelines.structure.score_net_run import ScoreRun
    from protray.training.secondary.stages import Networks, Stage


@dataclass(frozen=True, kw_only=True)
class DistilRun:
    """Settings of a run; `ablate`, `workers` and what follows them may change between runs in one folder."""

    data: Path | None = None
    """Folder written by jobs/prepare.py.  Without it: the bundled sample of 1,000 PDB chains."""
    out: Path = Path("runs/distil")
    """Where everything is written and kept: s3:// or gs:// address, or folder; on several nodes one that all share."""
    model: Literal["small", "paper"] = "small"
    """Width: `small` for CPUs; `paper` for 400 units, 300 filters, dropout 0.75, Adam 0.01, 300 epochs."""
    train_on: Literal["deep", "all"] | None = None
    """Proteins to distil on: `deep` is the paper's, `all` adds shallow ones by their labels.  By model if not given."""
    lm: str = SHIPPED
    """Masked protein language model: a Hugging Face name or folder, or the small one in the package."""
    lm_features: Literal["hidden", "none"] = "none"
    """Whether its hidden state goes beside X_b, and both to the student; `none` is the paper's."""
    background: Background = "smoothed"
    """B of every PSSM; `paper` scores an amino acid that never occurs +12.8."""
    drawing: Drawing = "multinomial"
    """How 2,000 pseudo-sequences are drawn; `expected` leaves their sampling noise out."""
    weights: DistilWeights = TUNED
    epochs: int | None = None
    """Of every training; by model if not given."""
    seed: int = 0
    ablate: tuple[Literal["bert", "cl", "mse"], ...] = ()
    """Trainings without X_b (bert), without the triplet loss (cl), without the PSSM loss (mse)."""
    workers: int = 1
    """Ray Train workers (DDP); the result is the same for any number, up to float noise."""
    min_workers: int | None = None
    """Elastic: go on with so few when nodes are lost, and with up to `workers` again when there are more."""
    gpus_per_worker: float | None = None
    """Default: 1 where the cluster has GPUs."""
    mlflow: str | None = None
    """Tracking URI; default MLFLOW_TRACKING_URI, else a SQLite file in `out`."""
    experiment: str = "protray-distil"
    plan: bool = False
    """Print stages, resources, estimated rows/s and hours, and stop; nothing is written."""

    @property
    def networks(self) -> "Networks":
        from protray.training.secondary.stages import PAPER, SMALL

        networks = {"small": SMALL, "paper": PAPER}[self.model]
        fit = replace(networks.fit, seed=self.seed, **({} if self.epochs is None else {"epochs": self.epochs}))
        return replace(networks, fit=fit)

    @property
    def features(self) -> "FeatureConfig":
        from protray.data.features import FeatureConfig

        return FeatureConfig(
            background=self.background,
            drawing=self.drawing,
            lm_hidden=self.lm_features == "hidden",
            kept_deep={"small": 0.3, "paper": 0.0}[self.model],
            seed=self.seed,
        )

    @property
    def distil_on(self) -> Literal["deep", "all"]:
        """Which proteins F_e and F_s learn from."""
        return self.train_on or ("all" if self.model == "small" else "deep")

    @property
    def objective(self) -> DistilWeights:
        """The weights: with `--model paper` the paper's, but for those that were given another value than ours."""
        if self.model == "small":
            return self.weights
        given = {name: value for name, value in asdict(self.weights).items() if value != getattr(TUNED, name)}
        return DistilWeights(**given)

    def stages(self, lm_channels: int) -> "list[Stage]":
        from protray.training.secondary.stages import plan_stages

        channels = lm_channels if self.features.lm_hidden else 0
        return plan_stages(self.networks, self.objective, self.distil_on, channels, self.ablate)

    def fixed(self) -> dict:
        """The settings that a folder keeps, as they take effect: with others, its numbers would be a mixture."""
        return {
            "data": named(self.data.resolve()) if self.data else None,
            "model": self.model,
            "train_on": self.distil_on,
            "lm": absolute(self.lm),
            "lm_features": self.lm_features,
            "background": self.background,
            "drawing": self.drawing,
            "weights": asdict(self.objective),
            "epochs": self.networks.fit.epochs,
            "seed": self.seed,
        }


def check_elastic(workers: int, least: int | None) -> None:
    """Raise ValueError for numbers of workers that cannot be."""
    if workers < 1:
        raise ValueError(f"--workers must be at least 1, got {workers}")
    if least is not None and not 1 <= least <= workers:
        raise ValueError(f"--min-workers must lie between 1 and --workers = {workers}, got {least}")


def check_same_settings(run: "DistilRun | PretrainRun | ScoreRun | SweepRun") -> None:
    """A folder belongs to one set of settings; writes them down, or raises ValueError naming the first that differs."""
    if not belongs(run):
        run.out.mkdir(parents=True, exist_ok=True)
        write_json(run.out / "run.json", run.fixed())


def belongs(run: "DistilRun | PretrainRun | ScoreRun | SweepRun") -> bool:
    """Whether the folder belongs to these settings already; ValueError if to others."""
    path = run.out / "run.json"
    if not path.is_file():
        return False
    stored, asked = read_json(path), run.fixed()
    other = [name for name in asked if name not in stored and asked[name] is not None]
    if other:
        raise ValueError(
            f"{run.out} belongs to another job, which has no {other[0]!r}; choose another --out, or delete that folder"
        )
    for name in asked:
        if stored.get(name) != asked[name]:
            raise ValueError(
                f"{run.out} holds a run with {name} = {stored.get(name)!r}, now {name} = {asked[name]!r}; "
                "choose another --out, or delete that folder"
            )
    return True


def stored_metrics(run: DistilRun, inputs: dict) -> dict | None:
    """``metrics.json``, if it was made from these inputs."""
    path = run.out / "metrics.json"
    if not path.is_file():
        return None
    metrics = read_json(path)
    same = metrics["inputs"] == json.loads(json.dumps(inputs))
    return metrics if same and (run.out / "report.html").is_file() else None


def data_digest(data: Path | None) -> str:
    """What identifies the proteins: the digest that jobs/prepare.py wrote, or the hash of the sample."""
    if data is None:
        from protray.data.sample import SAMPLE

        return hashlib.sha256(SAMPLE.read_bytes()).hexdigest()[:16]
    path = data / "dataset.json"
    if not path.is_file():
        raise ValueError(
            f"{data}: no dataset.json in it; make it with jobs/prepare.py, of structures with"
            f" jobs/prepare_structures.py, which write that file last"
        )
    return json.loads(path.read_text())["digest"]


def digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]
