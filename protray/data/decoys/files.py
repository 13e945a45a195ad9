"""Decoys from files: a folder with one folder for each target, which holds its native structure and its models.

``DATA/T0967/native.pdb``   the native: PDB or mmCIF, plain or gzipped
``DATA/T0967/*``            every other structure file is a decoy of it, named after the file
``DATA/scores.csv``         optional: target, decoy, and any of tm, gdt_ts, gdt_ha, lddt, cad, in [0, 1], and split

What the table has counts; the rest is computed where there is a native.  Residues are scored by the native alone.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from protray.data.decoys.table import decoy_row
from protray.data.location import Location
from protray.data.splits import SPLITS
from protray.data.structure_rows import impossible
from protray.data.structures import CA
from protray.models.tasks.graphqa_config import GLOBAL
from protray.seq.errors import InputError
from protray.seq.files.packed import unpack
from protray.struct.breaks import count_on, find_breaks
from protray.struct.io import Chain, is_structure, parse_structure, structure_stem
from protray.struct.model_scores import ModelScores, score_model

NATIVE, TABLE = "native", "scores.csv"  # names of files, the first without what it ends with
SPLIT = "split"  # a column of the table


@dataclass(frozen=True)
class TargetFiles:
    """What is there of a target."""

    native: Location | None
    decoys: list[Location]
    scores: dict[str, dict[str, float]] = field(default_factory=dict)  # of the table, by decoy and name of the score
    split: str | None = None  # of the table


def find_targets(folder: Location) -> dict[str, TargetFiles]:
    """The files and tabulated scores of each target, sorted by name.

    Raises
    ------
    ValueError
        If there is none, or a folder holds structures but no decoy, several natives, or neither native nor scores.
    """
    files: dict[str, list[Location]] = {}
    for file in folder.files():
        if is_structure(file) and file.parent != folder:
            files.setdefault(file.parent.name, []).append(file)
    if not files:
        raise ValueError(f"{folder} holds no folders of targets with {NATIVE}.pdb (or .cif, .gz) and decoys in them")
    scores, splits = read_scores(folder / TABLE) if (folder / TABLE).is_file() else ({}, {})
    found = {}
    for target, mine in sorted(files.items()):
        natives = [file for file in mine if structure_stem(file) == NATIVE]
        decoys = sorted(file for file in mine if file not in natives)
        if len(natives) > 1 or not decoys or not (natives or target in scores):
            raise ValueError(
                f"{folder / target} has {len(natives)} files of the name {NATIVE}, {len(decoys)} decoys, and "
                f"{len(scores.get(target, {}))} rows in {TABLE}; a target has decoys, and one native or scores"
            )
        told = scores.get(target, {}), splits.get(target)
        found[target] = TargetFiles(natives[0] if natives else None, decoys, *told)
    return found


def read_scores(file: Location) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, str]]:
    """Read a table of scores: target -> decoy -> name -> score; and target -> split.  Empty cells are left out.

    Raises InputError for columns that are unknown or missing, scores that are no shares, and targets of two splits.
    """
    lines = csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig")))
    names = list(lines.fieldnames or [])
    known = (*GLOBAL, SPLIT)
    if not {"target", "decoy"} < set(names) or not set(names) <= {"target", "decoy", *known}:
        raise InputError(file, 1, f"the columns must be target, decoy, and any of {', '.join(known)}; got {names}")
    found: dict[str, dict[str, dict[str, float]]] = {}
    splits: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        try:
            scores = {name: float(line[name]) for name in names if name in GLOBAL and line[name]}
        except (TypeError, ValueError):
            raise InputError(file, number, f"a score is no number: {list(line.values())}") from None
        if any(not 0 <= score <= 1 for score in scores.values()):
            raise InputError(file, number, f"scores are shares in [0, 1], not percent; got {scores}")
        found.setdefault(line["target"], {})[line["decoy"]] = scores
        if split := line.get(SPLIT):
            before = splits.setdefault(line["target"], split)
            if split not in SPLITS or before != split:
                reason = f"the split of a target is one of {', '.join(SPLITS)} in all its rows; got {split!r}"
                reason += f" after {before!r}" if before != split else ""
                raise InputError(file, number, reason, line["target"])
    return found, splits


def sequence_of(files: TargetFiles) -> str:
    """The sequence of the native, or of the first decoy; of several chains the longest.  May raise InputError."""
    return max((chain.sequence for chain in _chains(files.native or files.decoys[0])), key=len)


def file_rows(target: str, split: str, files: TargetFiles) -> tuple[list[dict], list[InputError]]:
    """Rows of ``schemas.DECOYS``, and an error for each decoy (or for the native) that cannot be used."""
    rows, errors = [], []
    try:
        native = max(_chains(files.native), key=lambda chain: len(chain.sequence)) if files.native else None
    except InputError as error:
        return [], [error]
    for file in files.decoys:
        stem = structure_stem(file)
        try:
            chain, scores = _scored(file, native, files.scores.get(stem, {}))
        except InputError as error:
            errors.append(error)
            continue
        index_L = count_on(chain.positions, find_breaks(chain.backbone_L43))
        named = {"id": f"{target}/{stem}", "target": target, "split": split, "kind": "file"}
        rows.append(decoy_row(named, chain.sequence, index_L, chain.backbone_L43, scores) | files.scores.get(stem, {}))
    return rows, errors


def _scored(file: Location, native: Chain | None, known: Mapping[str, float]) -> tuple[Chain, ModelScores]:
    """The first chain of a decoy that is a model of the native; without a native, the first."""
    why: str | None = "no native, and no row of the table" if native is None and not known else "no chain"
    for chain in _chains(file) if native or known else ():
        why = impossible(chain)
        if why:
            continue
        if native is None:
            nan, unknown_L = float("nan"), np.full(len(chain.sequence), np.nan, np.float32)
            return chain, ModelScores(nan, nan, nan, nan, unknown_L, missing=0)
        try:
            native_N3, model_L3 = (one.backbone_L43[:, CA].astype(np.float64) for one in (native, chain))
            return chain, score_model(chain.sequence, model_L3, native.sequence, native_N3)
        except ValueError as error:
            why = str(error)
    raise InputError(file, None, str(why), structure_stem(file))


def _chains(file: Location) -> list[Chain]:
    return parse_structure(unpack(io.BytesIO(file.read_bytes()), file), file).chains
