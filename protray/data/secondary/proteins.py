"""From one alignment and its labels to one row of the proteins table.

Shape key:  N aligned sequences   L residues   A amino-acid types (20)
"""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from protray.data import schemas
from protray.seq.alphabet import UNKNOWN, decode, encode
from protray.seq.downsample import LOW_QUALITY, downsample
from protray.seq.errors import InputError
from protray.seq.keyed import generator, key
from protray.seq.meff import EXACT_ROWS, meff
from protray.seq.msa import Msa
from protray.seq.pssm import count_residues
from protray.seq.secondary import Labels


@dataclass(frozen=True, kw_only=True)
class ProteinSettings:
    """What the numbers of a row depend on besides its alignment."""

    max_rows: int = 512  # rows of the alignment that are kept, query included; counts and Meff use all rows
    meff_identity: float = 0.7  # two rows at least this similar are one effective sequence
    seed: int = 0  # of the draw of kept rows

    def __post_init__(self) -> None:
        if self.max_rows <= LOW_QUALITY:  # training down-samples deep proteins to as many homologs
            raise ValueError(
                f"max_rows must be above {LOW_QUALITY}, so that every depth of a shallow alignment can be drawn; "
                f"got {self.max_rows}"
            )
        if not 0 < self.meff_identity <= 1:
            raise ValueError(f"meff_identity is a share and must lie in (0, 1], got {self.meff_identity}")


def protein_schema(settings: ProteinSettings) -> pa.Schema:
    """``schemas.PROTEINS`` with the settings, as text, in its metadata."""
    facts = asdict(settings) | {"meff_exact_rows": EXACT_ROWS}
    return schemas.PROTEINS.with_metadata(
        (schemas.PROTEINS.metadata or {}) | {name.encode(): str(value).encode() for name, value in facts.items()}
    )


def cap_rows(msa_NL: np.ndarray, max_rows: int, seed: int, id: str) -> np.ndarray:
    """Keep the query and at most `max_rows` - 1 other rows, drawn without replacement by (seed, id)."""
    if len(msa_NL) <= max_rows:
        return msa_NL
    return downsample(msa_NL, max_rows - 1, generator(seed, "cap", id))


def protein_row(
    msa: Msa,
    *,
    ss3: str | None,
    ss8: str | None,
    cluster: str,
    split: str,
    settings: ProteinSettings,
) -> dict:
    """Fill one row of ``schemas.PROTEINS``; coordinates are left null."""
    n_rows, length = msa.codes_NL.shape
    for name, letters in (("ss3", ss3), ("ss8", ss8)):
        if letters is not None and len(letters) != length:
            raise ValueError(f"{msa.id}: {name} has {len(letters)} letters, the query {length} residues")
    kept_NL = cap_rows(msa.codes_NL, settings.max_rows, settings.seed, msa.id)
    return {
        "id": msa.id,
        "sequence": decode(msa.codes_NL[0]),
        "ss3": ss3,
        "ss8": ss8,
        "n_rows": n_rows,
        "msa_count": n_rows - 1,
        "meff": meff(msa.codes_NL, settings.meff_identity, seed=key(settings.seed, "meff", msa.id)),
        "counts": count_residues(msa.codes_NL).ravel(),
        "msa": np.ascontiguousarray(kept_NL).tobytes(),
        "msa_rows": len(kept_NL),
        "cluster": cluster,
        "split": split,
        "backbone_cA": None,
        "origin": None,
    }


def check_labels(msa: Msa, labels: Labels) -> None:
    """Raise InputError unless the query and the labelled sequence are the same protein.

    X, B, Z, J, U and O on either side fit every residue, because structure and sequence databases differ in them.
    """
    query_L, labelled_L = msa.codes_NL[0], encode(labels.sequence)
    shared = min(len(query_L), len(labelled_L))
    a, b = query_L[:shared], labelled_L[:shared]
    differ = np.flatnonzero((a != b) & (a != UNKNOWN) & (b != UNKNOWN))
    if len(query_L) == len(labelled_L) and not differ.size:
        return
    reason = f"the query has {len(query_L)} residues, the label sequence {len(labelled_L)}"
    if differ.size:
        at = int(differ[0])
        reason += f"; they first differ at position {at + 1}: query {decode(a[at])}, label {labels.sequence[at]}"
    else:
        reason += f"; they agree over the first {shared}"
    raise InputError(labels.file, labels.line, reason, msa.id)
