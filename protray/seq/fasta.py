"""FASTA files, plain or packed: the one reader of them.

Three ways to read one: `fasta_records` as it stands; `stream_fasta`, `clean_fasta` and `read_fasta` with an error in
place of each record that cannot be used; `read_sequences` of files of which all has to be right.  None takes a file
that is cut off or damaged for a shorter one.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from protray.seq.alphabet import GAP, UNKNOWN, decode, encode
from protray.seq.errors import InputError, is_of_disk
from protray.seq.files.folders import list_folder
from protray.seq.files.foreign import looks_like
from protray.seq.files.kinds import not_protein, states_beside
from protray.seq.files.msa_formats import PIR, TWO_IN_ONE, is_pir
from protray.seq.files.packed import DAMAGE, open_unpacked, without_packing

SUFFIXES = (".fasta", ".fa", ".faa")
_HINTS = {
    ":": "; ':' parts chains: give one record for each",
    "/": "; '/' parts chains: give one record for each",
    "*": "; is this a stop codon inside?",
} | dict.fromkeys("0123456789", "; remove numbers and confidence values")
FOREIGN = "\ufffd"  # what `open_text` reads in place of a byte that is not ASCII


class Record(NamedTuple):
    """A record as it stands: the line of its header, the header (None of text in front of the first), its lines."""

    line: int
    header: str | None
    lines: list[str]

    @property
    def letters(self) -> str:
        return "".join("".join(self.lines).split())

    @property
    def id(self) -> str:
        """The first word of the header."""
        words = self.header.split(maxsplit=1) if self.header else None
        return words[0] if words else ""

    def fault(self, id: str) -> str | None:
        """Why it is no single protein with an id, or None."""
        if self.header is None:
            begins = "".join(self.lines[:50])
            kind = looks_like(begins.encode("ascii", "replace"))
            return f"text in front of the first '>': {begins.strip()[:30]!r}" + (f", which {kind}" if kind else "")
        if kind := self.other_kind():
            return kind
        if not id:
            return "a record without an id behind '>'"
        return f"id {id!r} holds bytes that are not ASCII; rename it" if FOREIGN in id else None

    def other_kind(self) -> str | None:
        """Of what other format it is, or None."""
        if is_pir(self.header or ""):
            return PIR
        return TWO_IN_ONE if states_beside(self.lines) else None


@dataclass(frozen=True)
class Source:
    """Where a protein comes from: an alignment file, or a record of a FASTA file and the line it starts on."""

    id: str
    file: str
    line: int | None = None
    sequence: str | None = None


def fasta_files(paths: Iterable[Path]) -> list[Path]:
    """Expand folders into the FASTA files inside them, sorted by name; each file once.

    Raises ValueError for a path that is not there, and if there is no file at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            listing = list_folder(path)
            if unread := [error for error in listing.errors if _is_fasta(Path(error.file))]:
                raise unread[0]
            found.extend(file for file in listing.files if _is_fasta(file))
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    if not found:
        raise ValueError(f"no FASTA file ({', '.join(SUFFIXES)}, plain or .gz .xz .bz2) in {[str(p) for p in paths]}")
    return list(dict.fromkeys(found))


def open_text(path: Path) -> IO[str]:
    """Open a text file that may be packed with gzip, xz or bzip2, whatever its name."""
    return io.TextIOWrapper(open_unpacked(path), encoding="ascii", errors="replace")


def fasta_records(path: Path) -> Iterator[Record]:
    """Yield each record.

    Raises InputError, after the last whole record, for a file that is cut off or damaged; OSError if the disk, and
    not the file, is at fault.
    """
    record, told = Record(1, None, []), None
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, start=1):
                if number == 1:
                    line = _first_line(line, path)
                if line[:1] == "\0":
                    line = line.lstrip("\0")  # between the records of an MMseqs2 database
                if line.startswith(">"):
                    if record.header is not None or any(map(str.strip, record.lines)):
                        yield record
                        told = record.line
                    record = Record(number, line[1:], [])
                else:
                    record.lines.append(line)
    except DAMAGE as error:
        if is_of_disk(error):
            raise
        where = f"damaged {'behind this record' if told else 'in its first record'}, all that follows is lost"
        raise InputError(path, told, f"the file is {where}: get it anew ({error})") from None
    if record.header is not None or any(map(str.strip, record.lines)):
        yield record


