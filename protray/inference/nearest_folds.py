"""CATH topologies of chains, and how often that of the nearest chain by an encoder's vectors is the same.

Shape key:  N chains   C channels
"""

from collections.abc import Mapping, Sequence

import numpy as np

from protray.data.location import Location
from protray.data.sample import FULL_ATOM, LABELS
from protray.data.structure.atoms import AtomStructures
from protray.data.tasks.labels import cath_at, frequent, labels_in
from protray.data.tasks.lines import table_lines
from protray.evaluation.ssdm import LEVEL, UNTRAINED
from protray.evaluation.tasks.properties.cath import retrieval_rows, same_class
from protray.inference.embeddings.residues import statistics_of
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.seq.errors import InputError

LONGEST = 400  # residues of a chain whose nearest chain is looked for: larger ones have several domains


def folds(data: Location | None, labels: Location | None) -> dict[str, str]:
    """The topology of each chain that has one CATH domain and a label; none for a dataset without `labels`.

    Raises ValueError for a table without the columns id and cath, and for labels that are no codes of CATH.
    """
    if data is not None and labels is None:
        return {}
    found: dict[str, str] = {}
    for file in [labels] if labels else map(Location, (LABELS, FULL_ATOM)):
        for _, line in table_lines(file, ("id", "cath")):
            if isinstance(line, InputError):
                raise line
            codes = labels_in(line["cath"])
            if len(codes) == 1:
                found[str(line["id"])] = cath_at(codes[0], LEVEL)
    return found


def with_partner(chains: AtomStructures, fold_of: Mapping[str, str]) -> tuple[list[int], np.ndarray, list[str]]:
    """Rows of the chains with a fold that a chain of another cluster has, too; the number of it; and their clusters."""
    cluster_of = [cluster or id for cluster, id in zip(chains.clusters, chains.ids, strict=True)]
    rows = [m for m, id in enumerate(chains.ids) if id in fold_of and chains.lengths[m] <= LONGEST]
    pairs = sorted({(cluster_of[m], fold_of[chains.ids[m]]) for m in rows})
    names = frequent([[fold] for _, fold in pairs], 2)
    number = {name: place for place, name in enumerate(names)}
    rows = [m for m in rows if fold_of[chains.ids[m]] in number]
    return rows, np.array([number[fold_of[chains.ids[m]]] for m in rows], np.int64), [cluster_of[m] for m in rows]


def vectors(chains: AtomStructures, rows: Sequence[int], encoder: StructureEncoder) -> np.ndarray:
    """`statistics_of` some chains, shape (N, 2 C + 1)."""
    return np.stack([statistics_of(encoder.residue(chains.chain(m))) for m in rows])


def retrieval(
    chains: AtomStructures, fold_of: Mapping[str, str], encoders: Mapping[str, StructureEncoder]
) -> list[dict]:
    """How often the nearest chain of another cluster has the same topology, for chains that have a partner at all."""
    rows, label_N, clusters = with_partner(chains, fold_of)
    if not rows:
        return []
    same = {name: same_class(vectors(chains, rows, one), label_N, clusters) for name, one in encoders.items()}
    return retrieval_rows(same, clusters, UNTRAINED)
