"""Read multiple sequence alignments: A3M, A2M, Stockholm, aligned FASTA and PSI-BLAST-like ``.aln``, plain or packed.

The first row is the query, and the columns of the result are exactly its residues:

- A3M and A2M: lower-case letters and '.' are insertions relative to the query and are dropped.  Lower case in the query
  itself is an error, because those residues would vanish, unless all rows have these columns (then they are kept).
- Stockholm, FASTA, aln: every row has the same length; lower case is the same residue as upper case.
- All: columns in which the query has a gap ('-', '.', '~' or '*') are dropped.

Rows that are no homologs are dropped: annotation and consensus rows (``protray.seq.files.msa_formats``), rows without
one of the 20 amino acids in a column of the query, and exact repetitions of the query under its own name.

B, J, O, U, X and Z become ``UNKNOWN``.  Anything else that is neither a residue nor a gap is an error that names the
line.  Limit: ``MAX_BYTES`` of text, which holds 200,000 rows of 5,000 columns; memory peaks at about five times that.

Shape key:  N aligned sequences   L residues of the query
"""

import os
import re
import string
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from protray.seq.alphabet import AMINO_ACIDS, GAP, GAP_LETTERS, INVALID, N_AA, decode, encode
from protray.seq.errors import SHOWN, InputError, first_of
from protray.seq.files.foreign import looks_like
from protray.seq.files.kinds import MIN_STATES3, STATES8, are_states, not_protein
from protray.seq.files.msa_formats import START, Rows, read_aln, read_fasta_rows, read_stockholm, sniff
from protray.seq.files.names import unquoted
from protray.seq.files.packed import read_bytes, without_packing

FORMATS = {
    ".a3m": "a3m",
    ".a2m": "a2m",
    ".sto": "stockholm",
    ".stk": "stockholm",
    ".stockholm": "stockholm",
    ".fasta": "fasta",
    ".fa": "fasta",
    ".fas": "fasta",
    ".faa": "fasta",
    ".afa": "fasta",
    ".aln": "aln",
}
UNCLEAR = ("", ".msa", ".txt")  # extensions that say nothing: the content decides

_START_CODE, _INVALID = 254, bytes([INVALID])
_BLANK = b" \t\v\f\n"
_LOWER = string.ascii_lowercase.encode()
_INSERTION = _LOWER + b"."
_TABLE = bytes([_START_CODE]) + encode(bytes(range(1, 256)).upper()).tobytes()  # byte -> code
_STOP = re.compile(rb"\*\s*(?=\0|\Z)")
_SUSPECT = np.array([code >= N_AA or ord(AMINO_ACIDS[code]) in STATES8 for code in range(GAP + 1)])
_SUSPECTS = np.flatnonzero(_SUSPECT).astype(np.uint8).tobytes()
_SOME = 8  # columns that are looked at first
_HINTS = {
    "/": "; '/' parts chains: give one alignment per chain",
    ":": "; ':' parts chains: give one alignment per chain",
    "#": "; does a second alignment begin here? Give one file per protein",
    "\0": "; does a second alignment begin here? Give one file per protein",
} | dict.fromkeys(string.digits, "; remove numbers, and rows that are no sequences")


@dataclass(frozen=True)
class Msa:
    """One alignment: `codes_NL` is uint8, shape (N, L), codes of ``protray.seq.alphabet``; row 0 is the query."""

    id: str
    codes_NL: np.ndarray


def protein_id(path: str | Path) -> str:
    """The file's name without folder, ``.gz`` or its like and format extension; ``%7C`` in it is ``|``, and so on.

    >>> protein_id("folder/1ABC_A.a3m.gz"), protein_id("sp%7CP00698.a3m")
    ('1ABC_A', 'sp|P00698')
    """
    name = without_packing(os.path.basename(path))
    stem, suffix = os.path.splitext(name)
    return unquoted(stem if suffix.lower() in FORMATS or suffix.lower() in UNCLEAR else name)


def format_of(path: str | Path) -> str | None:
    """The format that the extension names; None where the content has to decide; InputError for a foreign extension."""
    suffix = os.path.splitext(without_packing(os.path.basename(path)))[1].lower()
    if suffix in UNCLEAR:
        return None
    if suffix not in FORMATS:
        raise InputError(path, None, f"extension {suffix!r} is no alignment format; known are {' '.join(FORMATS)}")
    return FORMATS[suffix]


def read_msa(path: str | Path) -> Msa:
    """Read one alignment; the format follows from the extension, or from the content where that says nothing.

    Raises
    ------
    InputError
        With the file, the line and the reason.
    """
    fmt = format_of(path)
    return parse_msa(read_bytes(path), fmt, path)