def _first_line(line: str, path: Path) -> str:
    """Without a byte-order mark; InputError for UTF-16."""
    plain = line.lstrip(FOREIGN)
    if plain.startswith((">\0", "\0>")):
        raise InputError(path, 1, "UTF-16 text; save it as UTF-8 or ASCII")
    return plain


def stream_fasta(path: Path) -> Iterator[Source | InputError]:
    """Yield the records of a FASTA file one by one, with an error in place of each that is no protein with an id.

    Raises InputError as `fasta_records` does: how many records are lost behind the damage, nobody knows.
    """
    file = str(path)
    for record in fasta_records(path):
        id = record.id
        if reason := record.fault(id):
            yield InputError(path, record.line, reason, id or None)
        else:
            yield Source(id, file, record.line, record.letters)


def clean_fasta(path: Path) -> Iterator[Source | InputError]:
    """The same in plain residues (`in_residues`)."""
    return map(in_residues, stream_fasta(path))


def in_residues(found: Source | InputError) -> Source | InputError:
    """A protein in upper-case letters of residues; an error in place of one with another letter (`codes_of`)."""
    if isinstance(found, InputError):
        return found
    try:
        return replace(found, sequence=decode(codes_of(found.sequence or "")))
    except ValueError as error:
        return InputError(found.file, found.line, str(error), found.id)


def read_fasta(path: Path) -> tuple[list[Source], list[InputError]]:
    """Read the records of a FASTA file; the id is the first word of the header.

    Of records with one id the first is kept; the others are errors.
    """
    if not path.is_file():
        raise ValueError(f"{path} is a folder; give it to --msas" if path.is_dir() else f"{path}: no such file")
    found: dict[str, Source] = {}
    errors: list[InputError] = []
    for source in stream_fasta(path):
        if isinstance(source, InputError):
            errors.append(source)
        elif source.id in found:
            reason = f"id {source.id!r} is also that of the record on line {found[source.id].line}, which is kept"
            errors.append(InputError(path, source.line, reason, source.id))
        else:
            found[source.id] = source
    return list(found.values()), errors


def read_sequences(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) of every record of files and folders; the id is the first word of its header.

    Raises InputError for a file that is cut off, damaged, or does not begin with a record of a protein.
    """
    for path in fasta_files(paths):
        for number, record in enumerate(fasta_records(path)):
            if record.header is None:
                reason = f"{record.letters[:40]!r} is in front of the first FASTA record, which starts with '>'"
                raise InputError(path, record.line, reason + "; remove it")
            if not number and (kind := record.other_kind()):  # then all are; of one among many it may be chance
                raise InputError(path, record.line, kind)
            yield record.id, record.letters


def plain_letters(sequence: str) -> str:
    """Upper case (lower case is masked and means the same), without the '*' of a stop codon at the end."""
    return sequence.upper().removesuffix("*")


def codes_of(sequence: str) -> np.ndarray:
    """Residue codes of a record, uint8, shape (L,); ValueError naming the first letter that is no residue."""
    letters = plain_letters(sequence)
    codes_L = encode(letters)
    if not codes_L.size:
        raise ValueError("the record has no residue")
    foreign = np.flatnonzero(codes_L > UNKNOWN)
    if foreign.size:
        position = int(foreign[0])
        hint = _HINTS.get(letters[position], "; is this an alignment?" if codes_L[position] == GAP else "")
        raise ValueError(f"{letters[position]!r} at position {position + 1} is no residue{hint}")
    if reason := not_protein(sequence.encode("ascii", "replace")):
        raise ValueError(reason)
    return codes_L


def _is_fasta(path: Path) -> bool:
    return without_packing(path.name).endswith(SUFFIXES)
