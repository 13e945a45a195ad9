"""Predicted quality of many protein models, by a finished network of jobs/quality.py; no native is needed.

``OUT/scores/*.parquet``  ``schemas.ASSESSED``: a row for each chain, in the order of the input

A row of the input is a file with any number of chains; it is read where it is worked on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protray.cluster.batch.job import BatchJob, BatchSettings, Done, Row, Span
from protray.data import schemas
from protray.data.location import Location
from protray.data.structure.structures import stored_backbone
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL
from protray.pipelines.structure import inputs
from protray.plm.shipped import fingerprint
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.data.decoys.table import Decoy
    from protray.inference.tasks.assess import Assessor

PER_BYTE_S = 2e-7  # of a core: 0.01 s for 60 kB, 90 residues with side chains
MEMORY = 1 << 30  # bytes of an actor
SHOWN = [name for name in GLOBAL if name != "cad"]


@dataclass(frozen=True, kw_only=True)
class Assess(BatchSettings):
    """Which models to assess, by what."""

    model: Location
    """A folder in `model` of a finished jobs/quality.py run, such as runs/quality/model/plain; or its address."""
    structures: tuple[Location, ...]
    """mmCIF/PDB files (plain or .gz), folders, tar archives, text lists of files."""


def identity(run: Assess) -> dict:
    from protray.inference.tasks.assess import Assessor

    Assessor.open(run.model)  # once here, where an error is short
    return {"model": fingerprint(str(run.model.fetch())), "structures": inputs.digests(run, run.structures)}


def rows(run: Assess) -> Iterator[Row | InputError]:
    return inputs.file_rows(run, run.structures)


def cost(run: Assess, row: Row) -> float:
    return PER_BYTE_S * inputs.bytes_of(row)


def open_net(run: Assess, device: str) -> "Assessor":
    from protray.inference.tasks.assess import Assessor

    return Assessor.open(run.model, device)


def work(assessor: "Assessor", spans: list[Span]) -> Done:
    """Scores of the chains of some files."""
    rejected: list[InputError] = []
    places, models = [], []
    for span in spans:
        for number, model in enumerate(_models(span.row, rejected)):
            places.append({"number": span.number, "start": number, "id": model.id, "file": span.row["file"]})
            models.append(model)
    found = []
    for place, model, (local_LS, global_S) in zip(places, models, assessor(models), strict=True):
        scores = {name: float(global_S[GLOBAL.index(name)]) for name in SHOWN}
        residues = local_LS[:, LOCAL.index("lddt")]
        found.append(place | scores | {"sequence": model.sequence, "residue_lddt": residues})
    return Done.of(found, schemas.ASSESSED, rejected)


def _models(row: Row, rejected: list[InputError]) -> "Iterator[Decoy]":
    """The chains of a file, whose true scores nobody knows."""
    from protray.data.decoys.table import Decoy

    for one in inputs.chains_of(row, inputs.ANY_CHAIN, rejected):
        length = len(one["sequence"])
        yield Decoy(
            one["id"], one["entry"], "file", one["sequence"], one["index"], stored_backbone(one["backbone_cA"]),
            np.full((length, len(LOCAL)), np.nan, np.float32), np.full(len(GLOBAL), np.nan, np.float32),
        )  # fmt: skip


JOB = BatchJob(
    name="assess", unit="files", table="scores", source=inputs.SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_net, work=work, schema=lambda run: schemas.ASSESSED, memory=lambda run: MEMORY,
    amount=lambda run: inputs.amount_of(run, run.structures, rows(run), cost),
)  # fmt: skip
