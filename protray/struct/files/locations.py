"""Which of several residues and atoms that a file has for one place is read."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

BACKBONE = ("N", "CA", "C", "O")
BETWEEN_LOCATIONS = 2.0  # Å between C-alpha atoms of a residue: nearer ones are alternatives, marked or not
NO_ALTLOC = "\0"


def one_per_place(residues: list[Any], counts: Counter[str]) -> list[tuple[Any, list[Any]]]:
    """Of residues of one number that are alternatives to each other, the one of highest occupancy.

    Each comes with those that were not chosen: backbone atoms that all share are with the first of them.
    """
    by_place: dict[tuple[int | None, str], list[Any]] = {}
    for residue in residues:
        by_place.setdefault((residue.label_seq, str(residue.seqid)), []).append(residue)
    if len(by_place) == len(residues):
        return [(residue, []) for residue in residues]
    chosen: dict[int, tuple[Any, list[Any]]] = {}
    for same in by_place.values():
        rivals = [residue for residue in same if residue.find_atom("CA", "*")]
        if len(rivals) > 1 and _are_alternatives(rivals):
            counts["residues_of_two_kinds"] += 1
            best = max(rivals, key=lambda residue: max(atom.occ for atom in residue["CA"]))
            chosen[id(rivals[0])] = best, [residue for residue in same if residue is not best]
        else:
            chosen |= {id(residue): (residue, []) for residue in same}
    return [chosen[id(residue)] for residue in residues if id(residue) in chosen]


def backbone(residue: Any, others: list[Any], marked: bool) -> tuple[dict[str, Any], str | None, bool]:
    """The backbone atoms by name, their location (None without any), and whether that was a choice between several.

    The location is one for all atoms: that of the highest occupancy in sum, the first of equals.  Atoms without a
    location are in all of them, those of `others` too: alternatives to the residue that were not chosen.  An atom that
    is there with and without a location is without it in the first.

    Parameters
    ----------
    residue : gemmi.Residue
    others : list of gemmi.Residue
    marked : bool
        Whether any atom of the file has a location.
    """
    found = {name: atom for name in BACKBONE if (atom := residue.find_atom(name, "*"))}
    location, choice = None, False
    if marked:
        atoms = [atom for atom in residue if atom.name in BACKBONE]
        occupancy = _occupancies(atoms)
        choice = len(occupancy) > 1
        if occupancy:
            location = max(occupancy, key=occupancy.__getitem__)
            atoms.sort(key=lambda atom: (atom.altloc not in (NO_ALTLOC, location), atom.altloc != location, -atom.occ))
            found = {atom.name: atom for atom in reversed(atoms)}  # the first of a name stays
    for other in others:
        shared = (atom for atom in other if atom.name in BACKBONE and not atom.has_altloc())
        found = {atom.name: atom for atom in shared} | found
    return found, location, choice


def side_chain(residue: Any, names: Mapping[str, int], location: str | None) -> tuple[dict[int, Any], bool]:
    """The side-chain atoms by slot, and whether a choice between locations was made here.

    The location is the backbone's; where that has none, the one of the highest occupancy in sum, the first of equals.
    Atoms without a location are in all of them; one that only other locations have is missing.

    Parameters
    ----------
    residue : gemmi.Residue
    names : mapping
        Slot of each atom that is read.
    location : str or None
        Of the backbone, as `backbone` returns it.
    """
    atoms = [atom for atom in residue if atom.name in names]
    occupancy = _occupancies(atoms)
    choice = location is None and len(occupancy) > 1
    if location is None and occupancy:
        location = max(occupancy, key=occupancy.__getitem__)
    mine = [atom for atom in atoms if atom.altloc in (NO_ALTLOC, location)]
    mine.sort(key=lambda atom: atom.altloc != location)  # an atom that is there with and without one
    return {names[atom.name]: atom for atom in reversed(mine)}, choice  # the first of a name stays


def _occupancies(atoms: list[Any]) -> Counter[str]:
    """The sum of each location; of none only over atoms that have one elsewhere."""
    located = {atom.name for atom in atoms if atom.has_altloc()}
    sums: Counter[str] = Counter()
    for atom in atoms:
        if atom.name in located:
            sums[atom.altloc] += atom.occ
    return sums


def _are_alternatives(rivals: list[Any]) -> bool:
    """Whether no two residues can be there at once: they have locations of their own, or lie in one place."""
    first, *others = [residue["CA"] for residue in rivals]
    named = [{atom.altloc for atom in atoms} for atoms in (first, *others)]
    if NO_ALTLOC not in set.union(*named) and sum(map(len, named)) == len(set.union(*named)):
        return True
    return all(first[0].pos.dist(other[0].pos) < BETWEEN_LOCATIONS for other in others)
