"""Labelled proteins from users' files: a three-line file, a Parquet table, or the chains of a complex.

Rows are those of ``schemas.SITES``; `cluster` and `split` are empty where the file does not tell.

Shape key:  L residues of a protein   A 20 amino acids   3 x, y, z in Å
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from protray.data.location import Location
from protray.data.sites.table import LABELS
from protray.data.splits import SPLITS
from protray.data.structure.rows import StructureSettings, pack_backbone, structure_row
from protray.data.structure.structures import CA, N_BACKBONE
from protray.seq.alphabet import N_AA, UNKNOWN, decode, encode
from protray.seq.errors import InputError
from protray.seq.three_line import read_three_lines
from protray.struct.files.io import parse_structure
from protray.struct.from_distances import coordinates_from_distances, right_handed
from protray.struct.interface import LOST, buried_areas

EMPTY = dict.fromkeys(("index", "backbone_cA", "pssm", "dssp")) | {"cluster": "", "split": ""}
USABLE = StructureSettings(min_residues=20)  # chains of a complex; shorter ones cover others, but are no rows
NEEDED = ("id", "sequence", "label")
OPTIONAL = ("split", "cluster", "index", "backbone_cA", "pssm", "dssp", "dssp9", "ca_distance_dA")
FARTHEST_DA = 10_000  # 0.1 Å: no two residues are 1,000 Å apart; files have such numbers where atoms are missing
DSSP_CLASSES = 9


def three_line_rows(file: Path) -> tuple[list[dict], list[InputError]]:
    """Rows of ``>id``, sequence, and 1 (site), 0 or - (not known) for each residue."""
    records, errors = read_three_lines(file, LABELS)
    rows = []
    for record in records:
        try:
            rows.append(EMPTY | {"id": record.id, "sequence": _letters(record.sequence), "label": record.labels})
        except ValueError as error:
            errors.append(InputError(file, record.line, str(error), record.id))
    return rows, errors


def table_rows(file: Location) -> Iterator[dict | InputError]:
    """Rows of a Parquet table with the columns id, sequence and label, and maybe some of `OPTIONAL`.

    ``label`` is text of 0, 1 and -, or a list of 0 and 1; ``pssm`` L x 20 numbers in the order of
    `protray.seq.alphabet`, in any unit; ``dssp`` (or ``dssp9``) classes from 0 to 8, and of another length than the
    sequence it is left out; ``ca_distance_dA`` the upper triangle of the distances between C-alpha atoms in 0.1 Å, row
    by row, of which coordinates are made, right-handed where helices tell.  A split is train, validation or test.

    Raises
    ------
    InputError
        If a column is missing.
    """
    with file.open() as opened:
        parquet = pq.ParquetFile(opened)
        names = parquet.schema_arrow.names
        if missing := [name for name in NEEDED if name not in names]:
            raise InputError(file, None, f"column {missing[0]!r} is missing; it has {', '.join(names)}")
        asked = [name for name in (*NEEDED, *OPTIONAL) if name in names]
        seen: set[str] = set()
        for batch in parquet.iter_batches(64, columns=asked):
            for raw in batch.to_pylist():
                id = "" if raw["id"] is None else str(raw["id"])
                try:
                    if not id:
                        raise ValueError("it is empty")
                    if id in seen:
                        raise ValueError("this id is also that of a protein before it, which is kept")
                    seen.add(id)
                    yield _table_row(raw | {"id": id})
                except (ValueError, TypeError, OverflowError) as error:  # a null, or a number that is none
                    yield InputError(file, None, f"id {id!r}: {error}", id)


def _table_row(raw: Mapping[str, Any]) -> dict:
    if empty := [name for name in ("sequence", "label") if raw[name] is None]:
        raise ValueError(f"its {empty[0]} is empty")
    sequence = _letters(raw["sequence"])
    length = len(sequence)
    label = raw["label"] if isinstance(raw["label"], str) else "".join(map(str, raw["label"]))
    if len(label) != length or not set(label) <= set(LABELS):
        raise ValueError(
            f"{length} residues, but {len(label)} labels of {'/'.join(sorted(set(label)))}; give 0, 1 or -"
        )
    row = EMPTY | {"id": raw["id"], "sequence": sequence, "label": label}
    row |= {name: raw[name] for name in ("split", "cluster", "index") if raw.get(name) is not None}
    if row["split"] not in ("", *SPLITS):
        raise ValueError(f"split {row['split']!r} is none of {', '.join(SPLITS)}")
    if raw.get("pssm") is not None:
        row["pssm"] = np.array(raw["pssm"], np.float32).ravel()
        finite = int(np.isfinite(row["pssm"]).sum())
        if not row["pssm"].size == finite == length * N_AA:
            raise ValueError(f"its PSSM has {finite} finite numbers for {length} residues x {N_AA}")
    dssp = next((raw[name] for name in ("dssp", "dssp9") if raw.get(name) is not None), None)
    if dssp is not None and len(dssp) == length:
        if not set(dssp) <= set(range(DSSP_CLASSES)):
            raise ValueError(f"DSSP classes run from 0 to {DSSP_CLASSES - 1}, found {set(dssp)}")
        row["dssp"] = np.array(dssp, np.int8)
    row["backbone_cA"] = None if raw.get("backbone_cA") is None else np.array(raw["backbone_cA"], np.int16)
    if row["backbone_cA"] is not None and len(row["backbone_cA"]) != length * N_BACKBONE * 3:
        raise ValueError(f"its backbone_cA has {len(row['backbone_cA'])} numbers for {length} residues x 4 atoms x 3")
    if row["backbone_cA"] is None and raw.get("ca_distance_dA") is not None:
        row["backbone_cA"] = _from_distances(np.array(raw["ca_distance_dA"]), length)
    return row


def _from_distances(upper_dA: np.ndarray, length: int) -> np.ndarray | None:
    """C-alpha atoms that have these distances; None where some are missing."""
    if upper_dA.size != length * (length - 1) // 2:
        raise ValueError(f"{upper_dA.size} distances for {length} residues, not {length * (length - 1) // 2}")
    if upper_dA.max(initial=0) > FARTHEST_DA:
        return None
    dist_LL = np.zeros((length, length))
    dist_LL[np.triu_indices(length, 1)] = upper_dA / 10
    backbone_L43 = np.full((length, N_BACKBONE, 3), np.nan)
    backbone_L43[:, CA] = right_handed(coordinates_from_distances(dist_LL + dist_LL.T))
    return pack_backbone(backbone_L43)


def complex_rows(raw: bytes, name: str) -> tuple[list[dict], list[InputError]]:
    """The chains of a PDB or mmCIF file, with the sites where its protein chains touch (`protray.struct.interface`).

    Chains shorter than 20 residues cover others, but are no rows themselves.

    Raises
    ------
    InputError
        If the file cannot be read, holds one protein chain alone, or no side chains.
    """
    structure = parse_structure(raw, name, heavy=True)
    if len(structure.chains) < 2:
        raise InputError(name, None, "holds one protein chain; sites are found where several touch")
    heavy = [chain.heavy for chain in structure.chains if chain.heavy]
    if not any(atom not in ("N", "CA", "C", "O", "OXT") for atoms in heavy for atom in atoms.names):
        raise InputError(name, None, "has no side chains, without which no accessible area is known")
    rows: list[dict] = []
    errors: list[InputError] = []
    for chain, lost_L in zip(structure.chains, buried_areas(heavy), strict=True):
        try:
            row = structure_row(chain, structure, name, USABLE)
        except InputError as error:
            errors.append(error)
            continue
        label = "".join("1" if lost > LOST else "0" for lost in lost_L)
        rows.append(EMPTY | {key: row[key] for key in ("id", "sequence", "index", "backbone_cA")} | {"label": label})
    return rows, errors


def _letters(sequence: str) -> str:
    """In upper case, with X for what is none of the 20; ValueError naming what is no residue."""
    codes_L = encode(sequence.upper())
    foreign = np.flatnonzero(codes_L > UNKNOWN)
    if foreign.size or not codes_L.size:
        what = f"{sequence[foreign[0]]!r} at position {foreign[0] + 1} is no residue" if foreign.size else "no residue"
        raise ValueError(what)
    return decode(codes_L)
