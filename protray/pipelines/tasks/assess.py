"""Predicted quality of many protein models, by a finished network of jobs/quality.py; no native is needed.

``OUT/scores/*.parquet``  ``schemas.ASSESSED``: a row for each chain, in the order of the input

A row of the input is a file with any number of chains; it is read where it is worked on.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from protray.cluster.batch.job import Amount, BatchJob, BatchSettings, Done, Row, Span
from protray.cluster.storage.identity import content_digest
from protray.data import schemas
from protray.data.location import Location
from protray.data.structure_files import Source, beginning, find_sources, input_files, is_packed, read_source
from protray.data.structure_rows import StructureSettings, structure_rows
from protray.data.structures import stored_backbone
from protray.models.graphqa_config import GLOBAL, LOCAL
from protray.plm.shipped import fingerprint
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.data.decoys import Decoy
    from protray.inference.assess import Assessor

ANY_CHAIN = StructureSettings(min_residues=3, max_unknown=1.0)
SOURCE = pa.struct(
    [
        ("name", pa.string()), ("path", pa.string()), ("offset", pa.int64()), ("size", pa.int64()),
        ("content", pa.binary()),
    ]
)  # fmt: skip
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
    files = [content_digest([Location(file) for file in _files(run, path)], path) for path in run.structures]
    return {"model": fingerprint(str(run.model.fetch())), "structures": files}


def _files(run: Assess, path: Location) -> list[Path]:
    """The files that a path of --structures means, without our own, where --out lies in it."""
    return [file for file in input_files(path.path) if not str(file).startswith(f"{run.out}/")]


def rows(run: Assess) -> Iterator[Row | InputError]:
    """Files, with an error for each that is none; with --plan nothing is unpacked."""
    ours = f"{run.out}/"
    for number, path in enumerate(run.structures):
        sources, errors = find_sources(path.path, None if run.plan else run.work / f"unpacked-{number}")
        yield from (error for error in errors if not str(Path(error.file).absolute()).startswith(ours))
        for source in sources:
            if not source.path.startswith(ours) or source.offset is not None:
                yield asdict(source) | {"size": source.size or Location(source.path).size()}


def cost(run: Assess, row: Row) -> float:
    return PER_BYTE_S * row["size"] * (4 if str(row["name"]).endswith(".gz") else 1)


def amount(run: Assess) -> Amount:
    """All files; of a packed archive, as its beginning tells."""
    costs = [cost(run, row) for row in rows(run) if not isinstance(row, InputError)]
    packed = [path.path for path in run.structures if run.plan and is_packed(path.path)]
    share = min((beginning(path)[1] for path in packed), default=1.0)
    return Amount(len(costs) / share, sum(costs) / share, share == 1.0)


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
    from protray.data.decoys import Decoy

    source = Source(**{name: row[name] for name in ("name", "path", "offset", "size", "content")})
    try:
        found, errors, _ = structure_rows(read_source(source), source.name, ANY_CHAIN)
    except InputError as error:
        rejected.append(error)
        return
    rejected += errors
    for one in found:
        length = len(one["sequence"])
        yield Decoy(
            one["id"], one["entry"], "file", one["sequence"], one["index"], stored_backbone(one["backbone_cA"]),
            np.full((length, len(LOCAL)), np.nan, np.float32), np.full(len(GLOBAL), np.nan, np.float32),
        )  # fmt: skip


JOB = BatchJob(
    name="assess", unit="files", table="scores", source=SOURCE, identity=identity, rows=rows, cost=cost, open=open_net,
    work=work, schema=lambda run: schemas.ASSESSED, memory=lambda run: MEMORY, amount=amount,
)  # fmt: skip
