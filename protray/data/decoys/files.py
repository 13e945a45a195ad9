"""Decoys from files: a folder with one folder for each target, which holds its native structure and its models.

``DATA/T0967/native.pdb``   the native: PDB or mmCIF, plain or gzipped
``DATA/T0967/*``            every other structure file is a decoy of it, named after the file
``DATA/scores.csv``         optional: target, decoy, and any of tm, gdt_ts, gdt_ha, lddt, cad, in [0, 1], and split
``DATA/residues.csv``       optional: target, decoy, residue (its number in the decoy's file), lddt, cad

What the tables have counts; the rest is computed where there is a native.
"""

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from protray.data.decoys.score_tables import RESIDUES, SCORES, OfResidues, read_residues, read_scores
from protray.data.decoys.table import decoy_row
from protray.data.location import Location
from protray.data.structure.rows import impossible
from protray.data.structure.structures import CA
from protray.models.tasks.graphqa_config import LOCAL
from protray.seq.errors import InputError
from protray.seq.files.packed import unpack
from protray.struct.compare.model_scores import ModelScores, score_model
from protray.struct.files.chain import Chain
from protray.struct.files.io import is_structure, parse_structure, structure_stem
from protray.struct.residues.breaks import count_on, find_breaks

log = logging.getLogger(__name__)

NATIVE = "native"  # name of a file, without what it ends with


@dataclass(frozen=True)
class TargetFiles:
    """What is there of a target."""

    native: Location | None
    decoys: list[Location]
    scores: dict[str, dict[str, float]] = field(default_factory=dict)  # of the table, by decoy and name of the score
    split: str | None = None  # of the table
    residues: dict[str, OfResidues] = field(default_factory=dict)  # of the other table, by decoy


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
    scores, splits = read_scores(folder / SCORES) if (folder / SCORES).is_file() else ({}, {})
    residues = read_residues(folder / RESIDUES) if (folder / RESIDUES).is_file() else {}
    unknown = {(target, decoy) for table in (scores, residues) for target in table for decoy in table[target]}
    found = {}
    for target, mine in sorted(files.items()):
        natives = [file for file in mine if structure_stem(file) == NATIVE]
        decoys = sorted(file for file in mine if file not in natives)
        if len(natives) > 1 or not decoys or not (natives or any(scores.get(target, {}).values())):
            raise ValueError(
                f"{folder / target} has {len(natives)} files of the name {NATIVE}, {len(decoys)} decoys, and "
                f"{sum(map(bool, scores.get(target, {}).values()))} of them with scores in {SCORES}; a target has "
                "decoys, and one native or scores"
            )
        unknown -= {(target, structure_stem(file)) for file in decoys}
        told = scores.get(target, {}), splits.get(target), residues.get(target, {})
        found[target] = TargetFiles(natives[0] if natives else None, decoys, *told)
    if unknown:
        told = "%s and %s of %s name decoys without a file: %d; the first is %s of %s"
        log.warning(told, SCORES, RESIDUES, folder, len(unknown), *min(unknown)[::-1])
    return found


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
            told = _of_residues(chain, files.residues.get(stem, {}), file)
        except InputError as error:
            errors.append(error)
            continue
        index_L = count_on(chain.positions, find_breaks(chain.backbone_L43))
        named = {"id": f"{target}/{stem}", "target": target, "split": split, "kind": "file"}
        row: dict[str, Any] = decoy_row(named, chain.sequence, index_L, chain.backbone_L43, scores)
        row |= files.scores.get(stem, {})
        for name, known in told.items():
            values = zip(chain.numbers, row[f"residue_{name}"], strict=True)
            row[f"residue_{name}"] = [known.get(number, value) for number, value in values]
        rows.append(row)
    return rows, errors


def _of_residues(chain: Chain, told: OfResidues, file: Location) -> dict[str, dict[str, float]]:
    """Each score of residues that the table has, by number."""
    if strange := sorted(told.keys() - set(chain.numbers)):
        where = f"residue {strange[0]} of {RESIDUES} is not in its chain {chain.id}"
        raise InputError(file, None, where, structure_stem(file))
    return {name: {number: one[name] for number, one in told.items() if name in one} for name in LOCAL}


def _scored(file: Location, native: Chain | None, known: Mapping[str, float]) -> tuple[Chain, ModelScores]:
    """The first chain of a decoy that is a model of the native; without a native, the first."""
    why: str | None = "no native, and no score in the table" if native is None and not known else "no chain"
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
