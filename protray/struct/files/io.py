"""Read protein chains from PDB and mmCIF files, plain or gzipped, told apart by content more than by name.

What is read, and what is not (all of it is counted):

- Only the first model.
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
- Chains of one name are told apart by TER, segments and numbers (`pdb_chains`): A, A-2, A-3; 1, 2, 3 without a name.

Shape key:  L residues with coordinates   M atoms of them   4 backbone atoms (N, CA, C, O)   10 of the side chain
            3 x, y, z in Å
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from protray.seq.errors import InputError
from protray.seq.files.packed import read_bytes
from protray.struct.files.content import format_of, looks_like, text_of
from protray.struct.files.locations import BACKBONE, backbone, one_per_place
from protray.struct.files.parsing import Parsed, parse_mmcif, parse_pdb
from protray.struct.files.residue_names import letter
from protray.struct.files.side_chains import AtomNames, read_side_chain, settle_side_chains

FORMATS = {".pdb": "pdb", ".ent": "pdb", ".cif": "cif", ".mmcif": "cif"}
NUCLEIC = ("Dna", "Rna", "DnaRnaHybrid")
PEPTIDES = ("PeptideL", "CyclicPseudoPeptide", "Other", "Unknown")  # the last two: what gemmi cannot name

LONGEST_REASON = 200  # letters of what gemmi says, which shows the line
_LINE = re.compile(r"(?:in line |data:)(\d+)")
_MISSING = [float("nan")] * 3
_NUCLEIC_ATOMS = ("C1'", "C1*")
_ARCHIVE_NAME = re.compile(r"pdb([0-9][0-9a-z]{3})\.ent", re.IGNORECASE)  # pdb4hhb.ent is entry 4hhb


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


@dataclass(frozen=True)
class Structure:
    """One file: its protein chains, what it says of itself, and how often which decision was taken."""

    chains: list[Chain]
    entry: str | None  # e.g. 4HHB
    method: str | None  # e.g. X-RAY DIFFRACTION
    resolution: float | None  # Å
    counts: Counter[str]
    plddt: bool = False  # whether the file says that pLDDT stands in the column of B factors


def is_structure(path: str | Path) -> bool:
    """Whether the name, without ``.gz``, ends as PDB and mmCIF files do.

    >>> is_structure("4hhb.cif.gz"), is_structure("4hhb.fasta")
    (True, False)
    """
    return _suffix(path) in FORMATS


def structure_stem(path: str | Path) -> str:
    """The file's name without folder, ``.gz`` and ``.pdb``/``.cif``; the entry's name for ``pdb4hhb.ent``.

    >>> structure_stem("folder/pdb4hhb.ent.gz")
    '4hhb'
    """
    name = Path(path).name.removesuffix(".gz")
    archived = _ARCHIVE_NAME.fullmatch(name)
    return archived[1] if archived else Path(name).stem


def read_chains(path: str | Path, *, side_chains: bool = False) -> list[Chain]:
    """Read the protein chains of a file, without side chains or with them.

    Raises
    ------
    InputError
        If the file is unreadable, of an unknown kind, or holds no protein chain.
    """
    _format(path)
    return parse_structure(read_bytes(path), path, side_chains=side_chains).chains


def parse_structure(
    raw: bytes, source: str | Path, *, heavy: bool = False, side_chains: bool = False, names: AtomNames = "iupac"
) -> Structure:
    """Read the protein chains in the decompressed content of a file.

    Parameters
    ----------
    raw : bytes
    source : str or Path
        Its extension tells the format where the content does not; named in errors.
    heavy : bool
        Whether all atoms are read, too, as they are in the file.
    side_chains : bool
        Whether side chains are read in the slots of `protray.struct.residues.atom14`.
    names : {"iupac", "as-is"}
        Which of two equivalent atoms of Asp, Glu, Phe, Tyr and Arg is the first of them: by the IUPAC rule
        (`equivalent_atoms`), or by the file's names.

    Raises
    ------
    InputError
        If the content is unreadable, of an unknown kind, or holds no protein chain.
    """
    source, named = str(source), _format(source)
    try:
        text = text_of(raw, source)
    except InputError as error:
        raise InputError(source, None, f"cannot be read as {named}: {error.reason}") from None
    format = format_of(text, named)
    counts: Counter[str] = Counter()
    try:
        parsed = parse_pdb(text, source, counts) if format == "pdb" else parse_mmcif(text, counts)
        chains = _chains(parsed, counts, heavy, names if side_chains else None)
    except InputError:
        raise
    except (ValueError, RuntimeError, IndexError) as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        line, look = _LINE.search(reason), looks_like(text)
        reason += f"; it looks like {look}" if look else ""
        raise InputError(source, int(line[1]) if line else None, f"cannot be read as {format}: {reason}") from error
    file = parsed.file
    if not chains:
        raise InputError(source, None, f"holds no protein chain with C-alpha atoms ({_instead(file, text, counts)})")
    return Structure(
        chains,
        entry=file.info["_entry.id"] if "_entry.id" in file.info else None,
        method=(file.info["_exptl.method"].upper() or None) if "_exptl.method" in file.info else None,
        resolution=file.resolution or None,
        counts=+counts,
        plddt=parsed.plddt,
    )


def _chains(parsed: Parsed, counts: Counter[str], heavy: bool, names: AtomNames | None) -> list[Chain]:
    file = parsed.file
    polymers = {name: entity.polymer_type.name for entity in file.entities for name in entity.subchains}
    chains = []
    for chain in file[0] if len(file) else ():
        name = parsed.names.get(chain.name) or chain.name
        made = _chain(name, _protein(chain, polymers, counts), parsed, counts, heavy, names)
        if made:
            chains.append(made)
    return chains


def _instead(file: Any, text: bytes, counts: Counter[str]) -> str:
    """What a file without a protein chain holds."""
    residues = [residue for chain in (file[0] if len(file) else ()) for residue in chain]
    if not residues:
        look = looks_like(text)
        return f"no atoms; it looks like {look}" if look else "no atoms"
    nucleotides = sum(any(residue.find_atom(name, "*") for name in _NUCLEIC_ATOMS) for residue in residues)
    others = [f"{counts[name]} {name.replace('_', ' ')}" for name in sorted(+counts)]
    if nucleotides and not counts["nucleic_acid_chains"]:
        others.append(f"{nucleotides} of {len(residues)} residues are nucleotides")
    return ", ".join(others)


def _protein(chain: Any, polymers: dict[str, str], counts: Counter[str]) -> list[Any]:
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


def _chain(
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


def _format(path: str | Path) -> str:
    if not is_structure(path):
        raise InputError(
            path, None, f"extension {_suffix(path)!r} is no structure format; known are {' '.join(FORMATS)}"
        )
    return FORMATS[_suffix(path)]


def _suffix(path: str | Path) -> str:
    return Path(Path(path).name.removesuffix(".gz")).suffix.lower()
