"""The columns of a PDB file's atom lines: mended where the meaning is certain, an error with its line where it is not.

A line is as the format has it when its columns 13 to 54 hold the atom, its residue (columns 18-20), chain (22, two
letters: 21-22), number (23-26) and insertion code (27), and three coordinates of eight columns each.  Mended are

- residue names of four letters (columns 18-21), known ones and others inside a chain;
- lines shifted to the right by a serial number above 99,999 or by a residue name of four letters.
"""

import re
from collections import defaultdict

import numpy as np

from protray.seq.errors import InputError
from protray.struct.files.residue_names import FOUR_LETTERS, UNKNOWN

_FROM_23 = rb"[ \d-]{3}\d[^\n]   (?:[ \d-]{3}\d\.\d{3}){3}"  # of a line as nearly all are
# By one to three columns to the right, after a long serial number or a residue name of four letters.
_SHIFTED = re.compile(
    rb"\n(ATOM  |HETATM)(?:\d{1,3}(\d{5} [^\n]{4}[^\n][ \w]{3} [^\n])|([^\n]{11})([\w+-]{4})( [^\n]))(?="
    + _FROM_23
    + rb")"
)
_NUMBER = re.compile(rb" *-?\d+ *|[A-Za-z][A-Za-z0-9]{3}|\*{4}| *[0-9A-Fa-f]+")
_COORDINATE = re.compile(rb" *[-+]?(?:\d+\.?\d*|\.\d+)( *)")
_TOKENS = re.compile(rb"(?<![\w.-])(-?\d+\.\d+\s*){3}")
_BACKBONE = (b"N", b"CA", b"C", b"O")
_ATOM, _HETA = (int(np.frombuffer(record, np.uint32)[0]) for record in (b"ATOM", b"HETA"))
SHORTEST = 54  # columns of an atom line: up to its coordinates


_BLANK, _DOT, _DIGIT, _SIGN = 1, 2, 4, 8
_CLASSES = np.full(256, 16, np.uint8)  # of characters, as bits
for _letters, _bit in (" ", _BLANK), (".", _DOT), ("0123456789", _DIGIT), ("-+", _SIGN):
    _CLASSES[[ord(letter) for letter in _letters]] = _bit
_FIRST = 20  # column, counted from 0, at which the table of what is usual begins
_USUAL = np.full(SHORTEST - _FIRST, 0xFF, np.uint8)  # what nearly all lines have there
for _allowed, _columns in (
    (_BLANK, (20, 27, 28, 29)),
    (_DOT, (34, 42, 50)),
    (_DIGIT, (25, 33, 37, 41, 45, 49, 53)),
    (_DIGIT | _BLANK | _SIGN, (30, 31, 32, 38, 39, 40, 46, 47, 48)),
):
    _USUAL[np.array(_columns) - _FIRST] = _allowed


