"""Read multiple sequence alignments: A3M, A2M, Stockholm, aligned FASTA and PSI-BLAST-like ``.aln``, plain or gzipped.

The first row is the query, and the columns of the result are exactly its residues:

- A3M and A2M: lower-case letters and '.' are insertions relative to the query and are dropped.
- Stockholm, FASTA, aln: every row has the same length; lower case is the same residue as upper case.
- All: columns in which the query has a gap ('-', '.' or '*') are dropped.

B, J, O, U, X and Z become ``UNKNOWN``.  Anything else that is neither a residue nor a gap is an error that names the
line.  Limit: ``MAX_BYTES`` of text, which holds 200,000 rows of 5,000 columns; memory peaks at about five times that.

Shape key:  N aligned sequences   L residues of the query
"""

import gzip
import io
import re
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from protray.seq.alphabet import GAP, INVALID, encode

MAX_BYTES = 1 << 30
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
ANNOTATION = (b"ss_pred", b"ss_conf", b"ss_dssp", b"sa_dssp", b"aa_dssp")  # rows HH-suite puts before the query

_GZIP = b"\x1f\x8b"
_START = b"\0"  # stands before every row; no text holds it
_START_CODE = 254
_HEADER = re.compile(rb"\n>[^\n]*")
_BLANK = b" \t\v\f\n"
_INSERTION = string.ascii_lowercase.encode() + b"."
_TABLE = bytes([_START_CODE]) + encode(bytes(range(1, 256)).upper()).tobytes()  # byte -> code


class InputError(ValueError):
    """A user's file that cannot be used: which `file`, which 1-based `line` (or None), why, and for which protein."""

    def __init__(self, file: str | Path, line: int | None, reason: str, id: str | None = None) -> None:
        super().__init__(str(file), line, reason, id)  # all arguments, so that the error survives pickling
        self.file, self.line, self.reason, self.id = str(file), line, reason, id

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.reason}"


@dataclass(frozen=True)
class Msa:
    """One alignment: `codes_NL` is uint8, shape (N, L), codes of ``protray.seq.alphabet``; row 0 is the query."""

    id: str
    codes_NL: np.ndarray


@dataclass(frozen=True)
class _Rows:
    """The rows of a file, each after a `_START`; `place` tells a row's name and the line on which its letters start."""

    letters: bytes
    place: Callable[[int], tuple[bytes, int]]


def protein_id(path: str | Path) -> str:
    """The file's name without folder, ``.gz`` and format extension: ``x/1ABC_A.a3m.gz`` is protein ``1ABC_A``.

    >>> protein_id("folder/1ABC_A.a3m.gz")
    '1ABC_A'
    """
    name = Path(path).name.removesuffix(".gz")
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in FORMATS or suffix.lower() in UNCLEAR else name


def format_of(path: str | Path) -> str | None:
    """The format that the extension names; None where the content has to decide; InputError for a foreign extension."""
    suffix = Path(Path(path).name.removesuffix(".gz")).suffix.lower()
    if suffix in UNCLEAR:
        return None
    if suffix not in FORMATS:
        raise InputError(path, None, f"extension {suffix!r} is no alignment format; known are {' '.join(FORMATS)}")
    return FORMATS[suffix]


def read_bytes(path: str | Path) -> bytes:
    """Read a whole file, decompressing gzip (told by its first two bytes, not by its name), at most ``MAX_BYTES``."""
    with open(path, "rb") as file:
        return unpack(file, path)


def unpack(file: BinaryIO, source: str | Path) -> bytes:
    """Read an open file as `read_bytes` does; `source` is named in errors."""
    packed = file.read(2) == _GZIP
    file.seek(0)
    try:
        raw = (gzip.GzipFile(fileobj=file) if packed else file).read(MAX_BYTES + 1)
    except EOFError:
        raise InputError(source, None, "the gzip stream ends early: the file is truncated") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(source, None, f"the gzip stream is damaged: {error}") from None
    if len(raw) > MAX_BYTES:
        raise InputError(
            source, None, f"more than {MAX_BYTES} bytes of text; filter the alignment, e.g. at 90 % identity"
        )
    return raw


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
    fmt = fmt or _sniff(text)
    readers = {"stockholm": _stockholm, "aln": _aln, "a3m": _fasta, "a2m": _fasta, "fasta": _fasta}
    if fmt not in readers:
        raise ValueError(f"format {fmt!r} is not one of {sorted(readers)}")
    return Msa(protein_id(source), _encode(readers[fmt](text, source), text, fmt, source))


def _clean(raw: bytes, source: str | Path) -> bytes:
    """Strip a byte-order mark, make line ends '\\n', and refuse what is empty or no text."""
    text = raw.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in text:
        line = text.count(b"\n", 0, text.index(b"\0")) + 1
        raise InputError(source, line, "holds a NUL byte: a binary or UTF-16 file, not an alignment in plain text")
    if not text.strip():
        raise InputError(source, None, "the file is empty")
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def _sniff(text: bytes) -> str:
    """Tell the format: a Stockholm header; '>' with rows of equal length is FASTA, otherwise A3M; or bare rows."""
    if text.startswith(b"# STOCKHOLM"):
        return "stockholm"
    if not text.lstrip().startswith((b">", b"#")):
        return "aln"
    rows = _fasta(text, "").letters.translate(None, _BLANK).split(_START)[1:]
    return "fasta" if len({len(row) for row in rows}) == 1 else "a3m"


