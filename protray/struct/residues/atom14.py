"""Which heavy atoms the 20 amino acids have, in slots; which four of them each side-chain torsion turns.

Slots 0 to 3 are N, CA, C, O; the side chain follows from CB on, by distance from the backbone and then by the digit of
the name, as the IUPAC rules order them (J. Mol. Biol. 52, 1, 1970).  No residue has more than 14.  The terminal OXT has
no slot.
"""

import numpy as np

from protray.seq.alphabet import AMINO_ACIDS, UNKNOWN

BACKBONE = ("N", "CA", "C", "O")
SLOTS, SIDE_SLOTS = 14, 10  # atoms of a residue, and those of them beyond the backbone
N, CA, C, O, CB = range(5)  # noqa: E741  (the names of atoms)
MAX_CHI = 5

_SIDE_CHAINS = {
    "A": "CB",
    "R": "CB CG CD NE CZ NH1 NH2",
    "N": "CB CG OD1 ND2",
    "D": "CB CG OD1 OD2",
    "C": "CB SG",
    "Q": "CB CG CD OE1 NE2",
    "E": "CB CG CD OE1 OE2",
    "G": "",
    "H": "CB CG ND1 CD2 CE1 NE2",
    "I": "CB CG1 CG2 CD1",
    "L": "CB CG CD1 CD2",
    "K": "CB CG CD CE NZ",
    "M": "CB CG SD CE",
    "F": "CB CG CD1 CD2 CE1 CE2 CZ",
    "P": "CB CG CD",
    "S": "CB OG",
    "T": "CB OG1 CG2",
    "W": "CB CG CD1 CD2 NE1 CE2 CE3 CZ2 CZ3 CH2",
    "Y": "CB CG CD1 CD2 CE1 CE2 CZ OH",
    "V": "CB CG1 CG2",
}
ATOMS = {aa: BACKBONE + tuple(_SIDE_CHAINS[aa].split()) for aa in AMINO_ACIDS}  # in the order of the slots

# the atoms that side-chain torsions lead along: chi_1 is of the first four, chi_2 of the four from the second on, ...
_CHI_PATHS = {
    "R": "N CA CB CG CD NE CZ NH1",
    "N": "N CA CB CG OD1",
    "D": "N CA CB CG OD1",
    "C": "N CA CB SG",
    "Q": "N CA CB CG CD OE1",
    "E": "N CA CB CG CD OE1",
    "H": "N CA CB CG ND1",
    "I": "N CA CB CG1 CD1",
    "L": "N CA CB CG CD1",
    "K": "N CA CB CG CD CE NZ",
    "M": "N CA CB CG SD CE",
    "F": "N CA CB CG CD1",
    "P": "N CA CB CG CD",
    "S": "N CA CB OG",
    "T": "N CA CB OG1",
    "W": "N CA CB CG CD1",
    "Y": "N CA CB CG CD1",
    "V": "N CA CB CG1",
}

# Atoms of two names that are one chemically, and the torsion whose size says which is the first: IUPAC names them so
# that |chi| <= 90 degrees.
EQUIVALENT = {
    "D": (2, ("OD1", "OD2")),
    "E": (3, ("OE1", "OE2")),
    "F": (2, ("CD1", "CD2"), ("CE1", "CE2")),
    "Y": (2, ("CD1", "CD2"), ("CE1", "CE2")),
    "R": (5, ("NH1", "NH2")),
}


def _chi_slots() -> np.ndarray:
    table = np.full((UNKNOWN + 1, MAX_CHI, 4), -1, np.int64)
    for aa, path in _CHI_PATHS.items():
        slots = [ATOMS[aa].index(name) for name in path.split()]
        for chi in range(len(slots) - 3):
            table[AMINO_ACIDS.index(aa), chi] = slots[chi : chi + 4]
    return table


def _turned_slots() -> np.ndarray:
    table = np.zeros((UNKNOWN + 1, MAX_CHI, SLOTS), bool)
    for code, chi in zip(*np.nonzero(CHI_SLOTS[:, :, 0] >= 0), strict=True):
        if AMINO_ACIDS[code] == "P":
            continue  # a ring does not turn
        atoms = ATOMS[AMINO_ACIDS[code]]
        axis = _REMOTENESS.index(atoms[CHI_SLOTS[code, chi, 2]][1])
        for slot in range(CB, len(atoms)):
            table[code, chi, slot] = _REMOTENESS.index(atoms[slot][1]) > axis
    return table


_REMOTENESS = "BGDEZH"  # second letters of side-chain atoms, beta to eta, by distance from the backbone
CHI_SLOTS = _chi_slots()  # (21 codes, 5 torsions, 4 atoms); -1 where a residue has no such torsion
TURNED_SLOTS = _turned_slots()  # (21 codes, 5 torsions, 14 slots): the atoms that a torsion moves; of Pro none
HAS = np.array(
    [[slot < len(ATOMS[aa]) for slot in range(SLOTS)] for aa in AMINO_ACIDS] + [[slot < 4 for slot in range(SLOTS)]]
)  # (21 codes, 14 slots): whether a residue has an atom there; X has the backbone
