"""Predicted quality of many protein models, by a finished network of jobs/quality.py; no native is needed.

``OUT/scores/*.parquet``  ``schemas.ASSESSED``: a row for each chain, in the order of the input

A row of the input is a file with any number of chains; it is read where it is worked on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from protray.cluster.batch.job import Amount, BatchJob, BatchSettings, Done, Row, Span
from protray.cluster.storage.identity import content_digest
from protray.data import schemas
from protray.data.location import Location
from protray.data.structure_rows import StructureSettings
from protray.data.structures import stored_backbone
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL
from protray.pipelines.structure.input_files import FILE, amount_of, chains_of, file_rows, files_of
from protray.plm.shipped import fingerprint
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.data.decoys.table import Decoy
    from protray.inference.assess import Assessor

ANY_CHAIN = StructureSettings(min_residues=3, max_unknown=1.0)
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
    from protray.inference.assess import Assessor

    Assessor.open(run.model)  # once here, where an error is short
    files = [content_digest(files_of(run, path), path) for path in run.structures]
    return {"model": fingerprint(str(run.model.fetch())), "structures": files}


def rows(run: Assess) -> Iterator[Row | InputError]:
    yield from file_rows(run, run.structures)


def cost(run: Assess, row: Row) -> float:
    return PER_BYTE_S * row["size"] * (4 if str(row["name"]).endswith(".gz") else 1)


def amount(run: Assess) -> Amount:
    costs = [cost(run, row) for row in rows(run) if not isinstance(row, InputError)]
    return amount_of(run, run.structures, costs)


def open_net(run: Assess, device: str) -> "Assessor":
    from protray.inference.assess import Assessor

    return Assessor.open(run.model, device)


def work(assessor: "Assessor", spans: list[Span]) -> Done:
    """Scores of the chains of some files."""
    rejected: list[InputError] = []
    places, models = [], []
    for span in spans:
        for number, model in enumerate(_models(span.row, rejected)):
            places.append({"number": span.number, "start": number, "id": model.id, "file": span.row["name"]})
            models.append(model)
    found = []
    for place, model, (local_LS, global_S) in zip(places, models, assessor(models), strict=True):
        scores = {name: float(global_S[GLOBAL.index(name)]) for name in SHOWN}
        residues = local_LS[:, LOCAL.index("lddt")]
        found.append(place | scores | {"sequence": model.sequence, "residue_lddt": residues})
    named = [pa.field("number", pa.int64()), pa.field("start", pa.int32()), *schemas.ASSESSED]
    return Done(pa.Table.from_pylist(found, schema=pa.schema(named)), rejected)


def _models(row: Row, rejected: list[InputError]) -> "Iterator[Decoy]":
    """The chains of a file, whose true scores nobody knows."""
    from protray.data.decoys.table import Decoy

    for one in chains_of(row, ANY_CHAIN, rejected):
        length = len(one["sequence"])
        yield Decoy(
            one["id"], one["entry"], "file", one["sequence"], one["index"], stored_backbone(one["backbone_cA"]),
            np.full((length, len(LOCAL)), np.nan, np.float32), np.full(len(GLOBAL), np.nan, np.float32),
        )  # fmt: skip


JOB = BatchJob(
    name="assess", unit="files", table="scores", source=pa.struct(FILE), identity=identity, rows=rows, cost=cost,
    open=open_net, work=work, schema=lambda run: schemas.ASSESSED, memory=lambda run: MEMORY, amount=amount,
)  # fmt: skip
