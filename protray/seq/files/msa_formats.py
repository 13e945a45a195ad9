"""The rows of alignment files: A3M, A2M and aligned FASTA, Stockholm, and PSI-BLAST-like ``.aln``.

Rows that are no sequences are left out, wherever they stand (names as HH-suite and its companions write them):
secondary structure, solvent accessibility and their confidence (``ss_pred``, ``ss_conf``, ``ss_dssp``, ``sa_dssp``,
``aa_dssp``, ...), and consensus sequences (``Consensus``, ``NAME_consensus``).
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

from protray.seq.errors import InputError, first_of, shown
from protray.seq.files.foreign import CONVERT, PIR_TYPES
from protray.seq.files.kinds import states_beside

START = b"\0"  # stands before every row; no text holds it
TWO_IN_ONE = "sequence and states in one record; give such a file to --labels, or remove the line of states"
PIR = f"PIR format: {CONVERT}"

_HEADER = re.compile(rb"\n>[^\n]*")
_NAME = rb"(?:(?i:ss|sa|aa)_(?i:pred|conf|dssp|psipred|stride|cons|acc)|(?:psipred|dssp|stride|jnet\w*)(?![^\s]))"
_CONSENSUS = rb"(?:[Cc]onsensus(?![^\s])|Cons-|[^\s>]*_[Cc]onsensus)"
_ANNOTATION = re.compile(_NAME + b"|" + _CONSENSUS)
_ANNOTATED = re.compile(rb"\n>(?:%b|%b)[^\n]*(?:\n(?!>)[^\n]*)*" % (_NAME, _CONSENSUS))
# all but those that may be annotation: so that files without any are read in one go
_MARK = rb"[SsAa][SsAa]_|psipred|dssp|stride|jnet|[Cc]onsensus|Cons-"
_PLAIN_HEADER = re.compile(rb"\n>(?!%b)[^\n]*" % _MARK)
_MARKED_LINE = re.compile(rb"\n(?:%b)" % _MARK)
_IS_CONSENSUS = re.compile(_CONSENSUS)
_COLABFOLD = re.compile(rb"#\s*(\d+(?:,\d+)+)(?:\s+\d+(?:,\d+)*)?\s*$")  # lengths of the chains, and copies of each
_PAIRED = re.compile(rb"1\d\d(?:\s1\d\d)+\s*$")  # ColabFold numbers chains from 101 on


@dataclass(frozen=True)
class Rows:
    """`n` rows of a file, each after a `START`; `place` tells a row's name and the line on which its letters start."""

    n: int
    letters: bytes
    place: Callable[[int], tuple[bytes, int]]
    names: Callable[[], Iterable[bytes]] = lambda: ()

    def namesakes(self, rows: Sequence[int]) -> list[int]:
        """Of some rows those with the query's name; none in a format without names."""
        query = self.place(0)[0]
        names = dict(enumerate(self.names())) if query and rows else {}
        return [row for row in rows if names.get(row) == query]


def is_pir(header: str) -> bool:
    """Whether a header, without '>', is one of PIR: ``P1;NAME``, with a description on the next line."""
    return header[2:3] == ";" and header[:2] in PIR_TYPES


def sniff(text: bytes) -> str:
    """Tell the format: a Stockholm header; '>' with rows of equal length is FASTA, otherwise A3M; or bare rows."""
    if text.lstrip().startswith(b"# STOCKHOLM"):
        return "stockholm"
    if not text.lstrip().startswith((b">", b"#")):
        return "aln"
    rows = read_fasta_rows(text, "").letters.translate(None, b" \t\v\f\n").split(START)[1:]
    return "fasta" if len({len(row) for row in rows}) == 1 else "a3m"


def read_fasta_rows(text: bytes, source: str | Path) -> Rows:
    """Take the headers of '>' records out; '#' lines before the first record are comments."""
    text = b"\n" + text
    start = text.find(b"\n>")
    _check_beginning(text[1:] if start < 0 else text[1 : start + 1], source)
    if start < 0:
        raise InputError(source, None, "no query: the file has no '>' header")
    letters, n = _PLAIN_HEADER.subn(START, text[start:])
    marked = b">" in letters or b"onsensus" in text
    if marked:
        letters, n = _HEADER.subn(START, _ANNOTATED.sub(b"", text[start:]))

    def headers() -> Iterator[re.Match[bytes]]:
        every = _HEADER.finditer(text, start)
        return (header for header in every if not _ANNOTATION.match(header[0], 2)) if marked else every

    def place(row: int) -> tuple[bytes, int]:
        header = next(islice(headers(), row, None))
        return _first_word(header[0][2:]), text.count(b"\n", 0, header.end()) + 1

    if not letters.startswith(START):
        raise InputError(source, None, "no query: nothing but annotation and consensus rows; rename the query")
    query = next(headers())
    line = text.count(b"\n", 0, query.end())
    end = letters.find(START, 1)
    _check_query(query[0][2:], letters[1 : end if end > 0 else None], line, source)
    if marked:
        before = (_first_word(found[0][2:]) for found in _HEADER.finditer(text, start))
        _check_consensus(list(takewhile(_ANNOTATION.match, before)), _first_word(query[0][2:]), line, source)
    return Rows(n, letters, place, lambda: (_first_word(header[0][2:]) for header in headers()))


