"""Scores of decoys that users bring: of whole models and targets' splits, and of residues."""

import csv
import io
from collections.abc import Iterator, Sequence

from protray.data.location import Location
from protray.data.splits import SPLITS
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL
from protray.seq.errors import InputError

SCORES, RESIDUES = "scores.csv", "residues.csv"
SPLIT = "split"
OfResidues = dict[str, dict[str, float]]  # number of a residue -> name -> score


def read_scores(file: Location) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, str]]:
    """Read a table of scores: target -> decoy -> name -> score; and target -> split.  Empty cells are left out.

    Raises InputError for columns that are unknown or missing, scores that are no shares, and targets of two splits.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    splits: dict[str, str] = {}
    for number, line, scores in _lines(file, ("target", "decoy"), GLOBAL, SPLIT):
        found.setdefault(line["target"], {})[line["decoy"]] = scores
        if split := line.get(SPLIT):
            before = splits.setdefault(line["target"], split)
            if split not in SPLITS or before != split:
                reason = f"the split of a target is one of {', '.join(SPLITS)} in all its rows; got {split!r}"
                reason += f" after {before!r}" if before != split else ""
                raise InputError(file, number, reason, line["target"])
    return found, splits


def read_residues(file: Location) -> dict[str, dict[str, OfResidues]]:
    """Read a table of residues: target -> decoy -> number of the residue in its file (27, 27A) -> name -> score.

    Raises InputError as `read_scores` does.
    """
    found: dict[str, dict[str, OfResidues]] = {}
    for _, line, scores in _lines(file, ("target", "decoy", "residue"), LOCAL):
        found.setdefault(line["target"], {}).setdefault(line["decoy"], {})[line["residue"].strip()] = scores
    return found


def _lines(
    file: Location, needed: Sequence[str], scores: Sequence[str], *more: str
) -> Iterator[tuple[int, dict[str, str], dict[str, float]]]:
    """Number, fields and scores of each line."""
    lines = csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig")))
    names, known = list(lines.fieldnames or []), (*scores, *more)
    if not set(needed) < set(names) or not set(names) <= {*needed, *known}:
        asked = f"{', '.join(needed)}, and any of {', '.join(known)}"
        raise InputError(file, 1, f"the columns must be {asked}; got {names}")
    for line in lines:
        if empty := [name for name in needed if not line[name]]:
            raise InputError(file, lines.line_num, f"its {empty[0]} is empty: {list(line.values())}")
        try:
            found = {name: float(line[name]) for name in names if name in scores and line[name]}
        except (TypeError, ValueError):
            raise InputError(file, lines.line_num, f"a score is no number: {list(line.values())}") from None
        if any(not 0 <= score <= 1 for score in found.values()):
            raise InputError(file, lines.line_num, f"scores are shares in [0, 1], not percent; got {found}")
        yield lines.line_num, line, found
