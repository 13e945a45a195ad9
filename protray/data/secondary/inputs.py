"""A user's folders of alignments and labels: which files belong to which protein, and what makes a protein unusable."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from protray.data.secondary.proteins import ProteinSettings, check_labels, protein_row
from protray.seq.errors import InputError, first_of
from protray.seq.files.folders import Listing, list_folder
from protray.seq.files.names import unquoted
from protray.seq.files.packed import without_packing
from protray.seq.msa import Msa, format_of, protein_id, read_msa
from protray.seq.secondary import NO_LABEL, Labels, read_3line, to_three

if TYPE_CHECKING:
    from protray.struct.dssp import Program

LABEL_SUFFIX = ".3line"


@dataclass(frozen=True)
class Item:
    """One protein to prepare: its alignment and, if labels were given, where its label comes from."""

    id: str
    msa_file: str
    label: Labels | None = None  # read from a 3-line file
    structure: str | None = None  # or to be assigned from this file
    chain: str | None = None  # of the structure; None: the chain that fits the query


def files_in(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders, sorted, without hidden ones and broken links."""
    return list_folder(folder).files


def find_items(msas: Path, labels: Path | None, ignore: tuple[Path, ...] = ()) -> tuple[list[Item], list[InputError]]:
    """Pair alignments with labels by protein id.

    The id of an alignment is its file name without extension.  A structure ``1ABC.cif`` labels the protein ``1ABC``
    and, as its chain A, ``1ABC_A``.  An id that stands for two files, an alignment without a label (when labels are
    given) and a label without an alignment are errors of that protein, not of the dataset.

    Parameters
    ----------
    msas : Path
        Folder of alignments, one file per protein.
    labels : Path, optional
        A 3-line file, a structure file, or a folder of both.
    ignore : tuple of Path
        Files in `msas` that are known to be no alignments.
    """
    skip = {path.resolve() for path in (*ignore, labels) if path}
    errors: list[InputError] = []
    by_id: dict[str, list[Path]] = defaultdict(list)
    listing = list_folder(msas)
    errors += [InputError(one.file, one.line, one.reason, protein_id(one.file)) for one in listing.errors]
    for path in listing.files:
        if path.resolve() in skip or (labels and labels.resolve() in path.resolve().parents):
            continue
        try:
            format_of(path)
            by_id[protein_id(path)].append(path)
        except InputError as error:
            errors.append(InputError(error.file, error.line, error.reason, protein_id(path)))
    unique = {}
    for id, paths in sorted(by_id.items()):
        if len(paths) == 1:
            unique[id] = str(paths[0])
        for path in paths if len(paths) > 1 else ():
            errors.append(InputError(path, None, _one_name(id, path, paths), id))
    if labels is None:
        return [Item(id, path) for id, path in unique.items()], errors
    known, structures, label_errors = _read_labels(labels)
    taken = {error.id for error in errors} | {error.id for error in label_errors}  # each protein is refused once
    errors += label_errors
    items, used = [], set()
    for id, path in unique.items():
        stem, _, chain = id.rpartition("_")
        if id in known:
            items.append(Item(id, path, label=known[id]))
            used.add(id)
        elif id in structures or stem in structures:
            name = id if id in structures else stem
            items.append(Item(id, path, structure=structures[name], chain=None if name == id else chain))
            used.add(name)
        elif id not in taken:
            errors.append(InputError(path, None, f"no label for id {id!r} in {labels}", id))
    for id, label in known.items():
        if id not in used and id not in taken:
            errors.append(InputError(label.file, label.line, f"no alignment for the labelled id {id!r} in {msas}", id))
    for name, path in structures.items():
        if name not in used and name not in taken:
            errors.append(InputError(path, None, f"no alignment {name!r} or {name + '_<chain>'!r} in {msas}", name))
    return items, errors


def _one_name(id: str, path: Path, paths: list[Path]) -> str:
    """Why a file is not read whose name others have: the first of them, and how many more there are."""
    first, more = paths[0] if paths[0] != path else paths[1], len(paths) - 2
    others = f"{str(first)[-120:]!r}" + (f" and {more:,} more" if more else "")
    return f"id {id!r} is also that of {others}; keep one, or name each file after its protein"


