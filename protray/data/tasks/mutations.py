"""Mutations of proteins and of complexes, from a user's table.

A table has a row for each mutant: ``id``, ``mutation``; where it was measured ``value``, maybe ``split`` and
``cluster``.  Of a single protein also ``sequence``, and maybe its structure (see `protray.data.tasks.tables`);
``mutation`` is ``A42G``, position 42 of the sequence from 1.  Of a complex ``structure``, a PDB or mmCIF file with all
of its chains; ``mutation`` is ``L:I45G``, residue 45 of chain L as the file numbers it (45A with an insertion code).
Several are parted by commas.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from protray.data.location import Location
from protray.data.structure.atoms import AtomChain
from protray.data.structure.rows import counted_on
from protray.data.tasks.lines import table_lines
from protray.data.tasks.observed import Observed, beside, chains_of_file
from protray.data.tasks.tables import TaskRow, read_task_table
from protray.seq.alphabet import AMINO_ACIDS
from protray.seq.errors import InputError
from protray.struct.files.chain import Chain

_ONE = re.compile(rf"(?:(\w+):)?([{AMINO_ACIDS}])(-?\d+[A-Za-z]?)([{AMINO_ACIDS}])")
_BETWEEN = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class Mutant:
    """One mutant.  Chains stand one behind the other; sites are places in all of them, from 0."""

    row: TaskRow  # whose sequence is that of all chains, and `observed` what is known of their structure
    starts: tuple[int, ...]  # of the chains
    sites: tuple[int, ...]
    to: str  # residues of the mutant at the sites
    value: float  # NaN where the table is not asked for it

    @property
    def was(self) -> str:
        """Residues of the wild type at the sites."""
        return "".join(self.row.sequence[site] for site in self.sites)

    @property
    def places_O(self) -> np.ndarray | None:  # noqa: N802
        """Places in the sequence of the residues with coordinates; None without a structure.

        ``observed.index_L`` has them only where residues lack coordinates; else it counts on over breaks and chains.
        """
        observed = self.row.observed
        if observed is None:
            return None
        if len(observed.sequence) < len(self.row.sequence):
            return observed.index_L
        return np.arange(len(observed.sequence), dtype=np.int32)


@dataclass(frozen=True)
class Surroundings:
    """The residues around the sites of a mutation, of all chains: what a model of structures sees of it.

    The mutant has the wild type's backbone, and of the new side chain nothing, since nobody has seen it.
    """

    wild: AtomChain
    mutant: AtomChain
    sites: list[int]  # among these residues

    def without_text(self) -> "Surroundings":
        """The same for a model that reads no sequences."""
        return replace(self, wild=replace(self.wild, text=None), mutant=replace(self.mutant, text=None))


def read_mutants(path: Location, *, complexes: bool, measured: bool = True) -> tuple[list[Mutant], list[InputError]]:
    """Read the mutants, and an error for each row that cannot be used; values count only if they were `measured`."""
    if complexes:
        return _of_complexes(path, measured)
    rows, errors = read_task_table(path, "mutation", *(["value"] if measured else []))
    mutants = []
    for row in rows:
        try:
            if row.observed and row.observed.chain_L is not None and row.observed.chain_L.any():
                raise ValueError("several chains (chain_index) in a table of single proteins")
            sites, to = _sites(row.more.get("mutation"), row.sequence)
            mutants.append(Mutant(row, (0,), sites, to, _value(row, measured)))
        except ValueError as error:
            errors.append(row.error(str(error)))
    return mutants, errors


def number(value: Any) -> float:
    """A finite number of a cell; ValueError if it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"value {value!r} is no finite number")
    return found


def _value(row: TaskRow, measured: bool) -> float:
    return number(row.more.get("value")) if measured else math.nan


def parse_mutations(text: Any) -> list[tuple[str | None, str, str, str]]:
    """Chain, residue of the wild type, its number, and residue of the mutant.

    Raises ValueError for what is no mutation.

    >>> parse_mutations("L:I45G, A42C")
    [('L', 'I', '45', 'G'), (None, 'A', '42', 'C')]
    """
    words = [word for word in _BETWEEN.split(str(text or "").strip()) if word]
    found = []
    for word in words:
        match = _ONE.fullmatch(word)
        if not match:
            raise ValueError(
                f"{word!r} is no mutation: one of the 20 amino acids, its number, and another of them; write A42G, or "
                "L:A42G of a chain of a complex"
            )
        found.append(match.groups())
    for chain, old, resnum, new in found:
        if old == new:
            raise ValueError(f"{old}{resnum}{new} changes nothing")
        if sum(one[0] == chain and one[2] == resnum for one in found) > 1:
            raise ValueError(f"residue {resnum} is mutated twice")
    if not found:
        raise ValueError("no mutation; write A42G, or L:A42G of a chain of a complex")
    return found