def atom_lines(text: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where ATOM and HETATM lines begin and how long they are, and so for all lines' ends; `text` begins with one."""
    letters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    starts, lengths = ends[:-1] + 1, np.diff(ends) - 1
    starts, lengths = starts[lengths >= SHORTEST], lengths[lengths >= SHORTEST]
    records = cells(letters, starts, 0, 4).view(np.uint32)[:, 0] & 0xDFDFDFDF  # in upper case
    is_atom = (records == _ATOM) | (records == _HETA)
    return starts[is_atom], lengths[is_atom]


def cells(letters: np.ndarray, starts: np.ndarray, first: int, last: int) -> np.ndarray:
    """Columns `first` to `last`, counted from 0, without the last, of lines that begin at `starts`; a row each."""
    width = last - first
    if len(letters) < width or not len(starts):
        return np.zeros((0, width), np.uint8)
    windows = np.ndarray(len(letters) - width + 1, f"V{width}", letters, strides=(1,))  # copied as one, which is fast
    return windows[starts + first].view(np.uint8).reshape(-1, width)


def mend_columns(text: bytes, source: str) -> tuple[bytes, bool]:
    """A PDB file's text with the columns of its atom lines as gemmi reads them, lines as they were.

    Parameters
    ----------
    text : bytes
        Begins and ends with a line end.
    source : str
        Named in errors.

    Returns
    -------
    text : bytes
    has_tail : bool
        Whether columns 73 to 80 hold what they do since 1996 (segment, element, charge): not an entry's name and line
        numbers, nor AutoDock's charges and types.

    Raises
    ------
    InputError
        With the first line whose columns cannot be told.
    """
    odd, has_tail = _unusual(text)
    if not odd:
        return text, has_tail
    text = _SHIFTED.sub(_unshift, text)
    names: dict[bytes, set[bytes]] = defaultdict(set)  # of four letters, by columns 21 and 22
    inside: set[bytes] = set()
    for start in _unusual(text)[0]:
        line = text[start : text.index(b"\n", start)]
        _check(line, text, start, source)
        if line[20:21] != b" ":
            names[line[20:22]].add(line[17:21])
            if line[12:16].strip() in _BACKBONE and _is_inside(line, text, start):
                inside.add(line[17:21])
    known = {pair for pair, four in names.items() if all(name.decode("latin-1") in FOUR_LETTERS for name in four)}
    return (_shorten(text, known, inside) if known or inside else text), has_tail


def _unusual(text: bytes) -> tuple[list[int], bool]:
    """Where atom lines begin that are not set as nearly all are, and whether columns 73 to 80 are."""
    starts, lengths = atom_lines(text)
    letters = np.frombuffer(text, np.uint8)
    fits = _CLASSES[cells(letters, starts, _FIRST, SHORTEST)] & _USUAL
    odd = [] if fits.all() else starts[~fits.all(axis=1)].tolist()
    tails = cells(letters, starts[lengths >= 80], 72, 80)
    classes = _CLASSES[tails[:, 4:]]
    digit, sign = classes == _DIGIT, (classes & (_BLANK | _SIGN)) > 0
    odd_tail = digit[:, :2].any() or (digit[:, 2] & ~sign[:, 3]).any() or (digit[:, 3] & ~sign[:, 2]).any()
    dotted = (cells(letters, starts[lengths >= 76], 72, 76) == ord(".")).any()
    return odd, not (odd_tail or dotted)


def _unshift(match: re.Match[bytes]) -> bytes:
    record, shifted, before, name, after = match.groups()
    if shifted:
        return b"\n" + record + shifted
    if name.decode("latin-1") not in FOUR_LETTERS:
        return match.group()
    return b"\n" + record + before + name + after[1:]


def _check(line: bytes, text: bytes, start: int, source: str) -> None:
    """Raise InputError if the numbers of an atom line do not stand in their columns."""
    fields = [_COORDINATE.fullmatch(line[column : column + 8]) for column in (30, 38, 46)]
    aligned = line[25:26].isalnum() and line[27:30] == b"   "
    if all(fields) and (aligned or not any(field and field[1] for field in fields)):
        number = line[22:26]
        if _NUMBER.fullmatch(number) and (number != b"****" or line[12:16].strip() not in _BACKBONE):
            return
        if line[:4] != b"ATOM" and line[12:16].strip() not in _BACKBONE:
            return  # a ligand or water: nothing is read of it
        what = f"no residue number in columns 23-26 ({number.decode('latin-1')!r})"
    else:
        what = "no three coordinates"
    hint = "; its columns are shifted or not those of the PDB format" if _TOKENS.search(line, 26) else ""
    shown = line[:54].decode("latin-1")
    place = text.count(b"\n", 0, start)
    raise InputError(source, place, f"cannot be read as pdb: {what} in {shown!r}{hint}")


def _is_inside(line: bytes, text: bytes, start: int) -> bool:
    """Whether the line before is of the residue before in the chain that column 22 names alone."""
    before = text[text.rfind(b"\n", 0, start - 1) + 1 : start]
    if not before.startswith((b"ATOM  ", b"HETATM")) or before[20:22] != b" " + line[21:22]:
        return False
    one, two = before[22:26].strip(), line[22:26].strip()
    return one.isdigit() and two.isdigit() and int(two) == int(one) + 1


def _shorten(text: bytes, known: set[bytes], inside: set[bytes]) -> bytes:
    """Residue names of three letters in place of four, so that columns 21 and 22 name the chain."""

    def short(match: re.Match[bytes]) -> bytes:
        start, name, chain = match.groups()
        if name[3:] + chain not in known and name not in inside:
            return match.group()
        return start + FOUR_LETTERS.get(name.decode("latin-1"), UNKNOWN).encode() + b" " + chain

    return re.sub(rb"(\n(?:ATOM  |HETATM|ANISOU)[^\n]{11})([^\n]{3}[^ \n])([^\n])", short, text)
