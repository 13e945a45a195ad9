"""All scores of a model of a protein against its native structure, from C-alpha coordinates.

Shape key:  L residues of the model   N residues of the native   M residues of both   3 x, y, z in Å
"""

from dataclasses import dataclass

import numpy as np

from protray.struct.compare.match import match
from protray.struct.compare.quality import TOLERANCES, kept_pairs
from protray.struct.compare.superposition import superposition_scores

FEWEST = 3  # matched residues: two points fit whatever they are


@dataclass(frozen=True)
class ModelScores:
    """Shares in [0, 1] of the native structure that the model gets right; residues that it lacks count as wrong."""

    tm: float
    gdt_ts: float
    gdt_ha: float
    lddt: float  # C-alpha only
    lddt_L: np.ndarray  # float32, of each residue of the model; NaN where the native has none
    missing: int  # residues of the native that the model lacks


def score_model(model: str, model_L3: np.ndarray, native: str, native_N3: np.ndarray) -> ModelScores:
    """Match the residues of two chains by their sequences, and score the model.

    Parameters
    ----------
    model, native : str
        Sequences, one letter for each residue with coordinates.
    model_L3, native_N3 : ndarray, shape=(L, 3), (N, 3)
        C-alpha atoms, in Å.

    Raises
    ------
    ValueError
        If the sequences are not of one protein, fewer than three residues match, or coordinates are not finite.

    Examples
    --------
    >>> ca_43 = np.array([[0.0, 0, 0], [3.8, 0, 0], [3.8, 3.8, 0], [3.8, 3.8, 3.8]])
    >>> scores = score_model("MKV", ca_43[:3], "MKVL", ca_43)
    >>> float(round(scores.gdt_ts, 6)), float(scores.lddt), scores.missing
    (0.75, 0.5, 1)
    """
    for name, sequence, ca_L3 in (("model", model, model_L3), ("native structure", native, native_N3)):
        if len(sequence) != len(ca_L3):
            raise ValueError(f"the {name} has {len(sequence)} residues and {len(ca_L3)} C-alpha atoms")
    model_M, native_M = match(model, native)
    if len(model_M) < FEWEST:
        raise ValueError(f"only {len(model_M)} residues match; scores need {FEWEST}")
    found = superposition_scores(model_L3[model_M], native_N3[native_M], len(native))
    placed_N3 = np.full(native_N3.shape, np.nan)
    placed_N3[native_M] = model_L3[model_M]
    (kept_N,), (pairs_N,) = kept_pairs(placed_N3[None], native_N3[None])
    with np.errstate(invalid="ignore"):  # 0 / 0 where there is no pair
        lddt, lddt_N = kept_N.sum() / (len(TOLERANCES) * pairs_N.sum()), kept_N / (len(TOLERANCES) * pairs_N)
    lddt_L = np.full(len(model), np.nan, dtype=np.float32)
    lddt_L[model_M] = lddt_N[native_M]
    return ModelScores(found.tm, found.gdt_ts, found.gdt_ha, float(lddt), lddt_L, len(native) - len(model_M))