def _check_beginning(text: bytes, source: str | Path) -> None:
    """Refuse what stands in front of the first record, but for comments."""
    for number, line in enumerate(io.BytesIO(text), start=1):
        if found := _COLABFOLD.match(line):
            lengths = found[1].decode().split(",")
            reason = f"{len(lengths)} chains ({first_of(lengths, 3)} residues) in one file, a complex of ColabFold; "
            raise InputError(source, number, reason + "give one alignment per chain")
        if line.strip() and not line.startswith(b"#"):
            raise InputError(source, number, f"no query: text before the first '>' header: {shown(line)}")


def _check_query(header: bytes, letters: bytes, line: int, source: str | Path) -> None:
    """Refuse a first record that is no single protein; `line` is that of its header."""
    if is_pir(header[:3].decode("ascii", "replace")):
        raise InputError(source, line, PIR)
    if _PAIRED.match(header):
        reason = f"{len(header.split())} chains in one file, a complex of ColabFold; give one alignment per chain"
        raise InputError(source, line, reason)
    if states_beside([part.decode("ascii", "replace") for part in letters.split(b"\n")]):
        raise InputError(source, line, TWO_IN_ONE)


def _check_consensus(names: Sequence[bytes], query: bytes, line: int, source: str | Path) -> None:
    """Refuse a row NAME_consensus in front of a query (on `line`) that is not NAME, as HH-suite writes it."""
    for name in names:
        stem = name.lower().partition(b"_consensus")[0]
        if _IS_CONSENSUS.match(name) and b"_" in name and not query.lower().startswith(stem):
            reason = f"{shown(name)} stands first and looks like a consensus, but not of the next row, {shown(query)}; "
            raise InputError(source, line, reason + "remove it, or rename it if it is the query")


def read_stockholm(text: bytes, source: str | Path) -> Rows:
    """Collect the rows of one Stockholm alignment; blank lines part the blocks of one that is interleaved."""
    parts: dict[bytes, list[bytes]] = {}
    lines: dict[bytes, int] = {}
    again: dict[bytes, list[int]] = {}  # further lines
    begun, ended, block = False, False, 0  # block: the last blank line
    for number, line in enumerate(io.BytesIO(text), start=1):
        fields = line.split()
        if not fields:
            block = number
        elif not begun and not line.startswith(b"# STOCKHOLM"):
            reason = f"a Stockholm file starts with '# STOCKHOLM 1.0', this one with {shown(line)}"
            raise InputError(source, number, reason)
        elif line.startswith(b"#") and not ended:
            begun = True
        elif ended:
            raise InputError(source, number, "holds a second alignment after '//'; one file per protein")
        elif fields[0] == b"//":
            ended = True
        elif len(fields) != 2:
            raise InputError(source, number, f"expected a name and an aligned row, found {len(fields)} fields")
        elif fields[0] not in parts:
            parts[fields[0]] = [fields[1]]
            lines[fields[0]] = number
        else:
            name = fields[0]
            before = again.setdefault(name, [lines[name]])
            before.append(number)
            if before[-2] > block:
                raise _twice(name, before, source)
            parts[name].append(fields[1])
    if not ended:
        raise InputError(source, None, "ends without '//': the file is truncated")
    blocks = min(map(len, parts.values()), default=0)
    for name, numbers in again.items():
        if len(numbers) > blocks:
            raise _twice(name, numbers, source)
    marked = _MARKED_LINE.search(text) or b"onsensus" in text
    names = [name for name in parts if not _ANNOTATION.match(name)] if marked else list(parts)
    if not names:
        raise InputError(source, None, "no query: the alignment has no row")
    _check_consensus(list(takewhile(_ANNOTATION.match, parts)), names[0], lines[names[0]], source)
    rows = (START + b"".join(parts[name]) for name in names)
    return Rows(len(names), b"".join(rows), lambda row: (names[row], lines[names[row]]))


def _twice(name: bytes, lines: Sequence[int], source: str | Path) -> InputError:
    reason = f"name {shown(name)} occurs more than once (lines {first_of(lines, 3)}), not all names do; "
    return InputError(source, lines[1], reason + "give each row a name of its own, and each name a row in each block")


def read_aln(text: bytes, source: str | Path) -> Rows:
    """One aligned row per line, without names; the first is the query."""
    lines: list[int] = []
    rows: list[bytes] = []
    for number, line in enumerate(io.BytesIO(text), start=1):
        fields = line.split()
        if number == 1 and line.startswith(b">"):
            raise InputError(source, 1, f"starts with {shown(line)}: .aln takes one bare row per line; name it .fasta")
        if len(fields) > 1:
            raise InputError(source, number, f"{len(fields)} fields on a line; .aln takes one aligned row per line")
        if fields:
            lines.append(number)
            rows.append(fields[0])
    return Rows(len(rows), b"".join(START + row for row in rows), lambda row: (b"", lines[row]))


def _first_word(header: bytes) -> bytes:
    return (header.split(None, 1) or [b""])[0]
