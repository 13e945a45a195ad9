"""What a predictor that learnt nothing from alignments reaches: the floor of every table.

Shape key:  A residue codes   L residues
"""

from collections.abc import Mapping, Sequence

import numpy as np

from protray.seq.alphabet import PAD
from protray.seq.secondary import IGNORE, STATES

MAJORITY = "majority state"
RESIDUE_MAJORITY = "majority per residue type"
TRIVIAL = (MAJORITY, RESIDUE_MAJORITY)
_N_CODES = PAD + 1


def state_counts(sequences: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> np.ndarray:
    """Count training residues by residue code and state.

    Parameters
    ----------
    sequences, labels : sequence of ndarray, shape=(L,)
        Residue codes of `protray.seq.alphabet`, and states with ``IGNORE`` where there is none.

    Returns
    -------
    counts_AS : ndarray, dtype=int64, shape=(23, 3)
    """
    if len(sequences) != len(labels):
        raise ValueError(f"{len(sequences)} sequences but {len(labels)} label strings")
    counts_AS = np.zeros((_N_CODES, len(STATES)), dtype=np.int64)
    for row, (codes_L, label_L) in enumerate(zip(sequences, labels, strict=True)):
        if len(codes_L) != len(label_L):
            raise ValueError(f"training protein {row} has {len(codes_L)} residues but {len(label_L)} labels")
        known_L = label_L != IGNORE
        np.add.at(counts_AS, (codes_L[known_L], label_L[known_L]), 1)
    if counts_AS.sum() == 0:
        raise ValueError(f"the {len(labels)} training proteins have no labelled residue")
    return counts_AS


def trivial_predictions(counts_AS: np.ndarray, test: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Predict each test residue by the commonest training state: of all residues, and of its own residue type.

    A residue type without training labels gets the state that is commonest overall; ties go to the lower code.

    Parameters
    ----------
    counts_AS : ndarray, shape=(23, S)
        From `state_counts`, of the training split only.
    test : mapping of protein id to ndarray, dtype=uint8, shape=(L,)
        Residue codes.

    Returns
    -------
    predictions : dict of method name to dict of protein id to ndarray, dtype=int8, shape=(L,)

    Examples
    --------
    >>> counts_AS = np.zeros((23, 3), dtype=int)
    >>> counts_AS[0], counts_AS[1] = [5, 0, 1], [0, 0, 9]  # A is mostly helix, R coil, and coil is commonest
    >>> {name: found["p"].tolist() for name, found in trivial_predictions(counts_AS, {"p": np.array([0, 1])}).items()}
    {'majority state': [2, 2], 'majority per residue type': [0, 2]}
    """
    overall = int(counts_AS.sum(axis=0).argmax())
    state_A = np.where(counts_AS.sum(axis=1) > 0, counts_AS.argmax(axis=1), overall).astype(np.int8)
    return {
        MAJORITY: {id: np.full(len(codes_L), overall, dtype=np.int8) for id, codes_L in test.items()},
        RESIDUE_MAJORITY: {id: state_A[codes_L] for id, codes_L in test.items()},
    }
