"""Backbones as PDB text.

Shape key:  L residues   4 backbone atoms (N, CA, C, O)   3 x, y, z in Å
"""

import numpy as np

from protray.struct.files.locations import BACKBONE

_THREE = dict(
    zip(
        "ARNDCQEGHILKMFPSTWYV",
        "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL".split(),
        strict=True,
    )
)


def atom_lines(
    sequence: str, backbone_L43: np.ndarray, chain: str = "A", serial: int = 1, unknown: str = "UNK"
) -> list[str]:  # fmt: skip
    """ATOM lines of the atoms that are there; residue i of the chain is number i + 1.

    Coordinates have to lie between -999 and 9,999 Å: their columns are no wider.

    >>> print(atom_lines("G", np.full((1, 4, 3), [[np.nan] * 3, [1.5, 0, 0], [np.nan] * 3, [np.nan] * 3]))[0])
    ATOM      1  CA  GLY A   1       1.500   0.000   0.000  1.00  0.00           C
    """
    lines = []
    for index, (letter, atoms_43) in enumerate(zip(sequence, backbone_L43, strict=True)):
        for atom, (x, y, z) in zip(BACKBONE, atoms_43, strict=True):
            if np.isfinite([x, y, z]).all():
                lines.append(
                    f"ATOM  {(serial + len(lines)) % 100000:5d}  {atom:<3s} {_THREE.get(letter, unknown)} {chain}"
                    f"{index + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           {atom[0]}"
                )
    return lines
