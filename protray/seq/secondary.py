"""Secondary-structure states: DSSP's eight, their reduction to three, integer codes, and 3-line label files.

H, G and I become H; E and B become E; everything else (T, S, P, blank) becomes C.  DSSP 4's polyproline helix P is
coil in both alphabets, so that labels of different DSSP versions agree.  '-' means: no label here.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protray.seq.errors import InputError, first_of
from protray.seq.files.packed import read_lines

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


def decode_states(codes_L: np.ndarray, states: str = STATES) -> str:
    """Turn indices in `states` back into letters; ``IGNORE`` becomes '-'.

    >>> decode_states(np.array([0, 0, 2, -100]))
    'HHC-'
    """
    letters = np.frombuffer((states + NO_LABEL).encode(), dtype=np.uint8)
    return letters[np.where(codes_L == IGNORE, len(states), codes_L)].tobytes().decode()


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
    lines = read_lines(path)
    found: dict[str, list[tuple[int, str, str]]] = {}
    errors: list[InputError] = []
    headers = [number for number, line in enumerate(lines) if line.startswith(">")]
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise InputError(path, None, "the label file is empty")
    if not headers or headers[0] != first:
        raise InputError(path, first + 1, f"expected '>id', found {lines[first][:30]!r}; labels are 3-line records")
    for start, end in zip(headers, headers[1:] + [len(lines)], strict=True):
        id = (lines[start][1:].split() or [""])[0]
        body = [line.rstrip() for line in lines[start + 1 : end] if line.strip()]
        reason = _fault(id, body)
        if reason:
            errors.append(InputError(path, start + 1, reason, id or None))
        else:
            found.setdefault(id, []).append((start + 1, body[0].upper(), body[1]))
    labels = []
    eight = any(set(ss) - set(STATES + NO_LABEL) for records in found.values() for _, _, ss in records)
    for id, records in found.items():
        if len(records) > 1:
            places = first_of([line for line, _, _ in records], 3)
            errors.append(
                InputError(path, records[0][0], f"label id {id!r} occurs {len(records)} times: lines {places}", id)
            )
            continue
        line, sequence, ss = records[0]
        labels.append(Labels(id, sequence, to_three(ss), to_eight(ss) if eight else None, str(path), line))
    if labels and not any("C" in label.ss3 for label in labels) and any("-" in label.ss3 for label in labels):
        logger.warning("%s: no label is C and some are '-', which means 'no label' here; write C for coil", path)
    return labels, errors


def _fault(id: str, body: list[str]) -> str | None:
    """Why a record of a label file cannot be used, or None."""
    if not id:
        return "the header has no id"
    if len(body) != 2:
        return f"label id {id!r} has {len(body)} lines after its header, expected 2: sequence and labels, unwrapped"
    sequence, ss = body
    if len(sequence) != len(ss):
        return f"label id {id!r}: the sequence has {len(sequence)} letters, the labels {len(ss)}"
    for what, letters, known in (("sequence", sequence.upper(), _RESIDUES), ("labels", ss, _LETTERS)):
        for position, letter in enumerate(letters, start=1):
            if letter not in known:
                return f"label id {id!r}: {letter!r} at position {position} of the {what} is not known"
    return None


_RESIDUES = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
