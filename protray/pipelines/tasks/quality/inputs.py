"""The settings of a quality run, and what its trainings and its end are given.  Light: `--help` needs no torch."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from protray.cluster.train.job import TrainingSettings
from protray.data.location import Location
from protray.evaluation.tasks.properties.read_outs import TUNED
from protray.models.joint.ssdm_config import EncoderKind
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.pipelines.tasks.embedding import Embedding, by_name, models_of, random_by_name
from protray.pipelines.tasks.quality.decoys import DecoySettings, digest_of, targets_of
from protray.plm.hub.folder import check_present
from protray.plm.shipped import NO_LM, SHIPPED, absolute, fingerprint
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.quality.steps import QualityFitConfig

if TYPE_CHECKING:
    from protray.training.tasks.quality.fit import Opened

PLAIN, WITH_LM = "GraphQA", "GraphQA + language model"

# Baldassarre et al., Bioinformatics 2021; the released code's widths, dropout, learning rate and epochs
PAPER_NET = GraphQaConfig(edges=(144, 16), nodes=(256, 64), whole=(512, 32), dropout=0.2, norm=False, linear=False)
PAPER_FIT = QualityFitConfig(epochs=1000, batch=16, learning_rate=5e-3, constant=True, validate_every=50)


@dataclass(frozen=True, kw_only=True)
class QualityRun(TrainingSettings):
    """What to train on, with which embeddings, and where to write."""

    data: Location | None = None
    """A folder with one folder for each target: native.pdb (or .cif, .gz) and its decoys; and maybe scores.csv (target,
    decoy, and any of tm, gdt_ts, gdt_ha, lddt, cad, split) and residues.csv (target, decoy, residue, lddt, cad).
    Default: decoys that are derived from natives of the bundled sample; they are no predictions of any program."""
    out: Location = Location("runs/quality")
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    model: tuple[Location, ...] | None = None
    """Folders `model` of finished jobs/score_net.py or jobs/ssdm.py runs: for each of them a network with its
    embeddings is trained, too.  Several are told apart by the names of their runs' folders.  Default: the joint encoder
    in the package; `--model` with nothing behind it is none."""
    noise: float = 1.0
    """Å: a score net is told its noise level nearest to this."""
    lm: str = SHIPPED
    """Language model for a network with embeddings of sequences: a Hugging Face name, a folder, or `none`."""
    fine_tune: bool = False
    """Train each joint encoder of --model on, together with a linear head on a model's vector, for GDT_TS (PSR)."""
    random: tuple[EncoderKind, ...] = ()
    """With --fine-tune, encoders with random weights that are trained, too: frame attention (ours), GVP, CDConv."""
    fine: FineTuneConfig = field(default_factory=FineTuneConfig)
    decoys: DecoySettings = field(default_factory=DecoySettings)
    net: GraphQaConfig = field(default_factory=GraphQaConfig)
    fit: QualityFitConfig = field(default_factory=QualityFitConfig)

    def check(self) -> None:
        super().check()
        self.fit.check_workers(self.workers)
        embeddings = self.embeddings
        if self.random and not self.fine_tune:
            raise ValueError(f"--random goes with --fine-tune, got {', '.join(self.random)} without it")
        if self.fine_tune:
            self.fine.check_workers(self.workers)
            if not any(one.is_joint for one in embeddings.values()):
                raise ValueError("--fine-tune trains joint encoders: give one of jobs/ssdm.py to --model, or --random")

    @property
    def embeddings(self) -> dict[str, Embedding]:
        """The models of structures, and encoders with random weights, by their names."""
        models = models_of(self.model, lambda: True)
        return by_name(models, self.noise) | random_by_name(self.random, self.fine.seed)

    @property
    def nets(self) -> dict[str, Location]:
        """The same by the names of their networks' rows.

        >>> list(QualityRun(model=(Location("runs/few/model"), Location("runs/all/model"))).nets)
        ['GraphQA + score net few', 'GraphQA + score net all']
        """
        return {f"{PLAIN} + {name}": one.model for name, one in self.embeddings.items() if one.model}

    @property
    def tuned(self) -> dict[str, str]:
        """Rows of encoders that are trained on, and which embeddings those were before."""
        return {f"{net}, {TUNED}": net for net, one in self.embeddings.items() if self.fine_tune and one.is_joint}

    @property
    def rows(self) -> list[str]:
        """The networks that are trained."""
        return [PLAIN] + [WITH_LM] * (self.lm != NO_LM) + list(self.nets)


def identity(run: QualityRun) -> dict:
    if run.lm != NO_LM:
        check_present(run.lm)
    of_nets = {name: one.identity() for name, one in run.embeddings.items()}
    targets_of(run.data, run.decoys)
    more = {"fine": run.fine.identity()} if run.fine_tune else {}
    return more | {
        "data": data_digest(run), "decoys": asdict(run.decoys), "net": asdict(run.net), "fit": asdict(run.fit),
        "lm": run.lm if run.lm == NO_LM else fingerprint(run.lm), "model": of_nets,
    }  # fmt: skip


def data_digest(run: QualityRun) -> str:
    return digest_of(run.data)


def settings(run: QualityRun, inputs: Location) -> dict:
    return {
        "decoys": inputs, "net": run.net, "fit": run.fit, "rows": run.rows, "nets": run.nets, "noise": run.noise,
        "lm": absolute(run.lm),
    }  # fmt: skip


def opener(name: str, settings: dict, device: str) -> "Opened":
    """The embeddings of a network, and how wide they are."""
    from protray.data.decoys.graphs import Widths, no_extras

    if name == PLAIN:
        return Widths(), no_extras
    if name == WITH_LM:
        from protray.inference.embeddings.decoys import LanguageModelEmbeddings
        from protray.inference.embeddings.residues import LanguageModel

        found = LanguageModelEmbeddings(LanguageModel.open(settings["lm"], device))
    else:
        from protray.inference.embeddings.decoys import open_decoy_embeddings

        found = open_decoy_embeddings(settings["nets"][name], settings["noise"], device)
    return found.widths, found
