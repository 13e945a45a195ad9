"""FASTA files, plain or packed: the one reader of them.

Three ways to read one: `fasta_records` as it stands; `stream_fasta` and `read_fasta` with an error in place of each
record that cannot be used; `read_sequences` of files of which all has to be right.
"""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from protray.seq.alphabet import GAP, UNKNOWN, encode
from protray.seq.msa import InputError

OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}  # of packed files
SUFFIXES = (".fasta", ".fa", ".faa")
FOREIGN = "\ufffd"  # what `open_text` reads in place of a byte that is not ASCII


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
            found.extend(sorted(file for file in path.rglob("*") if _is_fasta(file)))
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    if not found:
        raise ValueError(f"no FASTA file ({', '.join(SUFFIXES)}, plain or .gz .xz .bz2) in {[str(p) for p in paths]}")
    return list(dict.fromkeys(found))


def open_text(path: Path) -> IO[str]:
    """Open a text file that may be packed with gzip, xz or bzip2."""
    return OPENERS.get(path.suffix, open)(path, "rt", encoding="ascii", errors="replace")


def fasta_records(path: Path) -> Iterator[tuple[int, str | None, str]]:
    """Yield (line of the header, header, letters) of each record; the header of text in front of the first is None.

    Raises InputError, after the last whole record, for a file that is cut off or damaged; OSError if the disk, and
    not the file, is at fault.
    """
    first, header, letters, told = 1, None, [], None
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, start=1):
                if number == 1:
                    line = line.lstrip(FOREIGN)  # a byte-order mark
                if line.startswith(">"):
                    if header is not None or any(letters):
                        yield first, header, "".join(letters)
                        told = first
                    first, header, letters = number, line[1:], []
                else:
                    letters.append("".join(line.split()))
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:  # unpacking raises OSErrors without a number
            raise
        where = "behind this record" if told else "in its first record"
        raise InputError(path, told, f"the file is damaged {where}, all that follows is lost: {error}") from None
    if header is not None or any(letters):
        yield first, header, "".join(letters)


def stream_fasta(path: Path) -> Iterator[Source | InputError]:
    """Yield the records of a FASTA file one by one, with an error in place of each that has no usable id."""
    try:
        for line, header, letters in fasta_records(path):
            id = _id_of(header)
            if header is None:
                reason = f"text in front of the first '>': {letters[:30]!r}"
            elif not id:
                reason = "a record without an id behind '>'"
            elif FOREIGN in id:
                reason = f"id {id!r} holds bytes that are not ASCII"
            else:
                yield Source(id, str(path), line, letters)
                continue
            yield InputError(path, line, reason, id or None)
    except InputError as error:
        yield error


def read_fasta(path: Path) -> tuple[list[Source], list[InputError]]:
    """Read the records of a FASTA file; the id is the first word of the header.

    Of records with one id the first is kept; the others are errors, and so is whatever follows damage in the file.
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

    Raises InputError for a file that is cut off, damaged, or does not begin with a record.
    """
    for path in fasta_files(paths):
        for line, header, letters in fasta_records(path):
            if header is None:
                reason = f"{letters[:40]!r} is in front of the first FASTA record, which starts with '>'; remove it"
                raise InputError(path, line, reason)
            yield _id_of(header), letters


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
        hint = "; is this an alignment?" if codes_L[position] == GAP else ""
        raise ValueError(f"{letters[position]!r} at position {position + 1} is no residue{hint}")
    return codes_L


def _id_of(header: str | None) -> str:
    return header.split(maxsplit=1)[0] if header and header.strip() else ""


def _is_fasta(path: Path) -> bool:
    unpacked = path.stem if path.suffix in OPENERS else path.name
    return unpacked.endswith(SUFFIXES) and path.is_file()