def parse_msa(raw: bytes, fmt: str | None, source: str | Path) -> Msa:
    r"""Turn the bytes of an alignment file into codes.

    Parameters
    ----------
    raw : bytes
        Decompressed content.
    fmt : {"a3m", "a2m", "stockholm", "fasta", "aln"} or None
        None: told from the content.
    source : str or Path
        Named in errors; its file name is the protein's id.

    Examples
    --------
    >>> msa = parse_msa(b">query\nMKV\n>homolog\nM-V\n", "fasta", "1abcA.fasta")
    >>> msa.id, msa.codes_NL.tolist()
    ('1abcA', [[12, 11, 19], [12, 21, 19]])
    """
    text = _clean(raw, source)
    try:
        kind = fmt or sniff(text)
        if fmt is None and kind == "aln" and b"\n" not in text.strip():
            told = (
                "one line of letters without a header; of a protein, name the file .aln, or put a line '>id' above it"
            )
            raise InputError(source, 1, told)
        return Msa(protein_id(source), _parse(text, kind, source))
    except InputError as error:
        if fmt != "stockholm" and (kind := looks_like(text)):
            raise InputError(source, 1, kind) from None
        raise error from None


def _clean(raw: bytes, source: str | Path) -> bytes:
    """Strip a byte-order mark and a closing NUL, make line ends '\\n', and refuse what is empty or no text."""
    text = raw.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in text:
        text = _without_nul(text, source)
    if not text or text.isspace():
        raise InputError(source, None, "the file is empty")
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def _without_nul(text: bytes, source: str | Path) -> bytes:
    """An entry of an MMseqs2 or ffindex database ends with NUL; InputError for several, and for what is no text."""
    entries = [entry for entry in text.split(b"\0", 2) if entry.strip()]
    if text.isascii() and all(entry.lstrip().startswith((b">", b"#")) for entry in entries):
        if len(entries) < 2:
            return b"".join(entries)
        number = sum(bool(entry.strip()) for entry in text.split(b"\0"))
        many = "two alignments" if number == 2 else f"{number:,} alignments"
        line = text.count(b"\n", 0, text.index(b"\0")) + 1
        reason = f"{many} separated by NUL, as in MMseqs2 and ffindex databases; unpack them, one file per protein"
        raise InputError(source, line, reason)
    line = text.count(b"\n", 0, text.index(b"\0")) + 1
    if text.startswith((b"\xff\xfe", b"\xfe\xff", b">\0", b"\0>")):
        raise InputError(source, line, "UTF-16 text; save it as UTF-8 or ASCII")
    raise InputError(source, line, "holds a NUL byte: a binary or UTF-16 file, not an alignment in plain text")


def _parse(text: bytes, fmt: str, source: str | Path) -> np.ndarray:
    readers = {
        "stockholm": read_stockholm, "aln": read_aln, "a3m": read_fasta_rows, "a2m": read_fasta_rows,
        "fasta": read_fasta_rows,
    }  # fmt: skip
    if fmt not in readers:
        raise ValueError(f"format {fmt!r} is not one of {sorted(readers)}")
    found = readers[fmt](text, source)
    return _encode(found, text, fmt, source)


def _encode(found: Rows, text: bytes, fmt: str, source: str | Path) -> np.ndarray:
    """Check the rows against the query; codes_NL without its gaps, and without rows that are no homologs."""
    insertions = _INSERTION if fmt in ("a3m", "a2m") else b""
    end = found.letters.find(START, 1)
    query = found.letters[1 : end if end > 0 else None].translate(None, _BLANK)
    if insertions and query.translate(None, _INSERTION) and query != query.upper():
        if not _same_insertions(found, len(query)):
            raise InputError(source, found.place(0)[1], _lower_case(query))
        insertions = b""
    packed = found.letters.translate(_TABLE, _BLANK + insertions)
    codes = np.frombuffer(packed, dtype=np.uint8)
    even = not len(codes) % found.n and (codes.reshape(found.n, -1)[:, 0] == _START_CODE).all()
    width = len(codes) // found.n - 1
    if not even and b"*" in found.letters and (stopped := _without_stops(found)).letters != found.letters:
        with suppress(InputError):
            return _encode(stopped, text, fmt, source)
    if not even or not width or _INVALID in packed:
        raise _fault(codes, found, text, (fmt, insertions), source)
    codes_NL = codes.reshape(found.n, 1 + width)[:, 1:]
    keep_L = codes_NL[0] != GAP
    if not keep_L.any():
        raise InputError(source, found.place(0)[1], f"no query: the first row holds nothing but {width} gaps")
    if reason := not_protein(query):
        raise InputError(source, found.place(0)[1], reason)
    codes_NL = np.ascontiguousarray(codes_NL if keep_L.all() else codes_NL[:, keep_L])
    return _without_others(codes_NL, _again(packed, 1 + width), found, source)


def _without_stops(found: Rows) -> Rows:
    """Rows without the '*' of a stop codon at their ends."""
    return replace(found, letters=_STOP.sub(b"", found.letters))


