"""Predicted interaction sites of many proteins, by a finished network of jobs/sites.py; no complex is needed.

``OUT/sites/*.parquet``  ``schemas.FOUND_SITES``: a row for each protein, in the order of the input

A row of the input is a record of a FASTA file, or a structure file with any number of chains, each taken alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from protray.cluster.batch.job import BatchJob, BatchSettings, Done, Row, Span
from protray.data import schemas
from protray.data.location import Location
from protray.pipelines.structure import inputs
from protray.pipelines.structure.embed import MEMORY
from protray.pipelines.tasks.embedding import Embedding, read_by
from protray.plm.shipped import fingerprint
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.data.sites.table import SiteProtein
    from protray.inference.tasks.find_sites import SiteFinder

PER_RESIDUE_S = 1e-4  # of a core, about: reading and the network itself


@dataclass(frozen=True, kw_only=True)
class FindSites(BatchSettings):
    """Where to look for sites, by what; one of `structures` and `fasta`."""

    model: Location
    """A folder in `model` of a finished jobs/sites.py run, such as runs/sites/model/language-model; or its address."""
    structures: tuple[Location, ...] = ()
    """mmCIF/PDB files (plain or .gz), folders, tar archives, text lists of files."""
    fasta: Location | None = None
    """FASTA file, plain, .gz, .xz or .bz2; a network with a score net's embeddings needs structures."""


def identity(run: FindSites) -> dict:
    from protray.inference.tasks.find_sites import SiteFinder

    if bool(run.structures) == bool(run.fasta):
        raise ValueError("give exactly one of --structures and --fasta")
    opened = SiteFinder.open(run.model)  # once here, where an error is short
    reads = opened.model.wanted
    if reads.pssm or reads.dssp:
        what = " and ".join(["PSSMs"] * reads.pssm + ["DSSP classes"] * reads.dssp)
        raise ValueError(f"{run.model} was trained with {what}, which these files do not have; train one without")
    if run.fasta and "noise" in opened.model.embeddings:
        raise ValueError(f"{run.model} reads structures; give --structures")
    lm = opened.model.embeddings.get("lm")
    return {
        "model": fingerprint(str(run.model.fetch())), "lm": fingerprint(lm) if lm else None,
        "proteins": inputs.digests(run, run.structures, run.fasta),
    }  # fmt: skip


def rows(run: FindSites) -> Iterator[Row | InputError]:
    return inputs.record_rows([run.fasta.path]) if run.fasta else inputs.file_rows(run, run.structures)


def cost(run: FindSites, row: Row) -> float:
    """By residues, and what the embeddings cost; of a file, as if it were one chain."""
    length = inputs.length_of(row)
    return PER_RESIDUE_S * length + sum(by.seconds(length) for by in _read_by(run.model))


def memory(run: FindSites) -> int:
    return max([MEMORY, *(by.memory for by in _read_by(run.model))])


@cache
def _read_by(model: Location) -> list[Embedding]:
    """The embeddings that a network reads."""
    from protray.training.tasks.folder import STRUCTURE_MODEL
    from protray.training.tasks.sites.export import load_site_net

    reads = load_site_net(model).embeddings
    return read_by(reads.get("lm"), model / STRUCTURE_MODEL if "noise" in reads else None)


def open_finder(run: FindSites, device: str) -> "SiteFinder":
    from protray.inference.tasks.find_sites import SiteFinder

    return SiteFinder.open(run.model, device)


def work(finder: "SiteFinder", spans: list[Span]) -> Done:
    """Sites of the proteins of some files or records."""
    rejected: list[InputError] = []
    places, proteins = [], []
    for span in spans:
        for start, (protein, numbers) in enumerate(_proteins(finder, span.row, rejected)):
            place = {"number": span.number, "start": start, "id": protein.id, "file": span.row["file"]}
            places.append(place | {"residues": numbers})
            proteins.append(protein)
    found = []
    for place, protein, prob_L in zip(places, proteins, finder(proteins), strict=True):
        site = "".join("01"[int(prob >= finder.model.threshold)] for prob in prob_L)
        found.append(place | {"sequence": protein.sequence, "site": site, "prob": prob_L})
    return Done.of(found, schemas.FOUND_SITES, rejected)


def _proteins(
    finder: "SiteFinder", row: Row, rejected: list[InputError]
) -> "Iterator[tuple[SiteProtein, list[str] | None]]":
    """The chains of a file, or the record, with their embeddings; and the residues' numbers in the file."""
    from protray.data.sites.table import UNKNOWN, SiteProtein

    for one in inputs.proteins_of(row, rejected):
        try:
            protein = SiteProtein(one.id, one.sequence, np.full(len(one.sequence), UNKNOWN, np.int8), "")
            yield finder.embedded(protein, one.atoms_LA3, one.index_L), one.numbers
        except ValueError as error:
            rejected.append(InputError(row["file"], row["line"], str(error), one.id))


JOB = BatchJob(
    name="find_sites", unit="proteins", table="sites", source=inputs.SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_finder, work=work, schema=lambda run: schemas.FOUND_SITES, memory=memory,
    amount=lambda run: inputs.amount_of(run, run.structures, rows(run), cost),
)  # fmt: skip