def make_row(item: Item, settings: ProteinSettings, dssp: "Program | None" = None) -> tuple[dict, str]:
    """Read one protein's files; returns its row (cluster and split empty) and how it was labelled.

    The second value is ``3line``, ``mkdssp``, ``pydssp`` or ``none``; `dssp` is the program for structures, by default
    the one that this machine has.

    Raises
    ------
    InputError
        When the alignment or the label cannot be used, or they are of different proteins.
    """
    msa = read_msa(item.msa_file)
    ss3 = ss8 = None
    labelled = "none"
    if item.label:
        check_labels(msa, item.label)
        ss3, ss8, labelled = item.label.ss3, item.label.ss8, "3line"
    elif item.structure:
        states, labelled = _from_structure(msa, item.structure, item.chain, dssp)
        ss3, ss8 = to_three(states), states if labelled == "mkdssp" else None
    return protein_row(msa, ss3=ss3, ss8=ss8, cluster="", split="", settings=settings), labelled


def _read_labels(labels: Path) -> tuple[dict[str, Labels], dict[str, str], list[InputError]]:
    """Labels by id, structure files by stem, and what could not be used."""
    from protray.struct.files.io import is_structure, structure_stem

    if not labels.exists():
        raise ValueError(f"labels: {labels} does not exist")
    found: dict[str, list[Labels | Path]] = defaultdict(list)
    errors: list[InputError] = []
    listing = Listing([labels]) if labels.is_file() else list_folder(labels)
    errors += listing.errors
    for path in listing.files:
        if is_structure(path):
            found[unquoted(structure_stem(path))].append(path)
        elif labels.is_file() or without_packing(path.name).endswith(LABEL_SUFFIX):
            try:
                read, faults = read_3line(path)
            except InputError as error:
                read, faults = [], [error]
            errors += faults
            for label in read:
                found[label.id].append(label)
        else:
            errors.append(InputError(path, None, f"neither a structure nor a {LABEL_SUFFIX} file: not used for labels"))
    known: dict[str, Labels] = {}
    structures: dict[str, str] = {}
    for id, sources in sorted(found.items()):
        source = sources[0]
        if len(sources) > 1:
            places = first_of([source.file if isinstance(source, Labels) else str(source) for source in sources])
            file, line = (source.file, source.line) if isinstance(source, Labels) else (source, None)
            errors.append(InputError(file, line, f"label id {id!r} has {len(sources)} sources: {places}; keep one", id))
        elif isinstance(source, Labels):
            known[id] = source
        else:
            structures[id] = str(source)
    return known, structures, errors


def _from_structure(msa: Msa, path: str, chain_id: str | None, dssp: "Program | None") -> tuple[str, str]:
    """States of the query from the chain that fits it, '-' where the chain has no coordinates; and the program."""
    from protray.seq.alphabet import decode
    from protray.struct.dssp import assign, backbone_fault
    from protray.struct.residues.placement import place

    assigned, program = assign(path, dssp)
    candidates = [(chain, states) for chain, states in assigned if chain_id in (None, chain.id)]
    if not candidates:
        names = ", ".join(chain.id for chain, _ in assigned)
        raise InputError(path, None, f"has no protein chain {chain_id!r}; it has {names}", msa.id)
    query = decode(msa.codes_NL[0])
    faults = []
    for chain, states in candidates:
        positions = place(chain.sequence, query)
        if positions is None:
            continue
        if fault := backbone_fault(chain):
            faults.append(f"chain {chain.id!r}: {fault}")
            continue
        letters = np.full(len(query), NO_LABEL)
        letters[positions] = list(states)
        return "".join(letters), program
    if faults:
        raise InputError(path, None, faults[0], msa.id)
    chain, states = candidates[0]
    check_labels(msa, Labels(msa.id, chain.sequence, states, None, path, None))
    raise AssertionError(f"{path}: chain {chain.id} equals the query but was not placed")