def _again(packed: bytes, size: int) -> list[int]:
    """Numbers of the rows, of `size` bytes each, that are the same as the first."""
    found, at = [], packed.find(packed[:size], size)
    while at >= 0:
        found.append(at // size)
        at = packed.find(packed[:size], at + size)
    return found


def _fault(codes: np.ndarray, found: Rows, text: bytes, read: tuple[str, bytes], source: str | Path) -> InputError:
    """What is wrong with rows that were `read` as (format, letters of insertions): no residue, a letter, a width."""
    fmt, insertions = read
    starts_N = np.flatnonzero(codes == _START_CODE)
    widths_N = np.diff(starts_N, append=len(codes)) - 1
    width = int(widths_N[0])
    if not width:
        hint = " (lower case is an insertion in this format; write the query in upper case)" if insertions else ""
        return InputError(source, found.place(0)[1], f"no query: the first row has no residue{hint}")
    bad = np.flatnonzero(codes == INVALID)
    if len(bad):
        row = int(np.searchsorted(starts_N, bad[0])) - 1
        letters = found.letters.split(START)[row + 1].translate(None, _BLANK + insertions)
        byte = letters[bad[0] - starts_N[row] - 1]
        what = f"byte 0x{byte:02X} is not ASCII" if byte > 127 else f"{chr(byte)!r} is no residue and no gap"
        line = _line_with(byte, found.place(row)[1], text)
        if text.split(b"\n", line)[line - 1].strip() == b"//":
            return InputError(source, line, "two alignments separated by '//'; give one file per protein")
        return InputError(source, line, f"{what}, in {_row(found, row)}{_HINTS.get(chr(byte), '')}")
    row = int(np.flatnonzero(widths_N != width)[0])
    reason = f"{_row(found, row)} has {widths_N[row]} aligned columns, the query has {width}"
    if fmt == "fasta" and found.letters != found.letters.upper():
        reason += "; lower case counts here: is this an A3M file?"
    return InputError(source, found.place(row)[1], reason)


def _same_insertions(found: Rows, width: int) -> bool:
    """Whether several rows have the columns of the query, and lower case or '.' in the same, as A2M is written in full.

    Then these columns are as good as those of a Stockholm file.
    """
    raw = np.frombuffer(found.letters.translate(None, _BLANK), dtype=np.uint8)
    if raw.size <= 1 + width or raw.size % (1 + width):
        return False
    raw_NL = raw.reshape(-1, 1 + width)
    is_inserted = np.zeros(256, dtype=bool)
    is_inserted[list(_INSERTION)] = True
    starts = ord(START)
    return bool((raw_NL[:, 0] == starts).all() and (is_inserted[raw_NL] == is_inserted[raw_NL[0]]).all())


def _lower_case(query: bytes) -> str:
    residues = query.translate(None, GAP_LETTERS.encode())
    lower = [position for position, letter in enumerate(residues, start=1) if letter in _LOWER]
    letters = first_of([chr(residues[position - 1]) for position in lower], 5)
    many = "s" if len(lower) > 1 else ""
    return (
        f"the query has residue{many} {letters} (position{many} {first_of(lower, 5)}) in lower case, which is an "
        "insertion in this format and would vanish: write the query in upper case and align the rows to all of it"
    )


def _without_others(codes_NL: np.ndarray, again: list[int], found: Rows, source: str | Path) -> np.ndarray:
    """Drop rows that hold no amino acid, and those `again` like the query by name, too; refuse secondary structure."""
    some_CN = codes_NL[:, :: max(1, codes_NL.shape[1] // _SOME)].T  # rule out nearly all rows
    others = found.namesakes(again)
    for row in np.flatnonzero(np.logical_and.reduce(_SUSPECT[some_CN])).tolist():
        codes_L = codes_NL[row]
        if codes_L.tobytes().translate(None, _SUSPECTS):
            continue
        n_residues = np.count_nonzero(codes_L < N_AA)
        if not n_residues and row:
            others.append(row)
        elif n_residues >= MIN_STATES3 and are_states(decode(codes_L).replace("X", "B").encode()):
            reason = f"{_row(found, row)} holds secondary-structure states (H, E, C ...), not residues; remove it"
            raise InputError(source, found.place(row)[1], reason)
    return np.delete(codes_NL, others, axis=0) if others else codes_NL


def _line_with(byte: int, first: int, text: bytes) -> int:
    """The first line at or after line `first` that holds `byte`."""
    lines = text.split(b"\n")
    return next(number for number in range(first, len(lines) + 1) if byte in lines[number - 1])


def _row(found: Rows, row: int) -> str:
    name = found.place(row)[0][:SHOWN].decode("ascii", "replace")
    return f"row {row + 1} ({name})" if name else f"row {row + 1}"
