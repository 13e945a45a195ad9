"""A few derived decoys of the sample's natives, and a random embedding of each."""

import functools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.data.decoys.table import Decoy, decoy_from_row, derived_rows
from protray.data.location import Location
from protray.data.parquet import WRITING
from protray.data.sample import SAMPLE
from protray.data.structure.structures import stored_backbone
from protray.struct.decoys import DecoyConfig


@functools.cache
def decoys(targets: int, each: int, start: int = 0) -> tuple[Decoy, ...]:
    """Decoys of the shortest natives, from number `start` on."""
    rows = pq.read_table(SAMPLE, columns=["id", "sequence", "backbone_cA"]).to_pylist()
    rows.sort(key=lambda row: (len(row["sequence"]), row["id"]))
    found = []
    for row in rows[start : start + targets]:
        backbone_L43 = stored_backbone(np.array(row["backbone_cA"], dtype=np.int16))
        found += derived_rows(row["id"], "train", row["sequence"], backbone_L43, each, DecoyConfig(), 0)
    return tuple(decoy_from_row(row) for row in found)


def random_extras(decoy: Decoy, edges_2E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Three numbers for each residue, two for each edge, the same in every call."""
    rng = np.random.default_rng(len(decoy.sequence))
    of_pairs_LL2 = rng.standard_normal((len(decoy.sequence), len(decoy.sequence), 2))
    residue_LC = rng.standard_normal((len(decoy.sequence), 3))
    return residue_LC.astype(np.float32), of_pairs_LL2[tuple(edges_2E)].astype(np.float32)


def write_decoys(rows: list[dict], file: Location) -> None:
    """Write a table of ``schemas.DECOYS``."""
    with file.writing() as path:
        pq.write_table(pa.Table.from_pylist(rows, schema=schemas.DECOYS), path, row_group_size=500, **WRITING)
