"""ATOM3D's databases (Townshend et al., NeurIPS Datasets and Benchmarks, 2021): items, atoms, and what a mutation is.

A database is a folder with an LMDB of gzipped JSON.  Atoms are a table as pandas writes it with ``orient="split"``:
``columns`` and ``data``, a list of rows.
"""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from protray.struct.files.residue_names import letter

Frame = Mapping[str, Any]
RESIDUE = ("chain", "residue", "insertion_code", "resname")
ATOM = ("name", "element", "x", "y", "z")


def count_items(folder: Path) -> int:
    """How many items a database has; errors as of `read_items`."""
    with _opened(folder) as (_, places):
        return len(places)


def read_items(folder: Path, skip: Callable[[str], bool] = lambda id: False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ids and contents of a database's items, in its order, without those of which `skip` is true.

    Raises
    ------
    ValueError
        If lmdb is not installed, the folder is no database, or its items are no JSON.
    """
    with _opened(folder) as (at, places):
        for id, place in sorted(places.items(), key=lambda item: item[1]):
            if not skip(id):
                yield id, json.loads(gzip.decompress(at.get(str(place).encode())))


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

    Raises ValueError for a table without a column that is needed.
    """
    import gemmi

    model = gemmi.Model(1)
    for chain_name, of_chain in groupby(_atoms(frame), key=lambda atom: atom[0][0]):
        chain = gemmi.Chain(chain_name.strip() or "A")
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
    return structure.make_pdb_string()


def substitutions(before: Frame, after: Frame) -> str:
    """The residues whose type differs, as tables of mutations name them: ``L:A42G``, several parted by commas.

    Raises ValueError if none differs, or the residues are not the same ones.
    """
    types = [{atom[0][:3]: atom[0][3] for atom in _atoms(frame)} for frame in (before, after)]
    if lost := types[0].keys() ^ types[1].keys():
        raise ValueError(f"{len(lost)} residues are in only one of the two structures, such as {sorted(lost)[0]}")
    changed = [(place, old, types[1][place]) for place, old in types[0].items() if old != types[1][place]]
    words = [
        f"{chain}:{letter(old)[0]}{number}{icode.strip()}{letter(new)[0]}"
        for (chain, number, icode), old, new in changed
        if letter(old)[0] != letter(new)[0]
    ]
    if not words:
        raise ValueError("the mutant has the residues of the original")
    return ",".join(words)


def _atoms(frame: Frame) -> Iterator[tuple[tuple, tuple]]:
    """What names the residue of each atom, and the atom."""
    lost = [name for name in (*RESIDUE, *ATOM) if name not in frame["columns"]]
    if lost:
        raise ValueError(f"the table of atoms has no column {lost[0]!r}")
    residue, atom = ([frame["columns"].index(name) for name in names] for names in (RESIDUE, ATOM))
    for row in frame["data"]:
        yield tuple(row[n] for n in residue), tuple(row[n] for n in atom)
