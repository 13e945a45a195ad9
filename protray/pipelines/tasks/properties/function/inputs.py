"""The settings of a function run, and its proteins: read, labelled, embedded.  Light: `--help` needs no torch."""

import logging
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

from protray.cluster.storage.identity import content_digest, digest
from protray.data.location import Location
from protray.data.tasks.deepfri import is_deepfri
from protray.data.tasks.tables import rows_digest
from protray.models.tasks.head_config import Kind
from protray.pipelines.tasks.properties.heads import HeadInputs, HeadRun, head_identity
from protray.pipelines.tasks.properties.inputs import check_rejected, embed_rows, observed_table
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.data.tasks.function import Proteins
    from protray.data.tasks.obo import Ontology

log = logging.getLogger(__name__)

Task = Literal["ec", "go-bp", "go-mf", "go-cc", "cath"]
CathLevel = Literal["class", "architecture", "topology"]
ONTOLOGY = "--ontology is missing; download go-basic.obo from https://geneontology.org/docs/download-ontology"


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """Which labels are learnt."""

    least: int = 10
    """Training proteins that a label needs."""
    ancestors: bool = True
    """Add the classes above each EC number; GO terms always have their ancestors."""
    seed: int = 0
    """Of the split, where the data have none."""

    def __post_init__(self) -> None:
        if self.least < 1:
            raise ValueError(f"least must be at least 1, got {self.least}")


@dataclass(frozen=True, kw_only=True)
class CathSettings:
    """Which folds are learnt."""

    level: CathLevel = "topology"
    least: int = 8
    """Training clusters that a fold needs."""

    def __post_init__(self) -> None:
        if self.least < 1:
            raise ValueError(f"least must be at least 1, got {self.least}")


@dataclass(frozen=True, kw_only=True)
class FunctionRun(HeadRun):
    """Which functions to predict, of which proteins, and where to write."""

    task: Task = "ec"
    """EC numbers; the GO terms of biological processes, molecular functions or cellular components; or folds, which
    are CATH's (cath)."""
    data: Location | None = None
    """A table (CSV or Parquet: id, sequence, labels, or cath; optional structure, split, cluster), or a dataset of
    jobs/prepare_structures.py with --labels.  Default: chains of the package that have such labels."""
    labels: Location | None = None
    """A table of id and labels, or cath, for a dataset of jobs/prepare_structures.py; or a folder in DeepFRI's layout
    (EnzymeCommission, GeneOntology), whose splits are then used."""
    ontology: Location | None = None
    """go-basic.obo, for GO terms; not needed with a folder in DeepFRI's layout."""
    out: Location = Location("runs/function")
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    learn: LabelSettings = field(default_factory=LabelSettings)
    cath: CathSettings = field(default_factory=CathSettings)

    def check(self) -> None:
        if self.of_terms and not self.ontology and not is_deepfri(self.labels):
            raise ValueError(f"{ONTOLOGY}, and give it to --ontology")
        if self.labels and not (self.data and (self.data / "dataset.json").is_file()):
            raise ValueError(f"--labels goes with a dataset of jobs/prepare_structures.py in --data, got {self.data}; "
                             "a table has its own column labels")  # fmt: skip
        super().check()

    @property
    def kind(self) -> Kind:
        """What a linear read-out, and an encoder that is trained on, are of: heads take folds as labels, too."""
        return "class" if self.task == "cath" else "labels"

    @property
    def structured(self) -> bool:
        return any(row.observed for row in proteins_of(self)[0].rows)

    @property
    def of_terms(self) -> bool:
        """Whether labels are GO terms."""
        return self.task.startswith("go-")


@cache
def _ontology(path: Location) -> "Ontology":
    from protray.data.tasks.obo import read_obo

    return read_obo(path)


@cache
def _read(
    data: Location | None, labels: Location | None, task: Task, ontology: Location | None, learn: LabelSettings,
    cath: CathSettings,
) -> "tuple[Proteins, list[InputError]]":  # fmt: skip
    from protray.data.tasks.function import bundled_proteins, read_proteins, select

    rows, errors = read_proteins(data, labels, task) if data else (bundled_proteins(task), [])
    graph = _ontology(ontology) if ontology else None
    least = cath.least if task == "cath" else learn.least
    return select(rows, errors, task, graph, least, learn.ancestors, learn.seed, cath.level)


def data_digest(run: FunctionRun) -> str:
    """Of all proteins that are used, with their structures and labels."""
    proteins, _ = proteins_of(run)
    return digest([rows_digest(proteins.rows), proteins.splits, proteins.labels])


def proteins_of(run: FunctionRun) -> "tuple[Proteins, list[InputError]]":
    """Proteins with a label, and an error for each row that cannot be used."""
    return _read(run.data, run.labels, run.task, run.ontology if run.of_terms else None, run.learn, run.cath)


def identity(run: FunctionRun) -> dict:
    ontology = content_digest([run.ontology]) if run.of_terms and run.ontology else None
    learn = asdict(run.cath) | {"seed": run.learn.seed} if run.task == "cath" else asdict(run.learn)
    return head_identity(run) | {"task": run.task, "data": data_digest(run), "learn": learn, "ontology": ontology}


def folder_of(run: FunctionRun) -> Location:
    """Where tables of the proteins are written."""
    return run.out / "cache" / "proteins"


def prepared(run: FunctionRun) -> HeadInputs:
    """Write the examples, and embed their proteins, as far as that is not done yet."""
    examples, structures = written(run)
    found = embed_rows(run.out, run.embeddings, examples, structures)
    vectors = {name: [found[part] for part in parts] for name, parts in run.rows.items()}
    return HeadInputs(examples, vectors, structures)


def written(run: FunctionRun) -> tuple[Location, Location]:
    """The examples, and the structures of those that have one, as tables.

    Raises
    ------
    ValueError
        If more than a tenth of the rows cannot be used.
    """
    proteins, errors = proteins_of(run)
    check_rejected(run.out, errors, len(proteins.rows))
    sizes = proteins.sizes()
    log.info("%d labels of %s proteins (train, validation, test)", len(proteins.labels), sizes)
    folder = folder_of(run)
    examples = folder / "examples.parquet"
    proteins.write(examples)
    return examples, observed_table(folder, proteins.rows)
