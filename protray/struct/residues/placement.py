"""Where the residues with coordinates lie in the whole sequence of a chain."""

from typing import Any

import numpy as np


def place(observed: str, sequence: str) -> np.ndarray | None:
    """Find where the residues with coordinates lie in the full sequence of the chain.

    Structures lack disordered residues, so `observed` must be `sequence` with some residues left out; X on either side
    fits everything.  The pieces are kept as few as possible.

    Returns
    -------
    positions : ndarray, dtype=int64, shape=(len(observed),), or None
        0-based and increasing; None when `observed` does not fit.

    Examples
    --------
    >>> place("KVE", "MKVLE").tolist()
    [1, 2, 4]
    """
    if len(observed) == len(sequence):
        fits = all(a == b or "X" in (a, b) for a, b in zip(observed, sequence, strict=True))
        return np.arange(len(observed)) if fits else None
    if not 0 < len(observed) < len(sequence):
        return None
    from Bio.Align import PairwiseAligner, substitution_matrices

    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    scores = np.where(np.eye(len(alphabet), dtype=bool), 2.0, -1e4)
    scores[alphabet.index("X"), :] = scores[:, alphabet.index("X")] = 1.0
    aligner = PairwiseAligner(mode="global")
    aligner.substitution_matrix = substitution_matrices.Array(alphabet, 2, scores)
    aligner.open_gap_score, aligner.extend_gap_score = -1.0, 0.0
    aligner.end_gap_score = 0.0
    alignment: Any = aligner.align(observed, sequence)[0]
    observed_blocks, sequence_blocks = alignment.aligned
    positions = np.concatenate([np.arange(*block) for block in sequence_blocks] or [np.zeros(0, dtype=np.int64)])
    placed = sum(end - start for start, end in observed_blocks)
    return positions if placed == len(observed) and alignment.score > 0 else None
