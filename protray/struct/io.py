"""Read protein chains from PDB and mmCIF files, plain or gzipped.

Only the first model and, of alternative locations, the one with the highest occupancy are read.  Modified residues
(selenomethionine and the like) count as their parent; waters, ligands and nucleic acids are left out.

Shape key:  L residues with coordinates   4 backbone atoms (N, CA, C, O)   3 x, y, z in Å
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from protray.seq.msa import InputError, read_bytes

BACKBONE = ("N", "CA", "C", "O")
FORMATS = {".pdb": "pdb", ".ent": "pdb", ".cif": "cif", ".mmcif": "cif"}


@dataclass(frozen=True)
class Chain:
    """One protein chain; only residues that are in the coordinates."""

    id: str  # the author's chain name
    sequence: str  # one letter per residue, X for what has no parent among the 20
    backbone_L43: np.ndarray  # float32, Å, NaN where an atom is missing
    numbers: tuple[str, ...]  # the author's residue numbers with insertion codes, e.g. "27A"


def is_structure(path: str | Path) -> bool:
    """Whether the name, without ``.gz``, ends as PDB and mmCIF files do."""
    return _suffix(path) in FORMATS


def structure_stem(path: str | Path) -> str:
    """The file's name without folder, ``.gz`` and ``.pdb``/``.cif``."""
    return Path(Path(path).name.removesuffix(".gz")).stem


def read_chains(path: str | Path) -> list[Chain]:
    """Read the protein chains of the first model.

    Raises
    ------
    InputError
        If the file is unreadable, of an unknown kind, or holds no protein chain.
    """
    from Bio.Data.PDBData import protein_letters_3to1_extended as letters
    from Bio.PDB.MMCIFParser import MMCIFParser
    from Bio.PDB.PDBParser import PDBParser

    if not is_structure(path):
        raise InputError(
            path, None, f"extension {_suffix(path)!r} is no structure format; known are {' '.join(FORMATS)}"
        )
    text = io.StringIO(read_bytes(path).decode("latin-1"))
    parser = MMCIFParser(QUIET=True) if FORMATS[_suffix(path)] == "cif" else PDBParser(QUIET=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Biopython warns about every oddity of a PDB file
            models: Any = parser.get_structure("", text)
            model = next(iter(models), None)
    except Exception as error:  # the parsers raise a dozen types: KeyError, ValueError, their own
        raise InputError(path, None, f"cannot be read as {FORMATS[_suffix(path)]}: {error}") from error
    chains = []
    for chain in model or ():
        residues = [residue for residue in chain if "CA" in residue and residue.get_resname().strip() in letters]
        if residues:
            chains.append(
                Chain(
                    id=chain.id,
                    sequence="".join(letters[residue.get_resname().strip()] for residue in residues),
                    backbone_L43=np.array([_backbone(residue) for residue in residues], dtype=np.float32),
                    numbers=tuple(f"{residue.id[1]}{residue.id[2].strip()}" for residue in residues),
                )
            )
    if not chains:
        raise InputError(path, None, "holds no protein chain with C-alpha atoms")
    return chains


def place(observed: str, sequence: str) -> np.ndarray | None:
    """Find where the residues with coordinates lie in the full sequence of the chain.

    Structures lack disordered residues, so `observed` must be `sequence` with some residues left out; X on either side
    fits everything.  The pieces are kept as few as possible.

    Returns
    -------
    positions : ndarray, dtype=int64, shape=(len(observed),), or None
        0-based and increasing; None when `observed` does not fit.
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


def _backbone(residue: Any) -> list[np.ndarray]:
    missing = np.full(3, np.nan)
    return [residue[name].coord if name in residue else missing for name in BACKBONE]


def _suffix(path: str | Path) -> str:
    return Path(Path(path).name.removesuffix(".gz")).suffix.lower()
