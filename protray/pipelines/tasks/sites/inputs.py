"""The settings of a run on interaction sites, and what its trainings are given.  Light: `--help` needs no torch."""

from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from protray.cluster.train.job import TrainingSettings
from protray.data.location import Location
from protray.models.tasks.site_config import SiteNetConfig
from protray.pipelines.tasks.embedding import Embedding, by_name, models_of
from protray.pipelines.tasks.sites.data import digest_of, has_structures
from protray.plm.shipped import NO_LM, SHIPPED
from protray.training.tasks.sites.steps import SiteFitConfig

if TYPE_CHECKING:
    from protray.data.sites.table import SiteProtein

PLAIN, WITH_LM = "DeepPPISP", "DeepPPISP + language model"
# Zeng et al., Bioinformatics 2020: widths of the released network, and its learning rate
PAPER_NET = SiteNetConfig(hidden=(1024, 256), dropout=0.0, embedded=0, embedding_dropout=0.0, faithful=True)
PAPER_FIT = SiteFitConfig(epochs=10, weight_decay=0.0)


@dataclass(frozen=True, kw_only=True)
class SitesRun(TrainingSettings):
    """What to train on, with which embeddings, and where to write."""

    data: Location | None = None
    """PDB or mmCIF files with several protein chains (a folder, an archive, a list): a residue is a site where its
    accessible area drops by more than 1 Å^2 on binding.  Or a file of >id, sequence, 0-1 string (.3line, .txt, .fasta).
    Or a .parquet table with id, sequence, label, and maybe pssm, dssp, backbone_cA, ca_distance_dA, cluster, split.
    Default: 277 chains of PDB complexes in the package."""
    out: Location = Location("runs/sites")
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    model: tuple[Location, ...] | None = None
    """Folders `model` of finished jobs/score_net.py or jobs/ssdm.py runs: for each of them networks with its embeddings
    are trained, too.  Several are told apart by the names of their runs' folders.  Default: the joint encoder in the
    package, where there are structures; `--model` with nothing behind it is none."""
    noise: float = 1.0
    """Å: the score net is told its noise level nearest to this."""
    lm: str = SHIPPED
    """Language model for networks with embeddings of sequences: a Hugging Face name, a folder, or `none`."""
    seeds: int = 5
    """Trainings of each row, with seeds that follow each other: the table has their mean and spread."""
    validation: int = 50
    """Training proteins that become the validation split, where the data has splits, but none of validation."""
    net: SiteNetConfig = field(default_factory=SiteNetConfig)
    fit: SiteFitConfig = field(default_factory=SiteFitConfig)

    def check(self) -> None:
        super().check()
        self.fit.check_workers(self.workers)
        if self.seeds < 1 or self.validation < 1:
            raise ValueError(f"--seeds and --validation must be at least 1, got {self.seeds} and {self.validation}")

    @property
    def embeddings(self) -> dict[str, Embedding | None]:
        """The rows of the table that are trained, and what embeds proteins for each."""
        found: dict[str, Embedding | None] = {PLAIN: None}
        if self.lm != NO_LM:
            found[WITH_LM] = Embedding(lm=self.lm)
        models = models_of(self.model, lambda: has_structures(self.data))
        return found | {f"{PLAIN} + {name}": one for name, one in by_name(models, self.noise).items()}

    @property
    def trainings(self) -> dict[str, tuple[str, int]]:
        """Row and seed of each training."""
        seeds = range(self.fit.seed, self.fit.seed + self.seeds)
        return {f"{row}, seed {seed}": (row, seed) for row in self.embeddings for seed in seeds}


@dataclass(frozen=True)
class SiteData:
    """What `prepare` leaves: tables of proteins, and the folder of the embeddings of each row that has them."""

    proteins: list[Location]
    embeddings: dict[str, Location]


def identity(run: SitesRun) -> dict:
    by = {row: one.identity() if one else None for row, one in run.embeddings.items()}
    return {
        "data": digest_of(run.data), "net": asdict(run.net), "fit": asdict(run.fit), "seeds": run.seeds,
        "validation": run.validation, "embeddings": by,
    }  # fmt: skip


def read_split(data: SiteData, row: str, split: str) -> "list[SiteProtein]":
    """The proteins of a split, with the embeddings of a row; those that have none stay without."""
    return _read(tuple(data.proteins), data.embeddings.get(row), split)


@lru_cache(maxsize=2)
def _read(proteins: tuple[Location, ...], embeddings: Location | None, split: str) -> "list[SiteProtein]":
    """Once for all trainings of a row."""
    from protray.data.embeddings import read_embeddings
    from protray.data.sites.table import read_sites

    found = read_sites(proteins, split)
    if embeddings is None:
        return found
    wanted = {protein.id for protein in found}
    known = {id: values.astype("float16") for id, _, values in read_embeddings(embeddings) if id in wanted}
    return [replace(one, residue_LC=known[one.id]) if one.id in known else one for one in found]
