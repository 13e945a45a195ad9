"""Train, validation and test splits that never part a cluster of related proteins."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from protray.seq.keyed import key
from protray.seq.search import digital

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.8, 0.1, 0.1)
SHARES = (0.15, 0.2)  # of few clusters, for validation and test

MAX_E = 1e-3
COVERAGE = 0.5  # share of the shorter chain that a hit has to align
# E-values are taken as in a search of this many sequences, not of the proteins at hand: whether two proteins are
# related must not depend on which others are in the dataset.
E_VALUE_SEQUENCES = 10_000


def cluster_by_identity(sequences: Mapping[str, str], identity: float = 0.25, cpus: int = 1) -> dict[str, str]:
    """Cluster proteins by single linkage of phmmer hits; returns protein id -> cluster.

    Two proteins are linked when a local alignment with E <= 1e-3 aligns at least half of the shorter one with at
    least `identity` equal residues among the aligned pairs, or when their sequences are equal.  A cluster is named
    after its alphabetically first member.  The result does not depend on the order of `sequences`.

    The search is all against all, so its time grows with the square of the number of proteins; beyond 10,000, cluster
    with MMseqs2 and pass its table to `read_clusters`.
    """
    if not 0 <= identity <= 1:
        raise ValueError(f"identity is a share and must lie in [0, 1], got {identity}")
    parents = {id: id for id in sequences}

    def root(id: str) -> str:
        while parents[id] != id:
            parents[id] = parents[parents[id]]
            id = parents[id]
        return id

    def link(a: str, b: str) -> None:
        first, second = sorted((root(a), root(b)))
        parents[second] = first

    distinct: dict[str, str] = {}
    for id in sorted(sequences):
        link(id, distinct.setdefault(sequences[id], id))
    representatives = {id: sequence for sequence, id in distinct.items()}
    for a, b in _related(representatives, representatives, identity, cpus):
        link(a, b)
    return {id: root(id) for id in sequences}


def relatives(
    sequences: Mapping[str, str], others: Mapping[str, str], identity: float = 0.3, cpus: int = 1
) -> dict[str, str]:
    """Find the proteins that are related to one of `others`; returns their id -> the id of such a one.

    Related means what `cluster_by_identity` links: at least `identity` over half of either sequence, or equal.
    """
    if not 0 <= identity <= 1:
        raise ValueError(f"identity is a share and must lie in [0, 1], got {identity}")
    distinct = {sequence: id for id, sequence in sorted(sequences.items(), reverse=True)}
    representatives = {id: sequence for sequence, id in distinct.items()}
    found = {id: other for other, id in sorted(_related(others, representatives, identity, cpus), reverse=True)}
    equal = {sequence: id for id, sequence in sorted(others.items(), reverse=True)}
    found |= {id: equal[sequence] for sequence, id in distinct.items() if sequence in equal}
    return {id: found[distinct[sequence]] for id, sequence in sequences.items() if distinct[sequence] in found}


def assign_splits(
    clusters: Mapping[str, str], fractions: tuple[float, float, float] = FRACTIONS, seed: int = 0,
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:  # fmt: skip
    """Give every protein the split of its cluster; returns protein id -> train, validation or test.

    `given` has the splits of clusters that are settled.  That of any other follows from a hash of (seed, cluster name)
    alone, so that proteins added later move none that is there.  The fractions are therefore met on average, in
    clusters, and not exactly.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions are those of {', '.join(SPLITS)} and must sum to 1, got {fractions}")
    bounds = (fractions[0], fractions[0] + fractions[1])

    def drawn(cluster: str) -> str:
        draw = key(seed, cluster) / 2**63
        return SPLITS[sum(draw >= bound for bound in bounds)]

    settled = given or {}
    return {id: settled.get(cluster) or drawn(cluster) for id, cluster in clusters.items()}


