"""The columns of an mmCIF file's atoms: those that programs leave out are filled in, or named by an error."""

import math
from collections import defaultdict
from itertools import count
from typing import Any

from protray.struct.files.locations import BETWEEN_LOCATIONS

TABLE = "_atom_site."
_FILLED = {"id": ".", "label_alt_id": "."}  # what gemmi asks for and reading does not need
_CA = ("CA", "'CA'", '"CA"')
_EITHER = ("atom_id", "comp_id", "asym_id", "seq_id")  # label_ or auth_


class ColumnsError(ValueError):
    """A block of atoms that cannot be read; says why."""


def block_of_atoms(document: Any) -> Any:
    """The only data block with atoms; ColumnsError if there are several, the first block if there is none."""
    if not len(document):
        raise ColumnsError("it has no data block")
    found = [block for block in document if _column(block, "Cartn_x") or _column(block, "label_atom_id")]
    if len(found) > 1:
        names = ", ".join(block.name for block in found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        raise ColumnsError(f"{len(found)} data blocks have atoms ({names}): split it into files of one")
    return found[0] if found else document[0]


def complete(block: Any) -> None:
    """Add the columns that gemmi needs and the file lacks; ColumnsError if their values cannot be told."""
    loop = block.find_mmcif_category(TABLE).loop
    if loop is None:
        if block.find_values("_atom_site_fract_x") or block.find_values("_chem_comp_atom.atom_id"):
            raise ColumnsError("it is a CIF file of a small molecule, not the mmCIF file of a protein")
        return
    missing = [f"{TABLE}Cartn_{axis}" for axis in "xyz" if not _column(block, f"Cartn_{axis}")]
    missing += [
        f"{TABLE}label_{name} (or auth_{name})"
        for name in _EITHER
        if not _column(block, f"label_{name}") and not _column(block, f"auth_{name}")
    ]
    if missing:
        raise ColumnsError(f"the table of atoms lacks the column {' and '.join(missing)}")
    for name, value in _FILLED.items():
        if not _column(block, name):
            loop.add_columns([TABLE + name], value)
    if not _column(block, "label_asym_id"):
        _add(block, loop, "label_asym_id", list(_column(block, "auth_asym_id")))
    if not _column(block, "type_symbol"):
        atoms = _column(block, "auth_atom_id") or _column(block, "label_atom_id")
        _add(block, loop, "type_symbol", [_element(name) for name in atoms])


def has_locations(block: Any) -> bool:
    """Whether any atom has an alternate location."""
    return not {".", "?"}.issuperset(_column(block, "label_alt_id"))


def says_plddt(block: Any) -> bool:
    """Whether it lists pLDDT of atoms or residues as a measure of quality, as predicted models do (ModelCIF)."""
    found = block.find("_ma_qa_metric.", ["mode", "?type", "?name"])
    return any(
        row.str(0).lower() == "local" and any("plddt" in row.str(k).lower() for k in (1, 2) if row.has(k))
        for row in found
    )


def tell_apart(block: Any) -> int:
    """Give protein chains that share an author's name (auth_asym_id) their own; returns how many got another.

    Raises ColumnsError if one residue has two C-alpha atoms that are no alternatives.
    """
    authors, labels = _column(block, "auth_asym_id"), _column(block, "label_asym_id")
    alphas = _alphas(block)
    if not authors or not labels:
        _check_once(block, alphas, labels or authors)
        return 0
    numbers = _column(block, "label_seq_id") or _column(block, "auth_seq_id")
    residues: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for at in alphas:
        residues[authors[at]][labels[at]].add(numbers[at])
    taken, others = set(residues), {}
    for author, by_label in residues.items():
        chains = [label for label, seen in by_label.items() if len(seen) > 1]
        for number, label in enumerate(chains[1:], start=2):
            name = next(name for more in count(number) if (name := f"{author}-{more}") not in taken)
            others[author, label] = name
            taken.add(name)
    if others:
        for at, pair in enumerate(zip(list(authors), list(labels), strict=True)):
            if pair in others:
                authors[at] = others[pair]
    _check_once(block, alphas, authors)
    return len(others)


def _alphas(block: Any) -> list[int]:
    """Rows of the C-alpha atoms of the first model's ATOM records."""
    atoms = _column(block, "auth_atom_id") or _column(block, "label_atom_id")
    rows = [at for at, name in enumerate(atoms) if name in _CA]
    for column, wanted in (("group_PDB", "ATOM"), ("pdbx_PDB_model_num", None)):
        values = _column(block, column)
        if values:
            kept = wanted or values[0]
            rows = [at for at in rows if values[at] == kept]
    return rows


def _check_once(block: Any, alphas: list[int], chains: Any) -> None:
    """Raise ColumnsError for two C-alpha atoms of one residue and location."""
    names = ("label_comp_id", "auth_seq_id", "label_seq_id", "pdbx_PDB_ins_code", "label_alt_id")
    columns = [column for column in (chains, *(_column(block, name) for name in names)) if column]
    seen: dict[tuple[str, ...], int] = {}
    for at in alphas:
        key = tuple(column[at] for column in columns)
        first = seen.setdefault(key, at)
        if first != at and _distance(block, first, at) > BETWEEN_LOCATIONS:
            residue = " ".join(key[:3])
            raise ColumnsError(
                f"residue {residue!r} has two C-alpha atoms far apart: number residues or name chains anew"
            )


def _distance(block: Any, one: int, two: int) -> float:
    columns = [_column(block, f"Cartn_{axis}") for axis in "xyz"]
    try:
        return math.dist([float(column[one]) for column in columns], [float(column[two]) for column in columns])
    except ValueError:  # no numbers: other checks tell
        return 0.0


def _column(block: Any, name: str) -> Any:
    return block.find_values(TABLE + name)


def _add(block: Any, loop: Any, name: str, values: list[str]) -> None:
    loop.add_columns([TABLE + name], ".")
    column = _column(block, name)
    for at, value in enumerate(values):
        column[at] = value


def _element(name: str) -> str:
    letters = name.strip("\"'").lstrip("0123456789")
    return letters[:1] or "X"
