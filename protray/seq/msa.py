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
import string
import zlib
from dataclasses import dataclass
from pathlib import Path

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
_BLANK = b" \t\v\f"
_INSERTION = string.ascii_lowercase.encode() + b"."
_TABLE = encode(bytes(range(256)).upper()).tobytes()  # byte -> code


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
    """Aligned rows as bytes, each with its name and the 1-based line on which its letters start."""

    names: list[bytes]
    lines: list[int]
    rows: list[bytes]


def protein_id(path: str | Path) -> str:
    """The file's name without folder, ``.gz`` and format extension: ``x/1ABC_A.a3m.gz`` is protein ``1ABC_A``."""
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
        packed = file.read(2) == _GZIP
        file.seek(0)
        try:
            raw = (gzip.GzipFile(fileobj=file) if packed else file).read(MAX_BYTES + 1)
        except EOFError:
            raise InputError(path, None, "the gzip stream ends early: the file is truncated") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(path, None, f"the gzip stream is damaged: {error}") from None
    if len(raw) > MAX_BYTES:
        raise InputError(
            path, None, f"more than {MAX_BYTES} bytes of text; filter the alignment, e.g. at 90 % identity"
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
    """Turn the bytes of an alignment file into codes.

    Parameters
    ----------
    raw : bytes
        Decompressed content.
    fmt : {"a3m", "a2m", "stockholm", "fasta", "aln"} or None
        None: told from the content.
    source : str or Path
        Named in errors; its file name is the protein's id.
    """
    text = _clean(raw, source)
    fmt = fmt or _sniff(text)
    if fmt == "stockholm":
        found = _stockholm(text, source)
    elif fmt == "aln":
        found = _aln(text, source)
    elif fmt in ("a3m", "a2m"):
        found = _fasta(text, source, drop=_BLANK + _INSERTION)
    elif fmt == "fasta":
        found = _fasta(text, source, drop=_BLANK)
    else:
        raise ValueError(f"format {fmt!r} is not one of {sorted(set(FORMATS.values()))}")
    return Msa(protein_id(source), _encode(found, text, fmt, source))


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
    found = _fasta(text, "", drop=_BLANK)
    return "fasta" if len({len(row) for row in found.rows}) == 1 else "a3m"


def _fasta(text: bytes, source: str | Path, drop: bytes) -> _Rows:
    """Split '>' records, deleting the bytes `drop` from the letters; '#' lines before the first record are comments."""
    names: list[bytes] = []
    lines: list[int] = []
    letters: list[list[bytes]] = []
    skipping = False  # inside an annotation row
    for number, line in enumerate(io.BytesIO(text), start=1):
        if line.startswith(b">"):
            name = (line[1:].split(None, 1) or [b""])[0]
            skipping = not names and name.startswith(ANNOTATION)
            if not skipping:
                names.append(name)
                lines.append(number + 1)
                letters.append([])
        elif skipping:
            continue
        elif names:
            letters[-1].append(line.rstrip(b"\n").translate(None, drop))
        elif line.strip() and not line.startswith(b"#"):
            raise InputError(source, number, f"no query: text before the first '>' header: {_show(line)}")
    if not names:
        raise InputError(source, None, "no query: the file has no '>' header")
    return _Rows(names, lines, [b"".join(chunks) for chunks in letters])


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
    return _Rows(list(parts), list(lines.values()), [b"".join(chunks) for chunks in parts.values()])


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
    return _Rows([b""] * len(rows), lines, rows)


def _encode(found: _Rows, text: bytes, fmt: str, source: str | Path) -> np.ndarray:
    """Check the rows against the query and return codes_NL without the columns in which the query has a gap."""
    width = len(found.rows[0])
    if not width:
        hint = " (lower case is an insertion in this format)" if fmt in ("a3m", "a2m") else ""
        raise InputError(source, found.lines[0], f"no query: the first row has no residue{hint}")
    codes = b"".join(found.rows).translate(_TABLE)
    bad = codes.find(INVALID)
    if bad >= 0:
        ends = np.cumsum([len(row) for row in found.rows])
        row = int(np.searchsorted(ends, bad, side="right"))
        byte = found.rows[row][bad - (int(ends[row - 1]) if row else 0)]
        what = f"byte 0x{byte:02X} is not ASCII" if byte > 127 else f"{chr(byte)!r} is no residue and no gap"
        raise InputError(source, _line_with(byte, found.lines[row], text), f"{what}, in {_row(found, row)}")
    for row, letters in enumerate(found.rows):
        if len(letters) != width:
            reason = f"{_row(found, row)} has {len(letters)} aligned columns, the query has {width}"
            raise InputError(source, found.lines[row], reason)
    codes_NL = np.frombuffer(codes, dtype=np.uint8).reshape(len(found.rows), width)
    keep_L = codes_NL[0] != GAP
    if not keep_L.any():
        raise InputError(source, found.lines[0], f"no query: the first row holds nothing but {width} gaps")
    return codes_NL if keep_L.all() else codes_NL[:, keep_L]


def _line_with(byte: int, first: int, text: bytes) -> int:
    """The first line at or after line `first` that holds `byte`."""
    lines = text.split(b"\n")
    return next(number for number in range(first, len(lines) + 1) if byte in lines[number - 1])


def _row(found: _Rows, row: int) -> str:
    name = found.names[row].decode("ascii", "replace")
    return f"row {row + 1} ({name})" if name else f"row {row + 1}"


def _show(line: bytes) -> str:
    return repr(line[:30].strip().decode("ascii", "replace"))
