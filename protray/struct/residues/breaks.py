"""Where a chain is interrupted, and the position of its residues counted on over what is missing.

Shape key:  L residues with coordinates   4 backbone atoms (N, CA, C, O)   3 x, y, z in Å
"""

from collections.abc import Sequence

import numpy as np

MAX_PEPTIDE_BOND = 2.0  # Å, C to N of the next residue: 1.33 in a bond, above 2.4 (van der Waals contact) otherwise
MIN_BOND, MAX_BOND = 1.0, 2.0  # Å, N to CA and CA to C: 1.46 and 1.53
MAX_CA_STEP = 4.5  # Å, where C or N is missing: 3.8 (trans) or 2.9 (cis) in bonded neighbours, at least 5 over a gap


def find_breaks(backbone_L43: np.ndarray) -> np.ndarray:
    """Residues i, counted from 0, that are not bonded to residue i + 1; int32.

    Two residues are bonded when C and N are at most 2 Å apart or, where one of these atoms is missing (NaN), when their
    C-alpha atoms are at most 4.5 Å apart.

    >>> backbone_L43 = np.full((3, 4, 3), np.nan)
    >>> backbone_L43[:, 1] = [[0, 0, 0], [3.8, 0, 0], [12, 0, 0]]  # C-alpha atoms; the others are missing
    >>> find_breaks(backbone_L43).tolist()
    [1]
    """
    n_L3, ca_L3, c_L3 = (backbone_L43[:, atom].astype(np.float64) for atom in range(3))
    peptide = np.linalg.norm(n_L3[1:] - c_L3[:-1], axis=-1)
    step = np.linalg.norm(ca_L3[1:] - ca_L3[:-1], axis=-1)
    broken = np.where(np.isfinite(peptide), peptide > MAX_PEPTIDE_BOND, step > MAX_CA_STEP)
    return np.flatnonzero(broken).astype(np.int32)


def longest_bond(backbone_L43: np.ndarray) -> float:
    """The longer of the bonds N to CA and CA to C, median over residues with N, CA, C and O; NaN if there are none.

    Above 2 Å (1.5 is right) the atoms are placeholders, as those at 0, 0, 0 are, or not in Å.
    """
    complete_L43 = backbone_L43[np.isfinite(backbone_L43).all(axis=(1, 2))].astype(np.float64)
    if not len(complete_L43):
        return float("nan")
    bonds_L2 = np.linalg.norm(np.diff(complete_L43[:, :3], axis=1), axis=2)
    return float(np.median(bonds_L2, axis=0).max())


def count_on(numbers: Sequence[int], breaks: np.ndarray) -> np.ndarray:
    """Position of each residue in the whole chain, from 0; int32, strictly increasing.

    Bonded neighbours are one apart whatever their numbers are (numbering schemes skip numbers, and insertion codes
    repeat them).  Over a break the numbers tell how many residues are missing, unless they do not increase: then one.

    Parameters
    ----------
    numbers : sequence of int
        Residue numbers of the file.
    breaks : ndarray
        As from `find_breaks`.

    Examples
    --------
    >>> count_on([5, 6, 10], breaks=np.array([1])).tolist()
    [0, 1, 5]
    """
    steps = np.ones(len(numbers), dtype=np.int32)
    steps[0] = 0
    jumps = np.diff(np.asarray(numbers, dtype=np.int64))[breaks]
    steps[breaks + 1] = np.maximum(jumps, 1)
    return np.cumsum(steps, dtype=np.int32)
