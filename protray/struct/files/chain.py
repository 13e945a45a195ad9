"""One protein chain of a parsed file: which of its residues count, and what is read of them.

- L-peptides alone: nucleic acids, other polymers, ligands and waters are left out, amino acids that are ligands too.
- Names of force fields are read as the residue that they mean (`residue_names`).  Modified residues (selenomethionine
  and the like) count as their parent; amino acids without one, UNK, selenocysteine and pyrrolysine as X.  A residue of
  an unknown name is X if it has N, CA and C, and is left out otherwise.
- Residues without a C-alpha atom are left out.
- Of alternate locations, the one whose backbone atoms have the highest occupancy in sum is read, the first of equals;
  of two residues in one place, the one of the higher occupancy (`locations`).
- Side chains, where they are asked for, are those of the backbone's location.  Atoms are told by their names, those of
  modified residues by the names of the parent's (SE of selenomethionine is SD); the terminal OXT and atoms that the
  parent lacks are left out, and so are atoms more than 12 Å from their C-alpha atom.
- Insertion codes are part of the residue number; the order is that of the file.

Shape key:  L residues with coordinates   M atoms of them   4 backbone atoms (N, CA, C, O)   10 of the side chain
            3 x, y, z in Å
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from protray.struct.files.locations import BACKBONE, backbone, one_per_place
from protray.struct.files.parsing import Parsed
from protray.struct.files.residue_names import letter
from protray.struct.files.side_chains import AtomNames, read_side_chain, settle_side_chains

NUCLEIC = ("Dna", "Rna", "DnaRnaHybrid")
PEPTIDES = ("PeptideL", "CyclicPseudoPeptide", "Other", "Unknown")  # the last two: what gemmi cannot name
_MISSING = [float("nan")] * 3


@dataclass(frozen=True)
class HeavyAtoms:
    """All atoms of a chain but hydrogens, residue by residue; of alternate locations that of the highest occupancy."""

    names: list[str]  # such as CA
    elements: list[str]  # upper case
    residue_names: list[str]  # as the file has them
    residue_M: np.ndarray  # int64, the residue of each atom, from 0
    xyz_M3: np.ndarray  # float32, Å


@dataclass(frozen=True)
class Chain:
    """One protein chain; only residues that are in the coordinates."""

    id: str  # the author's chain name
    sequence: str  # one letter per residue, X for what has no parent among the 20
    backbone_L43: np.ndarray  # float32, Å, NaN where an atom is missing
    numbers: tuple[str, ...]  # the author's residue numbers with insertion codes, e.g. "27A"
    positions: tuple[int, ...] = ()  # in the sequence of the entity (mmCIF), else the author's numbers without codes
    entity: str | None = None  # its number in an mmCIF file that lists sequences; PDB files have none
    heavy: HeavyAtoms | None = None  # where they were asked for
    sidechains_L103: np.ndarray | None = None  # likewise; float32, Å, slots 4 to 13 of `atom14`, NaN where missing
    b_factors_L: np.ndarray | None = None  # float32, of the C-alpha atoms


def peptides(chain: Any, polymers: dict[str, str], counts: Counter[str]) -> list[Any]:
    """Residues of the L-peptides of one chain; counts the others."""
    residues, ligands = [], []
    for part in chain.subchains():
        kind, polymer = part[0].entity_type.name, polymers.get(part.subchain_id(), "Unknown")
        if kind == "Water":
            counts["waters"] += len(part)
        elif kind != "Polymer":
            ligands += part
        elif polymer in NUCLEIC:
            counts["nucleic_acid_chains"] += 1
        elif polymer not in PEPTIDES:
            counts["other_polymers"] += 1
        else:
            residues += part
    strays = _strays(ligands)
    counts["ligands"] += len(ligands) - len(strays)
    return residues + strays


def _strays(ligands: list[Any]) -> list[Any]:
    """Amino acids of the chain that gemmi takes for ligands since they follow a water or a ligand.

    Several in ATOM records, that is, with the modified ones among them.
    """
    atoms = [at for at, residue in enumerate(ligands) if residue.het_flag == "A" and letter(residue.name)[0]]
    if len(atoms) < 2:
        return []
    return [residue for residue in ligands[: atoms[-1] + 1] if letter(residue.name)[0] and residue.find_atom("CA", "*")]


def chain_of(
    name: str, residues: list[Any], parsed: Parsed, counts: Counter[str], heavy: bool, names: AtomNames | None
) -> Chain | None:
    """Letters, backbones, side chains and numbers of the residues that have a C-alpha atom; None if none has."""
    letters, coordinates, side_chains, b_factors, kept = [], [], [], [], []
    for residue, others in one_per_place(residues, counts):
        atoms, location, alternate = backbone(residue, others, parsed.has_locations)
        one, modified = letter(residue.name)
        if one is None and {"N", "CA", "C"} <= atoms.keys():
            one = "X"
        if one is None or "CA" not in atoms:
            counts["residues_without_ca"] += 1
            continue
        if names:
            side_chain, of_side_chain = read_side_chain(residue, one, location)
            side_chains += side_chain
            alternate |= of_side_chain
        if alternate:
            counts["alternate_locations"] += 1
        if modified:
            counts["modified_residues"] += 1
        letters.append(one)
        for atom in BACKBONE:
            coordinates += atoms[atom].pos.tolist() if atom in atoms else _MISSING
        b_factors.append(atoms["CA"].b_iso)
        kept.append(residue)
    if not kept:
        return None
    places = [residue.seqid for residue in kept]
    counts["inserted_residues"] += sum(place.icode.isalpha() for place in places)
    counts["unknown_residues"] += letters.count("X")
    positions = tuple(residue.label_seq for residue in kept) if parsed.in_sequence else ()
    sequence = "".join(letters)
    backbone_L43 = np.array(coordinates, dtype=np.float32).reshape(-1, len(BACKBONE), 3)
    return Chain(
        id=name,
        sequence=sequence,
        backbone_L43=backbone_L43,
        numbers=tuple(map(str, places)),
        positions=tuple(map(_position, places)) if None in positions or not positions else positions,
        entity=kept[0].entity_id or None if parsed.in_sequence else None,
        heavy=_heavy(kept) if heavy else None,
        sidechains_L103=settle_side_chains(sequence, backbone_L43, side_chains, names, counts) if names else None,
        b_factors_L=np.array(b_factors, dtype=np.float32),
    )


def _heavy(residues: list[Any]) -> HeavyAtoms:
    atoms, residue_M = [], []
    for number, residue in enumerate(residues):
        best: dict[str, Any] = {}
        for atom in residue:
            if not atom.is_hydrogen() and (atom.name not in best or atom.occ > best[atom.name].occ):
                best[atom.name] = atom
        atoms += best.values()
        residue_M += [number] * len(best)
    return HeavyAtoms(
        names=[atom.name for atom in atoms],
        elements=[atom.element.name.upper() for atom in atoms],
        residue_names=[residues[number].name for number in residue_M],
        residue_M=np.array(residue_M),
        xyz_M3=np.array([atom.pos.tolist() for atom in atoms], dtype=np.float32),
    )


def _position(place: Any) -> int:
    """The residue's number; a digit where the insertion code stands is the fifth of a number above 9,999."""
    return int(str(place)) if place.icode.isdigit() else place.num