def _sites(text: Any, sequence: str) -> tuple[tuple[int, ...], str]:
    """Places in a sequence and new residues."""
    sites, to = [], ""
    for chain, old, position, new in parse_mutations(text):
        if chain:
            raise ValueError(f"{chain}:{old}{position}{new}: there are no chains in a table of single proteins")
        place = int(position) - 1 if position.isdigit() else -1
        if not 0 <= place < len(sequence):
            raise ValueError(f"{old}{position}{new}: the sequence has positions 1 to {len(sequence)}")
        if sequence[place] != old:
            raise ValueError(
                f"{old}{position}{new}: residue {position} of the sequence is {sequence[place]}; positions count from "
                "1, not as in a PDB file"
            )
        sites.append(place)
        to += new
    return tuple(sites), to


def _of_complexes(path: Location, measured: bool) -> tuple[list[Mutant], list[InputError]]:
    mutants, errors, seen = [], [], {}
    for line, raw in table_lines(path, ("id", "structure", "mutation", *(["value"] if measured else []))):
        if isinstance(raw, InputError):
            errors.append(raw)
            continue
        id = "" if raw["id"] is None else str(raw["id"])
        row = TaskRow(id, "", str(path), line, None, raw)
        if empty := [name for name in ("id", "structure") if raw[name] in (None, "")]:
            errors.append(row.error(f"no {empty[0]}"))
            continue
        if seen.setdefault(id, line) != line:
            errors.append(row.error(f"id {id!r} is also that of line {seen[id]}, which is kept"))
            continue
        try:
            mutants.append(_of_complex(row, beside(path, str(raw["structure"])), measured))
        except ValueError as error:
            errors.append(row.error(str(error)))
    return mutants, errors


def _of_complex(row: TaskRow, file: Location, measured: bool) -> Mutant:
    chains, starts, sequence, observed = _complex(file)
    sites, to = [], ""
    for name, old, resnum, new in parse_mutations(row.more["mutation"]):
        number_of = {chain.id: number for number, chain in enumerate(chains)}
        if name is None:
            raise ValueError(
                f"{old}{resnum}{new}: write the chain before it, such as {next(iter(number_of))}:{old}{resnum}{new}"
            )
        if name not in number_of:
            raise ValueError(f"{file} has no chain {name!r}; it has {', '.join(number_of)}")
        chain = chains[number_of[name]]
        if resnum not in chain.numbers:
            raise ValueError(f"chain {name} of {file} has no residue {resnum} with coordinates")
        place = chain.numbers.index(resnum)
        if chain.sequence[place] != old:
            raise ValueError(f"residue {resnum} of chain {name} of {file} is {chain.sequence[place]}, not {old}")
        sites.append(starts[number_of[name]] + place)
        to += new
    whole = TaskRow(row.id, sequence, row.file, row.line, observed, row.more)
    return Mutant(whole, starts, tuple(sites), to, _value(row, measured))


@lru_cache(maxsize=16)
def _complex(file: Location) -> tuple[list[Chain], tuple[int, ...], str, Observed]:
    """Chains of a file, where each starts in their joined sequence, and the structure of all."""
    chains = chains_of_file(file)
    starts = tuple(int(start) for start in np.cumsum([0, *(len(chain.sequence) for chain in chains)])[:-1])
    sequence = "".join(chain.sequence for chain in chains)
    return chains, starts, sequence, Observed.of(chains, counted_on(chains)[0])


def sequences_by_chain(sequence: str, starts: Sequence[int]) -> list[str]:
    """The sequences of the chains.

    >>> sequences_by_chain("MKVAA", [0, 3])
    ['MKV', 'AA']
    """
    return [sequence[start:stop] for start, stop in zip(starts, [*starts[1:], len(sequence)], strict=True)]
