"""Which chains of a structures dataset stay, and in which cluster: tables by chain or entity, lists, best of many."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protray.seq.msa import InputError, read_bytes

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


def listed_chains(chains: Mapping[int, ChainName], names: Iterable[str]) -> dict[int, str]:
    """Numbers of the chains that a list names, and by which name.

    A name is an id of the dataset, an entry (4HHB: all its chains), a chain (4HHB_A) or an entity (4HHB_1).
    """
    wanted = {folded(name): name for name in names}
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


def read_names(path: Path) -> list[str]:
    """Read the words of a text file of ids; '#' begins a comment."""
    lines = read_bytes(path).decode("latin-1").splitlines()
    names = [word for line in lines for word in line.partition("#")[0].split()]
    if not names:
        raise InputError(path, None, "the list of ids is empty")
    return names
