"""Scores of decoys that users bring: of whole models and targets' splits, and of residues."""

from collections.abc import Iterator, Sequence

from protray.data.location import Location
from protray.data.splits import SPLITS
from protray.data.tasks.lines import table_lines
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL
from protray.seq.errors import InputError
from protray.struct.files.io import is_structure, structure_stem

SCORES, RESIDUES = "scores.csv", "residues.csv"
SPLIT = "split"
OfResidues = dict[str, dict[str, float]]  # number of a residue -> name -> score


def read_scores(file: Location) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, str]]:
    """Read a table of scores: target -> decoy -> name -> score; and target -> split.  Empty cells are left out.

    Raises ValueError for columns that are unknown or missing, lines with a cell too many or too few, scores that are no
    shares, a decoy that comes twice, and a target of two splits.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    splits: dict[str, str] = {}
    for number, (target, decoy), split, scores in _lines(file, ("target", "decoy"), GLOBAL, SPLIT):
        if found.setdefault(target, {}).setdefault(decoy, scores) is not scores:
            raise InputError(file, number, f"decoy {decoy!r} of {target!r} is also in a line before", target)
        if split:
            before = splits.setdefault(target, split)
            if split not in SPLITS or before != split:
                reason = f"the split of a target is one of {', '.join(SPLITS)} in all its rows; got {split!r}"
                reason += f" after {before!r}" if before != split else ""
                raise InputError(file, number, reason, target)
    return found, splits


def read_residues(file: Location) -> dict[str, dict[str, OfResidues]]:
    """Read a table of residues: target -> decoy -> number of the residue in its file (27, 27A) -> name -> score.

    Scores of one residue may stand in several lines.  Raises ValueError as `read_scores` does.
    """
    found: dict[str, dict[str, OfResidues]] = {}
    for number, (target, decoy, residue), _, scores in _lines(file, ("target", "decoy", "residue"), LOCAL):
        residue = residue.removesuffix(".0")  # as pandas writes whole numbers beside empty cells
        one = found.setdefault(target, {}).setdefault(decoy, {}).setdefault(residue, {})
        if twice := sorted(one.keys() & scores.keys()):
            raise InputError(
                file, number, f"{twice[0]} of residue {residue} of {decoy!r} is also in a line before", target
            )
        one |= scores
    return found


def _lines(
    file: Location, needed: Sequence[str], scores: Sequence[str], more: str | None = None
) -> Iterator[tuple[int, list[str], str | None, dict[str, float]]]:
    """Number, names, another cell and scores of each line."""
    known = (*scores, more) if more else scores
    for number, line in table_lines(file, tuple(needed)):
        if isinstance(line, InputError):
            raise line
        if strange := [name for name in line if name not in (*needed, *known)]:
            asked = f"{', '.join(needed)}, and any of {', '.join(known)}"
            raise InputError(file, 1, f"column {strange[0]!r} is unknown; the columns must be {asked}")
        cells = {name: str(cell or "").strip() for name, cell in line.items()}
        if empty := [name for name in needed if not cells[name]]:
            raise InputError(file, number, f"its {empty[0]} is empty: {list(cells.values())}")
        try:
            found = {name: float(cells[name]) for name in scores if cells.get(name)}
        except ValueError:
            raise InputError(file, number, f"a score is no number: {list(cells.values())}") from None
        if any(not 0 <= score <= 1 for score in found.values()):
            raise InputError(file, number, f"scores are shares from 0 to 1, not percent; got {found}")
        if is_structure(cells["decoy"]):
            cells["decoy"] = structure_stem(cells["decoy"])
        yield number, [cells[name] for name in needed], cells.get(more) if more else None, found
