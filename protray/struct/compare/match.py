"""Which residue of a model is which residue of its native structure.

By sequence, since files number residues as they like: a native often lacks residues that the model has.

Shape key:  M matched residues
"""

from typing import Any

import numpy as np

MIN_SAME = 0.5  # of the shorter sequence; below, these are two proteins


def match(model: str, native: str) -> tuple[np.ndarray, np.ndarray]:
    """Align the sequence of a model with that of its native structure, end gaps free.

    Residues of two kinds in one place are matched, too: mutants, and modified residues that one file calls X.

    Returns
    -------
    model_M, native_M : ndarray, dtype=int64
        Places in the two sequences that belong together, increasing.

    Raises
    ------
    ValueError
        If less than half of the shorter sequence is found in the other: the two are not one protein.

    Examples
    --------
    >>> [places.tolist() for places in match("MKVLE", "KVE")]
    [[1, 2, 4], [0, 1, 2]]
    """
    if model == native:
        return np.arange(len(model)), np.arange(len(native))
    model_M = native_M = np.zeros(0, dtype=np.int64)
    if model and native:
        alignment: Any = next(iter(_aligner().align(model, native)))
        model_M, native_M = (
            np.concatenate([np.arange(*block) for block in blocks] or [model_M]).astype(np.int64)
            for blocks in alignment.aligned
        )
    same = sum(model[i] == native[j] or "X" in (model[i], native[j]) for i, j in zip(model_M, native_M, strict=True))
    if same < max(1.0, MIN_SAME * min(len(model), len(native))):
        raise ValueError(
            f"only {same} residues are the same in a model of {len(model)} residues and a native structure of "
            f"{len(native)}; they are not the same protein"
        )
    return model_M, native_M


def _aligner() -> Any:
    """A gap costs as much as one difference, whatever its length: loops are missing more often than letters differ."""
    from Bio.Align import PairwiseAligner

    aligner = PairwiseAligner(mode="global")
    aligner.match_score, aligner.mismatch_score, aligner.wildcard = 1.0, -2.0, "X"
    aligner.open_gap_score, aligner.extend_gap_score, aligner.end_gap_score = -2.0, 0.0, 0.0
    return aligner
