"""ATOM3D's databases (Townshend et al., NeurIPS Datasets and Benchmarks, 2021): items, atoms, and what a mutation is.

A database is a folder with an LMDB of gzipped JSON.  Atoms are a table as pandas writes it with ``orient="split"``:
``columns`` and ``data``, a list of rows.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from protray.struct.files.residue_names import letter

Frame = Mapping[str, Any]
RESIDUE = {"chain": str, "residue": int, "insertion_code": str, "resname": str}
ATOM = {"name": str, "element": str, "x": float, "y": float, "z": float}


def read_ids(folder: Path) -> list[str]:
    """The ids of a database's items, in its order.

    Raises
    ------
    ValueError
        If lmdb is not installed, the folder is no database, or its items are no JSON.
    """
    with _opened(folder) as (_, places):
        return sorted(places, key=places.__getitem__)


def read_items(folder: Path, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Some of a database's items: ids, and what they hold, packed (`unpacked`); errors as of `read_ids`."""
    with _opened(folder) as (at, places):
        yield from ((id, at.get(str(places[id]).encode()) or b"") for id in ids)


def unpacked(item: bytes) -> dict[str, Any]:
    """The content of an item; ValueError if it cannot be read."""
    try:
        found = json.loads(gzip.decompress(item))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"no gzipped JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"a JSON {type(found).__name__} in place of names and values")
    return found


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[Any, dict[str, int]]]:
    """A database to read from, and the places of its items."""
    try:
        import lmdb
    except ModuleNotFoundError:
        raise ValueError("ATOM3D's databases are read by lmdb; pip install lmdb") from None
    try:
        database = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise ValueError(f"{folder} is no LMDB: {error}") from None
    with database, database.begin() as at:
        kind, places = at.get(b"serialization_format"), at.get(b"id_to_idx")
        if kind != b"json" or places is None:
            raise ValueError(f"{folder} is no database of ATOM3D in JSON: its serialization_format is {kind!r}")
        yield at, json.loads(places)


def pdb_text(frame: Frame) -> str:
    """The atoms as a PDB file.

    Raises ValueError for a table without a column that is needed, or with a cell of another kind.
    """
    import gemmi

    model = gemmi.Model(1)
    for chain_name, of_chain in groupby(_atoms(frame), key=lambda atom: atom[0][0]):
        chain = gemmi.Chain(chain_name)
        for (_, number, icode, name), of_residue in groupby(of_chain, key=lambda atom: atom[0]):
            residue = gemmi.Residue()
            residue.name, residue.seqid = name, gemmi.SeqId(number, icode)
            for _, (atom_name, element, x, y, z) in of_residue:
                atom = gemmi.Atom()
                atom.name, atom.element, atom.pos = atom_name, gemmi.Element(element), gemmi.Position(x, y, z)
                residue.add_atom(atom)
            chain.add_residue(residue)
        model.add_chain(chain)
    structure = gemmi.Structure()
    structure.add_model(model)
    try:
        return structure.make_pdb_string()
    except RuntimeError as error:  # a chain's name that is too long
        raise ValueError(f"cannot be written as PDB: {error}") from None


def substitutions(before: Frame, after: Frame) -> str:
    """The residues whose type differs, as tables of mutations name them: ``L:A42G``, several parted by commas.

    Raises ValueError if none differs, or the residues are not the same ones.
    """
    types = [{residue[:3]: residue[3] for residue, _ in _atoms(frame)} for frame in (before, after)]
    if lost := types[0].keys() ^ types[1].keys():
        raise ValueError(f"{len(lost)} residues are in only one of the two structures, such as {sorted(lost)[0]}")
    pairs = [(place, letter(old)[0], letter(types[1][place])[0]) for place, old in types[0].items()]
    words = [f"{chain}:{a}{number}{icode.strip()}{b}" for (chain, number, icode), a, b in pairs if a != b]
    if not words:
        raise ValueError("the mutant has the residues of the original")
    return ",".join(words)


def _atoms(frame: Frame) -> Iterator[tuple[tuple, tuple]]:
    """What names the residue of each atom (chain, number, insertion code, type), and the atom."""
    kinds = RESIDUE | ATOM
    if lost := [name for name in kinds if name not in frame["columns"]]:
        raise ValueError(f"the table of atoms has no column {lost[0]!r}")
    places = {name: frame["columns"].index(name) for name in kinds}
    for number, row in enumerate(frame["data"]):
        found = {}
        for name, kind in kinds.items():
            if row[places[name]] is None:
                raise ValueError(f"atom {number} has no {name}")
            found[name] = kind(row[places[name]])
        chain, icode = found["chain"].strip() or "A", found["insertion_code"].strip() or " "
        yield (chain, found["residue"], icode, found["resname"]), tuple(found[name] for name in ATOM)
