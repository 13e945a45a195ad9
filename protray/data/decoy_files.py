"""Decoys from files: a folder with one folder for each target, which holds its native structure and its models.

``DATA/T0967/native.pdb``   the native: PDB or mmCIF, plain or gzipped
``DATA/T0967/*``            every other structure file is a decoy of it, named after the file
"""

import io
from collections.abc import Sequence

import numpy as np

from protray.data.decoys import decoy_row
from protray.data.location import Location
from protray.data.structure_rows import impossible
from protray.data.structures import CA
from protray.seq.msa import InputError, unpack
from protray.struct.breaks import count_on, find_breaks
from protray.struct.io import Chain, is_structure, parse_structure, structure_stem
from protray.struct.model_scores import ModelScores, score_model

NATIVE = "native"  # the name of its file, without what it ends with


def find_targets(folder: Location) -> dict[str, tuple[Location, list[Location]]]:
    """The native and the decoys of each target, sorted by name.

    Raises
    ------
    ValueError
        If there is none, or a folder holds structures but no native, or several, or no decoy.
    """
    files: dict[str, list[Location]] = {}
    for file in folder.files():
        if is_structure(file) and file.parent != folder:
            files.setdefault(file.parent.name, []).append(file)
    if not files:
        raise ValueError(f"{folder} holds no folders of targets with {NATIVE}.pdb (or .cif, .gz) and decoys in them")
    found = {}
    for target, mine in sorted(files.items()):
        natives = [file for file in mine if structure_stem(file) == NATIVE]
        if len(natives) != 1 or len(mine) == 1:
            raise ValueError(
                f"{folder / target} has {len(natives)} files of the name {NATIVE} and {len(mine) - len(natives)} "
                "decoys; a target has one native and at least one decoy"
            )
        found[target] = natives[0], sorted(file for file in mine if file != natives[0])
    return found


def read_native(file: Location) -> Chain:
    """The longest chain of a native; InputError if it cannot be read."""
    return max(_chains(file), key=lambda chain: len(chain.sequence))


def file_rows(
    target: str, split: str, native: Location, decoys: Sequence[Location]
) -> tuple[list[dict], list[InputError]]:
    """Rows of ``schemas.DECOYS``, and an error for each decoy (or for the native) that cannot be used."""
    rows, errors = [], []
    try:
        of_native = read_native(native)
    except InputError as error:
        return [], [error]
    for file in decoys:
        try:
            chain, scores = _scored(file, of_native)
        except InputError as error:
            errors.append(error)
            continue
        index_L = count_on(chain.positions, find_breaks(chain.backbone_L43))
        named = {"id": f"{target}/{structure_stem(file)}", "target": target, "split": split, "kind": "file"}
        rows.append(decoy_row(named, chain.sequence, index_L, chain.backbone_L43, scores))
    return rows, errors


def _scored(file: Location, native: Chain) -> tuple[Chain, ModelScores]:
    """The first chain of a decoy that is a model of the native."""
    why = "no chain"
    for chain in _chains(file):
        why = impossible(chain)
        if why:
            continue
        try:
            native_N3, model_L3 = (one.backbone_L43[:, CA].astype(np.float64) for one in (native, chain))
            return chain, score_model(chain.sequence, model_L3, native.sequence, native_N3)
        except ValueError as error:
            why = str(error)
    raise InputError(file, None, str(why), structure_stem(file))


def _chains(file: Location) -> list[Chain]:
    return parse_structure(unpack(io.BytesIO(file.read_bytes()), file), file).chains
