"""Read protein chains from PDB and mmCIF files, plain or gzipped.

What is read, and what is not (all of it is counted):

- Only the first model.
- L-peptides alone: nucleic acids, other polymers, ligands and waters are left out, amino acids that are ligands too.
- Modified residues (selenomethionine and the like) count as their parent; amino acids without one, UNK, selenocysteine
  and pyrrolysine as X.  A residue of an unknown name is X if it has N, CA and C, and is left out otherwise.
- Residues without a C-alpha atom are left out.
- Of alternate locations, the one whose backbone atoms have the highest occupancy in sum is read, the first of equals;
  of two residues in one place, the one of the higher occupancy.
- Insertion codes are part of the residue number; the order is that of the file.

Shape key:  L residues with coordinates   4 backbone atoms (N, CA, C, O)   3 x, y, z in Å
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from protray.seq.msa import InputError, read_bytes

BACKBONE = ("N", "CA", "C", "O")
FORMATS = {".pdb": "pdb", ".ent": "pdb", ".cif": "cif", ".mmcif": "cif"}
NUCLEIC = ("Dna", "Rna", "DnaRnaHybrid")
PEPTIDES = ("PeptideL", "CyclicPseudoPeptide", "Other", "Unknown")  # the last two: what gemmi cannot name

_MISSING = [float("nan")] * 3
_NO_ALTLOC = "\0"
# An atom line whose columns 31 to 54 are not three numbers of eight columns each.
_BAD_ATOM = re.compile(rb"\n(?:ATOM  |HETATM).{24}(?!(?:(?= {0,7}[-+]?\.?\d)[ \d.+-]{8}){3})")
_ARCHIVE_NAME = re.compile(r"pdb([0-9][0-9a-z]{3})\.ent", re.IGNORECASE)  # pdb4hhb.ent is entry 4hhb


@dataclass(frozen=True)
class Chain:
    """One protein chain; only residues that are in the coordinates."""

    id: str  # the author's chain name
    sequence: str  # one letter per residue, X for what has no parent among the 20
    backbone_L43: np.ndarray  # float32, Å, NaN where an atom is missing
    numbers: tuple[str, ...]  # the author's residue numbers with insertion codes, e.g. "27A"
    positions: tuple[int, ...] = ()  # in the sequence of the entity (mmCIF), else the author's numbers without codes
    entity: str | None = None  # its number in an mmCIF file that lists sequences; PDB files have none


@dataclass(frozen=True)
class Structure:
    """One file: its protein chains, what it says of itself, and how often which decision was taken."""

    chains: list[Chain]
    entry: str | None  # e.g. 4HHB
    method: str | None  # e.g. X-RAY DIFFRACTION
    resolution: float | None  # Å
    counts: Counter[str]


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


def read_chains(path: str | Path) -> list[Chain]:
    """Read the protein chains of a file.

    Raises
    ------
    InputError
        If the file is unreadable, of an unknown kind, or holds no protein chain.
    """
    _format(path)
    return parse_structure(read_bytes(path), path).chains


def parse_structure(raw: bytes, source: str | Path) -> Structure:
    """Read the protein chains in the decompressed content of a file.

    Parameters
    ----------
    raw : bytes
    source : str or Path
        Its extension tells the format; named in errors.

    Raises
    ------
    InputError
        If the content is unreadable, of an unknown kind, or holds no protein chain.
    """
    file, in_sequence = _parse(raw, _format(source), source)
    counts: Counter[str] = Counter(files_with_several_models=int(len(file) > 1))
    polymers = {name: entity.polymer_type.name for entity in file.entities for name in entity.subchains}
    chains = []
    for chain in file[0] if len(file) else ():
        made = _chain(chain.name, _protein(chain, polymers, counts), in_sequence, counts)
        if made:
            chains.append(made)
    if not chains:
        others = ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in sorted(+counts))
        raise InputError(source, None, f"holds no protein chain with C-alpha atoms ({others or 'no atoms'})")
    return Structure(
        chains,
        entry=file.info["_entry.id"] if "_entry.id" in file.info else None,
        method=(file.info["_exptl.method"].upper() or None) if "_exptl.method" in file.info else None,
        resolution=file.resolution or None,
        counts=+counts,
    )


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


def _parse(raw: bytes, format: str, source: str | Path) -> tuple[Any, bool]:
    """Parse with gemmi (Any: its stubs are incomplete); the second value is whether the file lists its sequences.

    Only then do an mmCIF file's entities and places in their sequences (label_seq_id) mean something: programs that
    write models tend to number the residues at hand.
    """
    import gemmi

    if not raw.strip():
        raise InputError(source, None, f"cannot be read as {format}: the file is empty")
    if format == "pdb":
        bad = _BAD_ATOM.search(b"\n" + raw)  # gemmi reads what is no number as 0
        if bad:
            line = raw.count(b"\n", 0, bad.start()) + 1
            shown = raw[bad.start() :].split(b"\n", 1)[0][:54].decode("latin-1")
            raise InputError(source, line, f"cannot be read as pdb: no three coordinates in {shown!r}")
    try:
        if format == "pdb":
            file, in_sequence = gemmi.read_pdb_string(raw), False
        else:
            block = gemmi.cif.read_string(raw)[0]
            in_sequence = bool(block.find_values("_entity_poly_seq.entity_id"))
            file = gemmi.make_structure_from_block(block)
        file.merge_chain_parts()
        file.setup_entities()
    except (ValueError, RuntimeError, IndexError) as error:
        reason = " ".join(str(error).split()) or "it has no data block"
        raise InputError(source, None, f"cannot be read as {format}: {reason}") from error
    return file, in_sequence


def _protein(chain: Any, polymers: dict[str, str], counts: Counter[str]) -> list[Any]:
    """Residues of the L-peptides of one chain; counts the others."""
    residues = []
    for part in chain.subchains():
        kind, polymer = part[0].entity_type.name, polymers.get(part.subchain_id(), "Unknown")
        if kind == "Water":
            counts["waters"] += len(part)
        elif kind != "Polymer":
            counts["ligands"] += len(part)
        elif polymer in NUCLEIC:
            counts["nucleic_acid_chains"] += 1
        elif polymer not in PEPTIDES:
            counts["other_polymers"] += 1
        else:
            residues += part
    return residues


def _chain(name: str, residues: list[Any], in_sequence: bool, counts: Counter[str]) -> Chain | None:
    """Letters, backbones and numbers of the residues that have a C-alpha atom; None if none has."""
    letters, backbones, kept = [], [], []
    for residue in _one_per_place(residues, counts):
        backbone, alternate = _backbone(residue)
        letter, modified = _letter(residue.name)
        if letter is None and {"N", "CA", "C"} <= backbone.keys():
            letter = "X"
        if letter is None or "CA" not in backbone:
            counts["residues_without_ca"] += 1
            continue
        if alternate:
            counts["alternate_locations"] += 1
        if modified:
            counts["modified_residues"] += 1
        letters.append(letter)
        backbones.append([backbone.get(atom, _MISSING) for atom in BACKBONE])
        kept.append(residue)
    if not kept:
        return None
    places = [residue.seqid for residue in kept]
    counts["inserted_residues"] += sum(place.icode != " " for place in places)
    counts["unknown_residues"] += letters.count("X")
    positions = tuple(residue.label_seq for residue in kept) if in_sequence else ()
    return Chain(
        id=name,
        sequence="".join(letters),
        backbone_L43=np.array(backbones, dtype=np.float32),
        numbers=tuple(map(str, places)),
        positions=tuple(place.num for place in places) if None in positions or not positions else positions,
        entity=kept[0].entity_id or None if in_sequence else None,
    )


def _one_per_place(residues: list[Any], counts: Counter[str]) -> list[Any]:
    """Of residues that are alternatives to each other (one number, several names), the one of highest occupancy."""
    places = [(residue.label_seq, str(residue.seqid)) for residue in residues]
    if len(set(places)) == len(places):
        return residues
    kept = []
    for _, group in groupby(zip(places, residues, strict=True), key=itemgetter(0)):
        rivals = [residue for _, residue in group]
        if len(rivals) > 1 and all(atom.has_altloc() for residue in rivals for atom in residue):
            counts["residues_of_two_kinds"] += 1
            kept.append(max(rivals, key=lambda residue: max(atom.occ for atom in residue)))
        else:
            kept += rivals
    return kept


def _backbone(residue: Any) -> tuple[dict[str, list[float]], bool]:
    """Coordinates of the backbone atoms by name, and whether a choice between locations was made."""
    atoms = [residue.find_atom(name, "*") for name in BACKBONE]
    found = {atom.name: atom for atom in atoms if atom}
    choice = any(atom.has_altloc() for atom in found.values())
    if choice:
        atoms = [atom for atom in residue if atom.name in BACKBONE]
        occupancy: Counter[str] = Counter()
        for atom in atoms:
            occupancy[atom.altloc] += atom.occ
        del occupancy[_NO_ALTLOC]
        chosen, choice = max(occupancy, key=occupancy.__getitem__), len(occupancy) > 1
        atoms.sort(key=lambda atom: (atom.altloc not in (_NO_ALTLOC, chosen), -atom.occ))
        found = {atom.name: atom for atom in reversed(atoms)}  # the first of a name stays
    return {name: atom.pos.tolist() for name, atom in found.items()}, choice


@cache
def _letter(name: str) -> tuple[str | None, bool]:
    """The parent's letter (X: an amino acid without one, None: not known as one), and whether it is modified."""
    import gemmi
    from Bio.Data.PDBData import protein_letters_3to1_extended as parents

    residue = gemmi.find_tabulated_residue(name)
    if name in parents:
        return parents[name], not residue.is_standard()
    return ("X" if residue.is_amino_acid() else None), False


def _format(path: str | Path) -> str:
    if not is_structure(path):
        raise InputError(
            path, None, f"extension {_suffix(path)!r} is no structure format; known are {' '.join(FORMATS)}"
        )
    return FORMATS[_suffix(path)]


def _suffix(path: str | Path) -> str:
    return Path(Path(path).name.removesuffix(".gz")).suffix.lower()
