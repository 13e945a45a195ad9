"""Measured stabilities: melting temperatures of proteins, effects of mutations on a protein or a complex."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from protray.data.location import Location
from protray.data.splits import SPLITS, cluster_by_identity
from protray.data.tasks.examples import write_examples
from protray.data.tasks.mutations import Mutant, number, read_mutants, sequences_by_chain
from protray.data.tasks.tables import TaskRow, and_errors, read_task_table, rows_digest, with_splits
from protray.seq.errors import InputError


@dataclass(frozen=True)
class Measurements:
    """Rows with a value each; of mutations, what is mutated."""

    rows: list[TaskRow]
    mutants: list[Mutant]  # empty for whole proteins
    splits: list[str]
    clusters: list[str]
    target_N: np.ndarray  # the value, or for a complex whether the mutant binds better

    def sizes(self) -> list[int]:
        """Measurements of each split."""
        counts = Counter(self.splits)
        return [counts[split] for split in SPLITS]

    @property
    def digest(self) -> str:
        """Of all that is used."""
        more = hashlib.sha256(
            repr((self.splits, self.clusters, [(one.sites, one.to) for one in self.mutants])).encode()
        )
        return rows_digest(self.rows) + more.hexdigest()[:8]

    def write(self, file: Location) -> None:
        """As ``schemas.EXAMPLES``."""
        columns = {
            "id": [row.id for row in self.rows], "sequence": [row.sequence for row in self.rows],
            "split": self.splits, "cluster": self.clusters, "sets": [[] for _ in self.rows],
        }  # fmt: skip
        write_examples(file, columns, self.target_N[:, None])


def read_measurements(data: Location, task: str, seed: int) -> tuple[Measurements, list[InputError]]:
    """Read the table of a task, and an error for each row that cannot be used.

    A mutant of a complex counts as one that binds better where its value is below 0, as in ATOM3D's MSP.

    Raises ValueError if no row can be used, or a split would have none.
    """
    mutants: list[Mutant] = []
    if task == "thermostability":
        read, errors = read_task_table(data, "value")
        rows, values = [], []
        for row in read:
            try:
                values.append(number(row.more.get("value")))
                rows.append(row)
            except ValueError as error:
                errors.append(row.error(str(error)))
    else:
        mutants, errors = read_mutants(data, complexes=task == "msp")
        rows, values = [one.row for one in mutants], [one.value for one in mutants]
    if not rows:
        raise ValueError(f"{data}: no row can be used{and_errors(errors)}")
    places = with_splits(rows if task != "msp" else _joined(mutants), seed)
    splits, clusters = ([places[row.id][part] for row in rows] for part in (0, 1))
    target_N = np.array(values, np.float32)
    if task == "msp":
        target_N = (target_N < 0).astype(np.float32)
    return Measurements(rows, mutants, splits, clusters, target_N), errors


def check_both_kinds(found: Measurements, data: Location) -> None:
    """ValueError if all mutants of complexes in the training or the test split bind better, or worse."""
    for name in ("train", "test"):
        kinds = set(found.target_N[np.array(found.splits) == name].tolist())
        if len(kinds) == 1:
            kind = "better" if kinds == {1.0} else "worse"
            raise ValueError(f"{data}: all mutants of the split {name} bind {kind}; there is nothing to tell apart")


def _joined(mutants: list[Mutant]) -> list[TaskRow]:
    """Rows with clusters, unless they have their own: complexes that share related chains are in one, and so on."""
    if any(one.row.more.get("cluster") for one in mutants):
        return [one.row for one in mutants]
    chains = {one.row.id: sequences_by_chain(one.row.sequence, one.starts) for one in mutants}
    names = {
        sequence: f"c{n}" for n, sequence in enumerate(sorted({chain for found in chains.values() for chain in found}))
    }
    of_chain = cluster_by_identity({name: sequence for sequence, name in names.items()})
    parent = {cluster: cluster for cluster in of_chain.values()}

    def root(cluster: str) -> str:
        while parent[cluster] != cluster:
            cluster = parent[cluster]
        return cluster

    for found in chains.values():
        first, *others = [root(of_chain[names[chain]]) for chain in found]
        for other in others:
            parent[root(other)] = root(first)
    of_complex = {id: root(of_chain[names[found[0]]]) for id, found in chains.items()}
    return [replace(one.row, more=dict(one.row.more) | {"cluster": of_complex[one.row.id]}) for one in mutants]
