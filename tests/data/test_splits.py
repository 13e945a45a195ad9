import random

import pytest

from protray.data.splits import (
    SPLITS,
    assign_splits,
    check_disjoint,
    cluster_by_identity,
    relatives,
)
from protray.seq.alphabet import AMINO_ACIDS


def random_sequence(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(AMINO_ACIDS, k=length))


def mutate(sequence: str, share: float, seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(AMINO_ACIDS) if draw.random() < share else letter for letter in sequence)


def test_relatives_cluster_and_strangers_do_not() -> None:
    parent, stranger = random_sequence(120, 1), random_sequence(120, 2)
    sequences = {
        "c_parent": parent,
        "b_child": mutate(parent, 0.4, 3),
        "a_half": parent[40:110],
        "d_stranger": stranger,
        "e_quarter": parent[:12] + stranger[:100],  # 12 of its 112 residues are the parent's, 100 the stranger's
        "f_tiny": "M",
        "g_tiny": "M",
        "h_other": "W",
    }
    clusters = cluster_by_identity(sequences)
    assert clusters == {
        "a_half": "a_half",
        "b_child": "a_half",
        "c_parent": "a_half",
        "d_stranger": "d_stranger",
        "e_quarter": "d_stranger",
        "f_tiny": "f_tiny",
        "g_tiny": "f_tiny",
        "h_other": "h_other",
    }
    assert cluster_by_identity(dict(reversed(sequences.items()))) == clusters


def test_identity_threshold_parts_distant_relatives() -> None:
    parent = random_sequence(150, 5)
    sequences = {"a": parent, "b": mutate(parent, 0.4, 6)}  # 58 to 68 % equal
    assert len(set(cluster_by_identity(sequences, 0.5).values())) == 1
    assert len(set(cluster_by_identity(sequences, 0.9).values())) == 2


def test_relatives_of_a_test_set() -> None:
    """Over half of either: half of the parent is a relative, and so is the parent inside a chain twice as long."""
    parent, stranger = random_sequence(120, 1), random_sequence(120, 2)
    sequences = {
        "child": mutate(parent, 0.4, 3),
        "copy": parent,
        "half": parent[40:110],
        "inside": parent + random_sequence(130, 9),
        "stranger": stranger,
        "tenth": parent[:12] + stranger[:100],
        "tiny": "MW",
        "tiny2": "MW",
    }
    found = relatives(sequences, {"parent": parent, "other": "MW", "far": random_sequence(90, 4)})
    assert found == dict.fromkeys(("child", "copy", "half", "inside"), "parent") | {"tiny": "other", "tiny2": "other"}
    assert relatives(sequences, {}) == relatives({}, sequences) == {}
    assert relatives({"child": sequences["child"]}, {"parent": parent}, identity=0.9) == {}


def test_whole_clusters_and_stable_when_proteins_are_added() -> None:
    clusters = {f"p{i}": f"c{i // 3}" for i in range(900)}
    splits = assign_splits(clusters)
    check_disjoint(clusters, splits)
    more = assign_splits(clusters | {f"new{i}": f"d{i}" for i in range(50)})
    assert {id: more[id] for id in splits} == splits
    assert assign_splits(clusters, seed=1) != splits


def test_fractions_hold_on_average() -> None:
    splits = list(assign_splits({f"p{i}": f"c{i}" for i in range(20_000)}, (0.7, 0.2, 0.1)).values())
    shares = [splits.count(split) / len(splits) for split in SPLITS]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.015)  # four standard errors
    assert set(assign_splits({"a": "x"}, (0.0, 0.0, 1.0)).values()) == {"test"}


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.1, -0.1, 0.0)])
def test_bad_fractions(fractions) -> None:
    with pytest.raises(ValueError, match="must sum to 1"):
        assign_splits({"a": "x"}, fractions)


def test_check_disjoint_names_the_cluster() -> None:
    with pytest.raises(ValueError, match="cluster 'x' is in two splits: 'a' in train and 'b' in test"):
        check_disjoint({"a": "x", "b": "x"}, {"a": "train", "b": "test"})
