"""Which of two atoms that are one chemically is named the first: by the IUPAC rule, not by the file.

In 140 entries of the PDB a tenth of Asp and a seventh of Tyr break the rule; so a net would see two kinds of them.

Shape key:  L residues   A 14 atoms (`protray.struct.residues.atom14`)   3 x, y, z in Å
"""

import numpy as np

from protray.seq.alphabet import AMINO_ACIDS
from protray.struct.residues.atom14 import ATOMS, CHI_SLOTS, EQUIVALENT


def name_equivalents(codes_L: np.ndarray, atoms_LA3: np.ndarray) -> tuple[np.ndarray, int]:
    """Exchange the equivalent atoms of Asp, Glu, Phe, Tyr and Arg where the second is nearer to chi = 0.

    That is the rule |chi| <= 90 degrees (J. Mol. Biol. 52, 1, 1970), since the two are half a turn apart; and it gives
    the same whichever was the first, in a distorted group, too, or where one of the two is missing.

    Parameters
    ----------
    codes_L : ndarray
        Of `protray.seq.alphabet`.
    atoms_LA3 : ndarray
        NaN where an atom is missing; not changed.

    Returns
    -------
    atoms_LA3 : ndarray
    exchanged : int
        Residues.
    """
    atoms_LA3, exchanged = atoms_LA3.copy(), 0
    for aa, (chi, *pairs) in EQUIVALENT.items():
        code = AMINO_ACIDS.index(aa)
        rows = np.flatnonzero(codes_L == code)
        slots = [[ATOMS[aa].index(name) for name in pair] for pair in pairs]
        axis = CHI_SLOTS[code, chi - 1, :3]
        first, second = (_cos_torsion(atoms_LA3[rows][:, [*axis, end]]) for end in slots[0])
        # of one alone the other is half a turn away; without either, or without an axis, nothing is known
        first, second = np.where(np.isnan(first), -second, first), np.where(np.isnan(second), -first, second)
        wrong = rows[second > first]
        for a, b in slots:  # the right-hand sides are copies
            atoms_LA3[wrong, a], atoms_LA3[wrong, b] = atoms_LA3[wrong, b], atoms_LA3[wrong, a]
        exchanged += len(wrong)
    return atoms_LA3, exchanged


def _cos_torsion(points_N43: np.ndarray) -> np.ndarray:
    """Cosine of the torsion of four points, shape (N,); NaN where a point is missing or three are on one line.

    >>> float(_cos_torsion(np.array([[[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [-2, 0, 1]]]))[0])
    -1.0
    """
    a_N3, axis_N3, b_N3 = np.diff(points_N43.astype(np.float64), axis=1).transpose(1, 0, 2)
    left_N3, right_N3 = np.cross(a_N3, axis_N3), np.cross(axis_N3, b_N3)
    norm_N = np.linalg.norm(left_N3, axis=1) * np.linalg.norm(right_N3, axis=1)
    return np.divide((left_N3 * right_N3).sum(axis=1), norm_N, out=np.full(len(norm_N), np.nan), where=norm_N > 0)