def share_clusters(clusters: Mapping[str, str], seed: int = 0, shares: tuple[float, float] = SHARES) -> dict[str, str]:
    """Give every protein the split of its cluster, and validation and test their shares of the clusters, at least one.

    For few clusters, of which shares of a hash (`assign_splits`) would leave splits empty; the price is that proteins
    which are added later may move others.

    Raises ValueError for fewer than three clusters.

    >>> share_clusters({"a": "1", "b": "2", "c": "2", "d": "3"})
    {'a': 'test', 'b': 'train', 'c': 'train', 'd': 'validation'}
    """
    order = sorted(set(clusters.values()), key=lambda cluster: key(seed, cluster))
    if len(order) < len(SPLITS):
        raise ValueError(
            f"{len(clusters)} proteins in {len(order)} clusters of related ones cannot be split into "
            f"{', '.join(SPLITS)} without parting relatives; give proteins of three clusters at least"
        )
    validation, test = (max(1, round(share * len(order))) for share in shares)
    of_cluster = {cluster: "validation" for cluster in order[:validation]}
    of_cluster |= {cluster: "test" for cluster in order[validation : validation + test]}
    return {protein: of_cluster.get(cluster, "train") for protein, cluster in clusters.items()}


def complete(given: Mapping[str, str | None], what: str) -> dict[str, str]:
    """What rows are given, by id, or nothing; ValueError if some have it and others have not.

    >>> complete({"a": "1", "b": "2"}, "cluster"), complete({"a": "", "b": None}, "cluster")
    ({'a': '1', 'b': '2'}, {})
    """
    found = {id: str(value) for id, value in given.items() if value not in (None, "")}
    if found and len(found) < len(given):
        first = next(id for id in given if id not in found)
        raise ValueError(
            f"{len(given) - len(found)} of {len(given)} rows have no {what}, the first is {first!r}; give all of them "
            "one, or none"
        )
    return found


def warn_of_related(clusters: Mapping[str, str], splits: Mapping[str, str]) -> None:
    """Say how many training proteins share a cluster with test proteins: a user's own splits may part relatives."""
    across = {clusters[id] for id, split in splits.items() if split == "test"}
    related = sum(split == "train" and clusters[id] in across for id, split in splits.items())
    if related:
        logger.warning("%d training rows are related to test rows (same cluster); the test is easier for that", related)


def check_disjoint(clusters: Mapping[str, str], splits: Mapping[str, str]) -> None:
    """Raise ValueError naming a cluster that has proteins in two splits."""
    seen: dict[str, str] = {}
    for id, split in splits.items():
        other = seen.setdefault(clusters[id], id)
        if splits[other] != split:
            raise ValueError(
                f"cluster {clusters[id]!r} is in two splits: {other!r} in {splits[other]} and {id!r} in {split}; "
                "related proteins must not part"
            )


def split_sizes(splits: Iterable[str], n_clusters: int) -> dict[str, int]:
    """How many rows each split has, with a warning for one that has none."""
    sizes = Counter(splits)
    for split in SPLITS:
        if not sizes[split]:
            told = "the %s split is empty: %d clusters are too few; give it some by --split-by, or try another --seed"
            logger.warning(told, split, n_clusters)
    return {split: sizes[split] for split in SPLITS}


def _related(
    queries: Mapping[str, str], targets: Mapping[str, str], identity: float, cpus: int
) -> list[tuple[str, str]]:
    """Pairs (query, target) of ids that phmmer links."""
    if not queries or not targets:
        return []
    import pyhmmer

    query_ids, target_ids = sorted(queries), sorted(targets)
    left, right = [queries[id] for id in query_ids], [targets[id] for id in target_ids]
    pairs = []
    searches = pyhmmer.hmmer.phmmer(digital(left), digital(right), cpus=cpus, E=MAX_E, Z=E_VALUE_SEQUENCES)
    for query, hits in enumerate(searches):
        for hit in hits:
            target = int(hit.name)
            shorter = min(len(left[query]), len(right[target]))
            if any(_close(domain, shorter, identity) for domain in hit.domains):
                pairs.append((query_ids[query], target_ids[target]))
    return pairs


def _close(domain: Any, shorter: int, identity: float) -> bool:
    """Whether one aligned domain of a hit is long and similar enough."""
    if domain.i_evalue > MAX_E:
        return False
    top, bottom = domain.alignment.hmm_sequence.upper(), domain.alignment.target_sequence.upper()
    pairs = [(a, b) for a, b in zip(top, bottom, strict=True) if a not in ".-" and b not in ".-"]
    return len(pairs) >= COVERAGE * shorter and sum(a == b for a, b in pairs) >= identity * len(pairs)
