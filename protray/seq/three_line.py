"""Files of three-line records: ``>id``, a sequence, and one letter for each of its residues."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from protray.seq.errors import InputError, first_of
from protray.seq.files.packed import read_lines

RESIDUES = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True)
class ThreeLines:
    """One record; `line` is that of its header, from 1."""

    id: str
    sequence: str  # upper case
    labels: str
    line: int


def read_three_lines(path: str | Path, letters: Collection[str]) -> tuple[list[ThreeLines], list[InputError]]:
    """Read all records, whose labels are among `letters`.

    A record that cannot be used becomes an InputError with its line and id and does not stop the others; an id that
    occurs twice is unusable as a whole, because nothing says which record is meant.

    Raises
    ------
    InputError
        When the file as a whole is unreadable (empty, binary, no '>' on its first line).
    """
    lines = read_lines(path)
    found: dict[str, list[ThreeLines]] = {}
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
        if reason := _fault(id, body, letters):
            errors.append(InputError(path, start + 1, reason, id or None))
        else:
            found.setdefault(id, []).append(ThreeLines(id, body[0].upper(), body[1], start + 1))
    kept = []
    for id, records in found.items():
        if len(records) > 1:
            places = first_of([record.line for record in records], 3)
            errors.append(
                InputError(path, records[0].line, f"label id {id!r} occurs {len(records)} times: lines {places}", id)
            )
        else:
            kept.append(records[0])
    return kept, errors


def _fault(id: str, body: list[str], letters: Collection[str]) -> str | None:
    """Why a record cannot be used, or None."""
    if not id:
        return "the header has no id"
    if len(body) != 2:
        return f"label id {id!r} has {len(body)} lines after its header, expected 2: sequence and labels, unwrapped"
    sequence, labels = body
    if len(sequence) != len(labels):
        return f"label id {id!r}: the sequence has {len(sequence)} letters, the labels {len(labels)}"
    for what, found, known in (("sequence", sequence.upper(), RESIDUES), ("labels", labels, letters)):
        for position, letter in enumerate(found, start=1):
            if letter not in known:
                return f"label id {id!r}: {letter!r} at position {position} of the {what} is not known"
    return None
