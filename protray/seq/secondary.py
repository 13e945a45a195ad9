"""Secondary-structure states: DSSP's eight, their reduction to three, integer codes, and 3-line label files.

H, G and I become H; E and B become E; everything else (T, S, P, blank) becomes C.  DSSP 4's polyproline helix P is
coil in both alphabets, so that labels of different DSSP versions agree.  '-' means: no label here.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protray.seq.errors import InputError
from protray.seq.three_line import read_three_lines

STATES = "HEC"
STATES8 = "HGIEBTSC"
NO_LABEL = "-"
IGNORE = -100  # the code of NO_LABEL, PyTorch's default `ignore_index`

_TO_EIGHT = str.maketrans({"P": "C", " ": "C", "L": "C"})  # 'L' (loop) is how some label files write coil
_TO_THREE = str.maketrans(dict(zip("HGIEBTSC", "HHHEECCC", strict=True)))
_LETTERS = frozenset(STATES8 + "PL" + NO_LABEL)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labels:
    """Labels of one chain, one letter per residue of `sequence`; `ss8` is None where only three states are known."""

    id: str
    sequence: str
    ss3: str
    ss8: str | None
    file: str
    line: int | None


def to_three(ss8: str) -> str:
    """Reduce DSSP letters to H, E and C; '-' stays.

    >>> to_three("HGIEBTS P-")
    'HHHEECCCC-'
    """
    return to_eight(ss8).translate(_TO_THREE)


def to_eight(dssp: str) -> str:
    """Write DSSP letters in ``STATES8``: blank, P and L become C; '-' stays."""
    return dssp.translate(_TO_EIGHT)


def encode_states(letters: str, states: str = STATES) -> np.ndarray:
    """Turn state letters into their index in `states`, '-' into ``IGNORE``.

    Returns
    -------
    codes_L : ndarray, dtype=int8, shape=(L,)

    Raises
    ------
    ValueError
        Naming the first letter, and its 1-based position, that is neither in `states` nor '-'.

    Examples
    --------
    >>> encode_states("HEC-").tolist()
    [0, 1, 2, -100]
    """
    table = np.full(256, 127, dtype=np.int8)
    table[np.frombuffer(states.encode(), dtype=np.uint8)] = np.arange(len(states))
    table[ord(NO_LABEL)] = IGNORE
    codes_L = table[np.frombuffer(letters.encode("latin-1", "replace"), dtype=np.uint8)]
    bad = np.flatnonzero(codes_L == 127)
    if bad.size:
        raise ValueError(f"{letters[bad[0]]!r} at position {bad[0] + 1} is none of {states!r} and not {NO_LABEL!r}")
    return codes_L


def read_3line(path: str | Path) -> tuple[list[Labels], list[InputError]]:
    """Read records of three lines: ``>id``, sequence, labels (H/E/C or DSSP letters).

    The file is taken as eight-state when any label in it is none of H, E, C and '-'.  A record that cannot be used
    becomes an InputError with its line and id and does not stop the others; an id that occurs twice is unusable as a
    whole, because nothing says which record is meant.

    Raises
    ------
    InputError
        When the file as a whole is unreadable (empty, binary, no '>' on its first line).
    """
    records, errors = read_three_lines(path, _LETTERS)
    eight = any(set(record.labels) - set(STATES + NO_LABEL) for record in records)
    labels = []
    for record in records:
        ss8 = to_eight(record.labels) if eight else None
        labels.append(Labels(record.id, record.sequence, to_three(record.labels), ss8, str(path), record.line))
    if labels and not any("C" in label.ss3 for label in labels) and any("-" in label.ss3 for label in labels):
        logger.warning("%s: no label is C and some are '-', which means 'no label' here; write C for coil", path)
    return labels, errors
