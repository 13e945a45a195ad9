"""Which chains of a structures dataset stay, and in which cluster: tables by chain or entity, lists, best of many."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Literal

from protray.data.splits import cluster_by_identity, relatives
from protray.seq.alphabet import decode
from protray.seq.errors import InputError
from protray.seq.fasta import FOREIGN, codes_of, open_text, read_fasta
from protray.seq.files.packed import read_lines

logger = logging.getLogger(__name__)

Keep = Literal["all", "sequence", "cluster"]


@dataclass(frozen=True)
class ChainName:
    """One parsed chain: what it is called, and what decides which of several is kept."""

    id: str  # file's name and chain
    entry: str
    entity: str | None  # None in PDB files, and in mmCIF files without sequences
    sequence: str
    resolution: float | None
    source: str
    chain_index: Sequence[int] | None = None  # of each residue, where it is a complex of several chains

    @property
    def sequences(self) -> list[str]:
        """Of a complex, those of its chains."""
        sizes = [len(list(same)) for _, same in groupby(self.chain_index or [0] * len(self.sequence))]
        return [self.sequence[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]

    @property
    def in_entry(self) -> str:
        """As RCSB names it: 4HHB_A."""
        return f"{self.entry}_{self.id.rpartition('_')[2]}"


def folded(name: str) -> str:
    """The form in which names are compared: entries in upper case, chains as they are (a and A are two chains)."""
    entry, underscore, chain = name.rpartition("_")
    return entry.upper() + underscore + chain if underscore else chain.upper()


def repeated(chains: Iterable[ChainName]) -> dict[int, str]:
    """Numbers of the chains whose id an earlier one has, and why they are left out."""
    first: dict[str, ChainName] = {}
    return {
        number: f"id {chain.id!r} is also that of a chain of {first[chain.id].source}, which is kept"
        for number, chain in enumerate(chains)
        if first.setdefault(chain.id, chain) is not chain
    }


def listed_chains(chains: Mapping[int, ChainName], names: Iterable[str], complexes: bool = False) -> dict[int, str]:
    """Numbers of the chains that a list names, and by which name.

    A name is an id of the dataset, an entry (4HHB: all its chains), a chain (4HHB_A) or an entity (4HHB_1).  Of
    complexes, one that names a chain or an entity names its entry.
    """
    wanted = {folded(name): name for name in names}
    if complexes:
        wanted |= {folded(name.rpartition("_")[0]): name for name in wanted.values() if "_" in name} | wanted
    found = {}
    for number, chain in chains.items():
        for name in (chain.id, chain.in_entry, f"{chain.entry}_{chain.entity}", chain.entry):
            if folded(name) in wanted:
                found[number] = wanted[folded(name)]
    return found


def clusters_of(
    chains: Mapping[int, ChainName], table: Mapping[str, str], path: Path
) -> tuple[dict[int, str], dict[int, str]]:
    """Look chains up in a cluster table.

    A table whose ids all end in a number (4HHB_1) goes by entity, as RCSB's clusters-by-entity files do; any other by
    the chain's id or by entry and chain (4HHB_A).

    Returns
    -------
    clusters : dict
        Number of the chain -> cluster.
    missing : dict
        Number of the chain -> why it has none.
    """
    by_name = {folded(name): cluster for name, cluster in table.items()}
    by_entity = all(name.rpartition("_")[2].isdigit() and "_" in name for name in by_name)
    clusters, missing = {}, {}
    for number, chain in chains.items():
        if by_entity and chain.entity is None:
            missing[number] = (
                f"{path} goes by entity, and the file has none; give PDB's own mmCIF files, or a table by chain"
            )
            continue
        names = [f"{chain.entry}_{chain.entity}"] if by_entity else [chain.id, chain.in_entry]
        cluster = next((by_name[folded(name)] for name in names if folded(name) in by_name), None)
        if cluster is None:
            missing[number] = f"no cluster for {' or '.join(map(repr, dict.fromkeys(names)))} in {path}"
        else:
            clusters[number] = cluster
    return clusters, missing


def cluster_chains(chains: Mapping[int, ChainName], identity: float, cpus: int = 1) -> dict[int, str]:
    """Cluster of each chain, by number (`splits.cluster_by_identity`); complexes with related chains share theirs."""
    of_chain = cluster_by_identity(_by_chain(chains.values()), identity, cpus)
    joined: dict[str, set[str]] = {}  # cluster of single chains -> those that complexes join it to
    of_row: dict[str, str] = {}
    for name, cluster in of_chain.items():
        other = of_row.setdefault(_row_of(name), cluster)
        same = joined.setdefault(cluster, {cluster}) | joined.setdefault(other, {other})
        joined |= dict.fromkeys(same, same)
    return {number: _row_of(min(joined[of_row[chain.id]])) for number, chain in chains.items()}


def _by_chain(chains: Iterable[ChainName]) -> dict[str, str]:
    """Sequences of single chains, by the id of their row and their number in it; sorted as the ids are."""
    return {
        f"{chain.id}\0{number:03d}": sequence for chain in chains for number, sequence in enumerate(chain.sequences)
    }


def _row_of(name: str) -> str:
    return name.partition("\0")[0]


def not_the_best(chains: Mapping[int, ChainName], group_of: Callable[[int], str]) -> dict[int, str]:
    """Numbers of the chains of which a group has a better one, and that one's id.

    Better is a better resolution (any before none), then more residues, then the id that sorts first.
    """

    def rank(number: int) -> tuple[float, int, str]:
        chain = chains[number]
        return chain.resolution or float("inf"), -len(chain.sequence), chain.id

    best: dict[str, int] = {}
    for number in chains:
        group = group_of(number)
        best[group] = min(best.get(group, number), number, key=rank)
    return {number: chains[best[group_of(number)]].id for number in chains if best[group_of(number)] != number}


@dataclass(frozen=True)
class Exclusion:
    """A file of proteins to leave out: ids, or sequences with their relatives."""

    path: Path
    names: list[str]
    sequences: dict[str, str]

    def named(self, chains: Mapping[int, ChainName], complexes: bool = False) -> dict[int, str]:
        """Numbers of the chains that are in the list, and why they are left out; warns of ids that are of none."""
        found = listed_chains(chains, self.names, complexes)
        unused = set(self.names) - set(found.values())
        if unused:
            logger.warning(
                "%d of %d ids of %s are of no chain here, such as %s",
                len(unused), len(set(self.names)), self.path, min(unused),
            )  # fmt: skip
        return {number: f"excluded: {name!r} is in {self.path}" for number, name in found.items()}

    def related(self, chains: Mapping[int, ChainName], identity: float, cpus: int = 1) -> dict[int, str]:
        """Numbers of the chains that are relatives (`splits.relatives`), and why they are left out."""
        found = relatives(_by_chain(chains.values()), self.sequences, identity, cpus)
        of_row = {_row_of(name): other for name, other in sorted(found.items(), reverse=True)}
        return {
            number: f"excluded: a relative of {of_row[chain.id]!r} in {self.path}"
            for number, chain in chains.items()
            if chain.id in of_row
        }


def read_exclusion(path: Path) -> Exclusion:
    """Read ids or, where the text begins with '>', sequences; all of it, or ValueError: a lost one would be a leak."""
    with open_text(path) as file:
        fasta = file.read(1000).lstrip(FOREIGN + "\n ").startswith(">")  # behind a byte-order mark, too
    if not fasta:
        return Exclusion(path, read_names(path), {})
    records, errors = read_fasta(path)
    if errors:
        raise errors[0]
    sequences = {}
    for record in records:
        try:
            sequences[record.id] = decode(codes_of(record.sequence or ""))
        except ValueError as error:
            raise InputError(path, record.line, str(error), record.id) from None
    return Exclusion(path, [], sequences)


def read_names(path: Path) -> list[str]:
    """Read the words of a text file of ids; '#' begins a comment."""
    names = [word for line in read_lines(path) for word in line.partition("#")[0].split()]
    if not names:
        raise InputError(path, None, "the list of ids is empty")
    return names
