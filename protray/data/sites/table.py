"""Proteins with interaction sites as arrays, from tables of ``schemas.SITES``.

Shape key:  L residues of a protein   A 20 amino acids
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from protray.data.parquet import read_parquet
from protray.data.structure.structures import stored_backbone
from protray.seq.alphabet import N_AA

LABELS = "01-"
UNKNOWN = -1  # a residue of which nobody knows whether it is a site
COLUMNS = ["id", "sequence", "label", "cluster", "pssm", "dssp"]
BUNDLED = Path(__file__).with_name("sites.parquet")


@dataclass(frozen=True)
class SiteProtein:
    """A protein, which of its residues are sites, and what is known of it beside its sequence."""

    id: str
    sequence: str
    label_L: np.ndarray  # int8: 1, 0, UNKNOWN
    cluster: str
    pssm_LA: np.ndarray | None = None  # float32
    dssp_L: np.ndarray | None = None  # int8, classes from 0
    residue_LC: np.ndarray | None = None  # float16, embeddings

    @property
    def known_L(self) -> np.ndarray:  # noqa: N802
        """Mask of the residues with a label."""
        return self.label_L != UNKNOWN


def read_sites(files: Iterable[str | Path], split: str) -> list[SiteProtein]:
    """Read the proteins of a split, sorted by id; ValueError if there is none."""
    found, names = [], [str(file) for file in files]
    for file in names:
        table = read_parquet(file, [*COLUMNS, "split"]).filter(pc.field("split") == split)
        found += [protein_of(row) for row in table.to_pylist()]
    if not found:
        raise ValueError(f"no protein in {', '.join(names)} is of the {split} split")
    return sorted(found, key=lambda protein: protein.id)


def protein_of(row: Mapping) -> SiteProtein:
    """The arrays of a row of ``schemas.SITES``."""
    pssm, dssp = row["pssm"], row["dssp"]
    return SiteProtein(
        row["id"], row["sequence"], coded(row["label"]), row["cluster"],
        None if pssm is None else np.array(pssm, np.float32).reshape(-1, N_AA),
        None if dssp is None else np.array(dssp, np.int8),
    )  # fmt: skip


def read_backbone(files: Iterable[str | Path], id: str) -> np.ndarray | None:
    """N, CA, C, O of a protein, Å, shape (L, 4, 3); None where it has no structure, or C-alpha atoms alone.

    Those may be made of distances, and then be the mirror image of the protein.
    """
    for file in files:
        table = read_parquet(file, ["id", "backbone_cA"]).filter(pc.field("id") == id)
        for row in table.to_pylist():
            if row["backbone_cA"] is not None:
                backbone_L43 = stored_backbone(np.array(row["backbone_cA"], np.int16))
                return backbone_L43 if np.isfinite(backbone_L43[:, 0]).any() else None
    return None


def coded(label: str) -> np.ndarray:
    """Letters of labels as numbers.

    >>> coded("01-").tolist()
    [0, 1, -1]
    """
    return np.array([LABELS.index(letter) if letter != "-" else UNKNOWN for letter in label], np.int8)
