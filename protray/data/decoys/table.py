"""Models of proteins with their scores: from a native's decoys to rows of a table, and arrays again.

Shape key:  L residues   S scores (`LOCAL` of residues, `GLOBAL` of models)   4 backbone atoms   3 x, y, z in Å
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from protray.data import schemas
from protray.data.parquet import read_parquet
from protray.data.structure.rows import pack_backbone
from protray.data.structure.structures import CA, StructureChain, stored_backbone
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL
from protray.seq.alphabet import encode
from protray.struct.compare.model_scores import ModelScores, score_model
from protray.struct.decoys import DecoyConfig, derive


@dataclass(frozen=True)
class Decoy:
    """A model of a target, and how good it is; NaN for a score that is not known."""

    id: str
    target: str
    kind: str
    sequence: str
    index_L: np.ndarray  # int32, place in the chain
    backbone_L43: np.ndarray  # float32, Å about the middle; NaN where an atom is missing
    local_LS: np.ndarray  # float32
    global_S: np.ndarray  # float32

    @property
    def chain(self) -> StructureChain:
        """What a score network reads."""
        return StructureChain(self.id, encode(self.sequence), self.index_L, self.backbone_L43[:, CA])


def derived_rows(
    target: str, split: str, sequence: str, backbone_L43: np.ndarray, count: int, config: DecoyConfig, seed: int
) -> list[dict]:
    """Rows of the first `count` decoys that are derived from a native without breaks, scored against it."""
    rows = []
    for number in range(count):
        made = derive(target, number, backbone_L43, config, seed)
        scores = score_model(sequence, made.backbone_L43[:, CA], sequence, backbone_L43[:, CA])
        named = {"id": f"{target}-{number}", "target": target, "split": split, "kind": f"derived: {made.kind}"}
        rows.append(decoy_row(named, sequence, np.arange(len(sequence)), made.backbone_L43, scores))
    return rows


def decoy_row(
    named: dict[str, str], sequence: str, index_L: np.ndarray, backbone_L43: np.ndarray, scores: ModelScores
) -> dict:
    """One row of ``schemas.DECOYS``; `named` has its id, target, split and kind.  CAD is for others to add."""
    middle_3 = backbone_L43[:, CA].mean(axis=0, dtype=np.float64)
    return named | {
        "sequence": sequence, "index": index_L, "backbone_cA": pack_backbone(backbone_L43 - middle_3),
        **{name: _known(getattr(scores, name)) for name in ("tm", "gdt_ts", "gdt_ha", "lddt")}, "cad": None,
        "residue_lddt": [_known(value) for value in scores.lddt_L.tolist()],
        "residue_cad": [None] * len(sequence),
    }  # fmt: skip


def _known(score: float) -> float | None:
    return None if np.isnan(score) else score


def read_decoys(files: Iterable[str | Path], split: str | None = None) -> list[Decoy]:
    """Read the decoys of a split, or all, from some tables; sorted by target and id.

    Raises ValueError if a table is of other columns or damaged, or no decoy is in the split.
    """
    found, names = [], [str(file) for file in files]
    for file in names:
        table = read_parquet(file)
        schemas.check(table, schemas.DECOYS, file)
        mine = table if split is None else table.filter(pc.field("split") == split)
        found += [decoy_from_row(row) for row in mine.to_pylist()]
    if not found:
        where = names[0] if len(names) == 1 else f"{len(names)} tables"
        raise ValueError(f"no decoy in {where}" + (f" is of the {split} split" if split else ""))
    return sorted(found, key=lambda decoy: (decoy.target, decoy.id))


def decoy_from_row(row: dict) -> Decoy:
    """The arrays of a row of ``schemas.DECOYS``."""
    scores = np.array([row[f"residue_{name}"] for name in LOCAL], dtype=np.float32)  # None becomes NaN
    return Decoy(
        row["id"], row["target"], row["kind"], row["sequence"],
        np.array(row["index"], dtype=np.int32), stored_backbone(np.array(row["backbone_cA"], dtype=np.int16)),
        scores.T, np.array([row[name] for name in GLOBAL], dtype=np.float32),
    )  # fmt: skip
