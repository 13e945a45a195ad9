"""Read protein chains from PDB and mmCIF files, plain or gzipped, told apart by content more than by name.

What is read, and what is not (all of it is counted):

- Only the first model, and of it protein chains; what of a chain is said in `chain`.
- Chains of one name are told apart by TER, segments and numbers (`pdb_chains`): A, A-2, A-3; 1, 2, 3 without a name.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protray.seq.errors import InputError
from protray.seq.files.packed import read_bytes
from protray.struct.files.chain import Chain, chain_of, peptides
from protray.struct.files.content import format_of, looks_like, text_of
from protray.struct.files.parsing import Parsed, parse_mmcif, parse_pdb
from protray.struct.files.side_chains import AtomNames

FORMATS = {".pdb": "pdb", ".ent": "pdb", ".cif": "cif", ".mmcif": "cif"}

LONGEST_REASON = 200  # letters of what gemmi says, which shows the line
_LINE = re.compile(r"(?:in line |data:)(\d+)")
_NUCLEIC_ATOMS = ("C1'", "C1*")
_ARCHIVE_NAME = re.compile(r"pdb([0-9][0-9a-z]{3})\.ent", re.IGNORECASE)  # pdb4hhb.ent is entry 4hhb


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
        made = chain_of(name, peptides(chain, polymers, counts), parsed, counts, heavy, names)
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


def _format(path: str | Path) -> str:
    if not is_structure(path):
        raise InputError(
            path, None, f"extension {_suffix(path)!r} is no structure format; known are {' '.join(FORMATS)}"
        )
    return FORMATS[_suffix(path)]


def _suffix(path: str | Path) -> str:
    return Path(Path(path).name.removesuffix(".gz")).suffix.lower()
