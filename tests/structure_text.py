"""Structure files as text for tests: ideal backbones (synthetic), written as PDB and mmCIF."""

from collections.abc import Callable, Iterable

import numpy as np

from protray.struct.files.chain import Chain
from protray.struct.files.io import Structure, parse_structure

HELIX = (-57.0, -47.0)
THREE = dict(
    zip(
        "ARNDCQEGHILKMFPSTWYVX",
        "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL UNK".split(),
        strict=True,
    )
)


def build_backbone(angles: list[tuple[float, float]]) -> np.ndarray:
    """N, CA, C, O from (phi, psi) in degrees, with Engh & Huber bond lengths and angles; shape (L, 4, 3)."""

    def extend(a, b, c, bond, angle, torsion) -> np.ndarray:
        angle, torsion = np.radians(angle), np.radians(torsion)
        axis = (c - b) / np.linalg.norm(c - b)
        normal = np.cross(b - a, axis)
        normal /= np.linalg.norm(normal)
        local = bond * np.array([-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)])
        return c + np.stack([axis, np.cross(normal, axis), normal], axis=1) @ local

    n, ca = np.zeros(3), np.array([1.458, 0, 0])
    c = ca + 1.525 * np.array([-np.cos(np.radians(111.0)), np.sin(np.radians(111.0)), 0])
    atoms = []
    for index, (_, psi) in enumerate(angles):
        atoms.append([n, ca, c, extend(n, ca, c, 1.231, 120.1, psi + 180)])
        if index + 1 < len(angles):
            next_n = extend(n, ca, c, 1.329, 117.2, psi)
            next_ca = extend(ca, c, next_n, 1.458, 121.7, 180)
            n, ca, c = next_n, next_ca, extend(c, next_n, next_ca, 1.525, 111.0, angles[index + 1][0])
    return np.array(atoms, dtype=np.float32)


def helix(length: int) -> np.ndarray:
    """Backbone of an ideal helix, shape (L, 4, 3)."""
    return build_backbone([HELIX] * length)


def atom(serial, name, residue, chain, number, xyz, record="ATOM  ", alt=" ", occupancy=1.0) -> str:
    """One line of a PDB file; `number` is four columns and the insertion code."""
    return (
        f"{record}{serial:5d}  {name:<3s}{alt}{residue} {chain}{number:>5s}   "
        f"{xyz[0]:8.3f}{xyz[1]:8.3f}{xyz[2]:8.3f}{occupancy:6.2f}  0.00           {name[0]}"
    )


def pdb_chain(sequence: str, chain: str = "A", backbone_L43: np.ndarray | None = None) -> list[str]:
    """ATOM lines of a chain, by default an ideal helix, numbered from 1."""
    backbone_L43 = helix(len(sequence)) if backbone_L43 is None else backbone_L43
    lines = [
        atom(4 * index + k + 1, name, THREE[letter], chain, f"{index + 1} ", xyz)
        for index, (letter, atoms) in enumerate(zip(sequence, backbone_L43, strict=True))
        for k, (name, xyz) in enumerate(zip(("N", "CA", "C", "O"), atoms, strict=True))
    ]
    return [*lines, "TER"]


def pdb(*chains: list[str], header: Iterable[str] = ()) -> str:
    return "\n".join([*header, *(line for lines in chains for line in lines), "END", ""])


_COLUMNS = (
    "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id "
    "pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"
).split()


def mmcif(
    chains: Iterable[tuple[str, str, str, list[int]]], entry: str = "1ABC", header: str = "", sequences: bool = True
) -> str:
    """An mmCIF file of ideal helices, by default with the sequences of its entities.

    Each chain is (author's name, entity, sequence, label_seq_id of its residues); the author's numbers are 100 higher.
    """
    chains, rows, serial = list(chains), [], 0
    if sequences:
        listed = {
            f"{entity} {place} {THREE[letter]}"
            for _, entity, letters, places in chains
            for letter, place in zip(letters, places, strict=True)
        }
        header += "\nloop_\n" + "\n".join(f"_entity_poly_seq.{name}" for name in ("entity_id", "num", "mon_id"))
        header += "\n" + "\n".join(sorted(listed)) + "\n"
    for name, entity, sequence, places in chains:
        for letter, place, atoms in zip(sequence, places, helix(max(places))[np.array(places) - 1], strict=True):
            for atom_name, (x, y, z) in zip(("N", "CA", "C", "O"), atoms, strict=True):
                serial += 1
                rows.append(
                    f"ATOM {serial} {atom_name[0]} {atom_name} . {THREE[letter]} x{name} {entity} {place} ? "
                    f"{x:.3f} {y:.3f} {z:.3f} 1.00 0.0 {place + 100} {name} 1"
                )
    loop = "\n".join(f"_atom_site.{column}" for column in _COLUMNS)
    return f"data_{entry}\n_entry.id {entry}\n{header}\nloop_\n{loop}\n" + "\n".join(rows) + "\n#\n"


SEQUENCE = "MKHLDECSYEVK"
FAR = np.array([30, 0, 0], dtype=np.float32)
TWO = pdb_chain(SEQUENCE, "A") + pdb_chain(SEQUENCE[::-1], "B", helix(12) + FAR)


def read(text: str | bytes, name: str = "x.pdb") -> Structure:
    """What the project reads in a file's text."""
    return parse_structure(text.encode() if isinstance(text, str) else text, name)


def same(found: list[Chain], expected: list[Chain], ids: tuple[str, ...] | None = None) -> None:
    """Sequences, numbers and coordinates are equal; names too, or they are `ids`."""
    assert [chain.id for chain in found] == list(ids or [chain.id for chain in expected])
    for one, two in zip(found, expected, strict=True):
        assert (one.sequence, one.numbers) == (two.sequence, two.numbers)
        np.testing.assert_array_equal(one.backbone_L43, two.backbone_L43)


def each(lines: list[str], change: Callable[[str], str]) -> str:
    """A PDB file with every atom line changed."""
    return pdb([change(line) if line.startswith(("ATOM", "HETATM")) else line for line in lines])
