"""Databases as ATOM3D 0.2.6 writes them: LMDB, gzipped JSON, tables of atoms as pandas writes them."""

import gzip
import json
from pathlib import Path

import lmdb

THREE = {"M": "MET", "K": "LYS", "A": "ALA", "G": "GLY"}
COLUMNS = ["chain", "residue", "insertion_code", "resname", "name", "element", "x", "y", "z"]


def frame(sequences: dict[str, str], insertion: str = " ") -> dict:
    """Chains of straight backbones, from residue 10 on; the last residue of each has an insertion code."""
    rows = []
    for chain, sequence in sequences.items():
        for n, aa in enumerate(sequence):
            icode = insertion if n == len(sequence) - 1 else " "
            atoms = [("N", "N", -1.46, 0.0), ("CA", "C", 0.0, 0.0), ("C", "C", 0.0, 1.52), ("O", "O", 1.0, 2.2)]
            for name, element, x, y in atoms:
                rows.append([chain, 10 + n, icode, THREE[aa], name, element, x, y + 50 * (chain == "B"), 3.8 * n])
    return {"columns": COLUMNS, "index": list(range(len(rows))), "data": rows}


def write_database(folder: Path, items: dict[str, dict], kind: str = "json") -> None:
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 24) as database, database.begin(write=True) as at:
        for place, item in enumerate(items.values()):
            at.put(str(place).encode(), gzip.compress(json.dumps(item).encode()))
        at.put(b"num_examples", str(len(items)).encode())
        at.put(b"serialization_format", kind.encode())
        at.put(b"id_to_idx", json.dumps({id: place for place, id in enumerate(items)}).encode())
