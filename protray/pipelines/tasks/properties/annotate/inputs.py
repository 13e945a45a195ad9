"""The settings of jobs/annotate.py, and what its two jobs share: facts of the head, proteins.  Light: no torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from protray.cluster.batch.job import BatchSettings, Row
from protray.cluster.storage.identity import content_digest
from protray.data.location import Location
from protray.pipelines.structure import inputs
from protray.pipelines.tasks import embedding
from protray.pipelines.tasks.embedding import Embedding
from protray.seq.errors import InputError
from protray.seq.fasta import fasta_files

if TYPE_CHECKING:
    from protray.training.tasks.properties.head_export import HeadFacts


@dataclass(frozen=True, kw_only=True)
class Annotate(BatchSettings):
    """Which proteins, or mutations, to annotate, by what."""

    model: Location
    """A folder in `model` of a finished jobs/function.py or jobs/stability.py run, such as
    runs/function/model/language-model; or its address."""
    fasta: tuple[Location, ...] = ()
    """FASTA files, or folders of them: enough for a head on a language model."""
    structures: tuple[Location, ...] = ()
    """mmCIF/PDB files (plain or .gz), folders, tar archives, text lists of files: for a head on a model of
    structures."""
    mutations: Location | None = None
    """For a head of jobs/stability.py --task ddg or msp: a table, CSV or Parquet, as it was trained on, without
    `value`.  In its place, for ddg: --fasta or --structures, of which all single mutants are predicted."""
    least: float | None = None
    """Probability of a label that is listed; default: the threshold that was best on the validation split."""

    def check(self) -> None:
        super().check()
        if sum(map(bool, (self.fasta, self.structures, self.mutations))) != 1:
            raise ValueError("give --fasta, --structures or --mutations, one of them")


@cache
def facts_of(model: Location) -> "HeadFacts":
    """What a head reads and predicts; ValueError if the folder holds none."""
    from protray.training.tasks.properties.head_export import load_facts

    return load_facts(model)


@cache
def read_by(model: Location) -> list[Embedding]:
    """The embeddings that a head reads."""
    from protray.training.tasks.folder import STRUCTURE_MODEL

    facts = facts_of(model)
    return embedding.read_by(facts.lm, None if facts.noise is None else model / STRUCTURE_MODEL)


def of_mutations(run: Annotate) -> bool:
    """Whether the head predicts what mutations change."""
    from protray.training.tasks.properties.head_export import OF_MUTATIONS

    return facts_of(run.model).task in OF_MUTATIONS


def check_least(run: Annotate) -> None:
    """ValueError if --least is asked of a head that gives no probabilities of labels."""
    facts = facts_of(run.model)
    if run.least is not None and (facts.kind == "value" or of_mutations(run)):
        told = f"--least is {run.least:g}, but {run.model} predicts a number (task {facts.task})"
        raise ValueError(f"{told}: leave it out")
    if run.least is not None and not 0 <= run.least <= 1:
        raise ValueError(f"--least is a probability and must lie in [0, 1], got {run.least:g}")


def memory(run: Annotate) -> int:
    """Bytes of an actor."""
    return max(by.memory for by in read_by(run.model))


def protein_digests(run: Annotate) -> list[str]:
    """What identifies the content of --fasta or --structures; ValueError if the head cannot read them."""
    if facts_of(run.model).noise is not None and run.fasta:
        raise ValueError(f"{run.model} reads the embeddings of a model of structures: give --structures, not --fasta")
    files = inputs.digests(run, run.structures)
    return files + [content_digest(map(Location, fasta_files([path.path])), path) for path in run.fasta]


def protein_rows(run: Annotate) -> Iterator[Row | InputError]:
    """Records of FASTA files, or structure files, with an error for each that cannot be read."""
    if run.fasta:
        return inputs.record_rows(fasta_files([path.path for path in run.fasta]))
    return inputs.file_rows(run, run.structures)
