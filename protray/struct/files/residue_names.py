"""Residue names of simulation and refinement programs, as the three letters of the PDB.

Force fields have names for protonation states (HSE, HID, ASH, LYSH), disulfides (CYX, CYS2), the ends of a chain (NALA,
CALA) and D-amino acids (DALA).  Some are names of other compounds in the PDB (HSE is homoserine there, CYN cyanide), so
a name is only taken as a force field's for a residue with a C-alpha atom (`rename`).
"""

from functools import cache
from typing import Any

STANDARD = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL".split()
UNKNOWN = "???"  # three letters that no residue has, in place of an unknown name of four

# CHARMM, Amber, OPLS, GROMOS, Desmond and Maestro, AMOEBA, PDB2PQR, Rosetta, X-PLOR
_THREE = {
    "HIS": "HSD HSE HSP HID HIE HIP HIN HSN H1E H2D H2E",
    "CYS": "CYX CYM CYN CYD CYZ CYH CYT",
    "ASP": "ASH AS4",
    "GLU": "GLH GL4",
    "LYS": "LYN LYP LSN LYD",
    "ARG": "ARN AR0",
    "TYR": "TYM TYO TYD Y1P",
    "SER": "SRO S1P",
    "THR": "THO T1P",
    "PRO": "CPR",
}
# GROMOS, OPLS, CHARMM, CYANA and Insight (signs), Rosetta (HIS_D, cut)
_FOUR = {
    "ARG": "ARGN ARG+ ARGP",
    "ASN": "ASN1 ASNH",
    "ASP": "ASPH ASPP ASP1 ASP-",
    "CYS": "CYSH CYS1 CYS2 CYSS CYSM CYSN CYSX CYSZ CYS-",
    "GLU": "GLUH GLUP GLU1 GLU-",
    "HIS": "HISA HISB HISD HISE HISH HISP HISX HIST HIS1 HIS2 HIS+ HIS_",
    "LYS": "LYSH LYSN LYSP LYS+",
    "PHE": "PHEH PHEU",
    "PRO": "CPRO cPRO PROH",
    "TRP": "TRPH TRPU",
    "TYR": "TYRH TYRU TYRM TYR-",
}
_D = dict(
    zip(
        STANDARD, "DAL DAR DSG DAS DCY DGN DGL GLY DHI DIL DLE DLY MED DPN DPR DSN DTH DTR DTY DVA".split(), strict=True
    )
)
_ENDS = {name: name for name in STANDARD} | {name: to for to, names in _THREE.items() for name in names.split()}
THREE_LETTERS = {name: to for to, names in _THREE.items() for name in names.split()}
FOUR_LETTERS = (
    {end + name: to for end in "NC" for name, to in _ENDS.items()}
    | {"D" + name: to for name, to in _D.items()}
    | {name: to for to, names in _FOUR.items() for name in names.split()}
)
_ALIASES = THREE_LETTERS | FOUR_LETTERS
# Of names that the PDB has for another amino acid, the side-chain atom that only the force field's residue has.
_TELLING = {"HSE": "ND1", "GLH": "OE2"}


def rename(residue: Any) -> None:
    """Give a gemmi residue of a force field's name the PDB's, if it has a C-alpha atom."""
    if not residue.find_atom("CA", "*"):
        return
    name = residue.name[:4]  # of five letters (NCYS2, HIS_D) four tell
    found = _ALIASES.get(name) or _shifted(residue)
    if residue.het_flag == "H" and letter(name)[0]:  # perhaps what the PDB means by the name
        found = found if name in _TELLING and residue.find_atom(_TELLING[name], "*") else None
    if found:
        residue.name, residue.het_flag = found, "A"


@cache
def may_be_alias(name: str) -> bool:
    """Whether it may be a force field's name: `rename` has to look at the residue."""
    import gemmi

    return name[:4] in _ALIASES or not gemmi.find_tabulated_residue(name).found()


@cache
def letter(name: str) -> tuple[str | None, bool]:
    """The parent's letter (X: an amino acid without one, None: not known as one), and whether it is modified."""
    import gemmi
    from Bio.Data.PDBData import protein_letters_3to1_extended as parents

    residue = gemmi.find_tabulated_residue(name)
    if name.upper() in parents:
        return parents[name.upper()], not residue.is_standard()
    return ("X" if residue.is_amino_acid() else None), False


def _shifted(residue: Any) -> str | None:
    """The name when its first letter of four stands in the column of alternate locations, as some programs write it."""
    altlocs = {atom.altloc for atom in residue}
    found = FOUR_LETTERS.get(next(iter(altlocs)) + residue.name) if len(altlocs) == 1 else None
    if found:
        for atom in residue:
            atom.altloc = "\0"
    return found