def _fasta(text: bytes, source: str | Path) -> _Rows:
    """Take the headers of '>' records out; '#' lines before the first record are comments."""
    text = b"\n" + text
    start = text.find(b"\n>")
    for number, line in enumerate(io.BytesIO(text[1:] if start < 0 else text[1 : start + 1]), start=1):
        if line.strip() and not line.startswith(b"#"):
            raise InputError(source, number, f"no query: text before the first '>' header: {_show(line)}")
    while text.startswith(ANNOTATION, start + 2):
        start = text.find(b"\n>", start + 2)
    if start < 0:
        raise InputError(source, None, "no query: the file has no '>' header")

    def place(row: int) -> tuple[bytes, int]:
        header = next(islice(_HEADER.finditer(text, start), row, None))
        name = (header[0][2:].split(None, 1) or [b""])[0]
        return name, text.count(b"\n", 0, header.end()) + 1

    return _Rows(_HEADER.sub(_START, text[start:]), place)


def _stockholm(text: bytes, source: str | Path) -> _Rows:
    """Collect the rows of one Stockholm alignment, interleaved or not."""
    parts: dict[bytes, list[bytes]] = {}
    lines: dict[bytes, int] = {}
    ended = False
    for number, line in enumerate(io.BytesIO(text), start=1):
        fields = line.split()
        if number == 1 and not line.startswith(b"# STOCKHOLM"):
            raise InputError(source, 1, f"a Stockholm file starts with '# STOCKHOLM 1.0', this one with {_show(line)}")
        if not fields or line.startswith(b"#") and not ended:
            continue
        if ended:
            raise InputError(source, number, "holds a second alignment after '//'; one file per protein")
        if fields[0] == b"//":
            ended = True
        elif len(fields) != 2:
            raise InputError(source, number, f"expected a name and an aligned row, found {len(fields)} fields")
        else:
            parts.setdefault(fields[0], []).append(fields[1])
            lines.setdefault(fields[0], number)
    if not ended:
        raise InputError(source, None, "ends without '//': the file is truncated")
    if not parts:
        raise InputError(source, None, "no query: the alignment has no row")
    rows = (_START + b"".join(chunks) for chunks in parts.values())
    return _Rows(b"".join(rows), lambda row: list(lines.items())[row])


def _aln(text: bytes, source: str | Path) -> _Rows:
    """One aligned row per line, without names; the first is the query."""
    lines: list[int] = []
    rows: list[bytes] = []
    for number, line in enumerate(io.BytesIO(text), start=1):
        fields = line.split()
        if number == 1 and line.upper().startswith((b"CLUSTAL", b"MUSCLE", b">")):
            raise InputError(
                source, 1, f"starts with {_show(line)}: .aln takes one bare row per line; convert to FASTA"
            )
        if len(fields) > 1:
            raise InputError(source, number, f"{len(fields)} fields on a line; .aln takes one aligned row per line")
        if fields:
            lines.append(number)
            rows.append(fields[0])
    return _Rows(b"".join(_START + row for row in rows), lambda row: (b"", lines[row]))


def _encode(found: _Rows, text: bytes, fmt: str, source: str | Path) -> np.ndarray:
    """Check the rows against the query and return codes_NL without the columns in which the query has a gap."""
    insertions = _INSERTION if fmt in ("a3m", "a2m") else b""
    codes = np.frombuffer(found.letters.translate(_TABLE, _BLANK + insertions), dtype=np.uint8)
    starts_N = np.flatnonzero(codes == _START_CODE)
    widths_N = np.diff(starts_N, append=len(codes)) - 1
    width = int(widths_N[0])
    if not width:
        hint = " (lower case is an insertion in this format)" if insertions else ""
        raise InputError(source, found.place(0)[1], f"no query: the first row has no residue{hint}")
    bad = np.flatnonzero(codes == INVALID)
    if len(bad):
        row = int(np.searchsorted(starts_N, bad[0])) - 1
        letters = found.letters.split(_START)[row + 1].translate(None, _BLANK + insertions)
        byte = letters[bad[0] - starts_N[row] - 1]
        what = f"byte 0x{byte:02X} is not ASCII" if byte > 127 else f"{chr(byte)!r} is no residue and no gap"
        raise InputError(source, _line_with(byte, found.place(row)[1], text), f"{what}, in {_row(found, row)}")
    ragged = np.flatnonzero(widths_N != width)
    if len(ragged):
        row = int(ragged[0])
        reason = f"{_row(found, row)} has {widths_N[row]} aligned columns, the query has {width}"
        raise InputError(source, found.place(row)[1], reason)
    codes_NL = codes.reshape(-1, 1 + width)[:, 1:]
    keep_L = codes_NL[0] != GAP
    if not keep_L.any():
        raise InputError(source, found.place(0)[1], f"no query: the first row holds nothing but {width} gaps")
    return np.ascontiguousarray(codes_NL if keep_L.all() else codes_NL[:, keep_L])


def _line_with(byte: int, first: int, text: bytes) -> int:
    """The first line at or after line `first` that holds `byte`."""
    lines = text.split(b"\n")
    return next(number for number in range(first, len(lines) + 1) if byte in lines[number - 1])


def _row(found: _Rows, row: int) -> str:
    name = found.place(row)[0].decode("ascii", "replace")
    return f"row {row + 1} ({name})" if name else f"row {row + 1}"


def _show(line: bytes) -> str:
    return repr(line[:30].strip().decode("ascii", "replace"))
