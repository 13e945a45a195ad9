"""Depth bins."""

import numpy as np
import pytest

from protray.evaluation.bins import DISJOINT_BINS, TABLE_BINS, Bin


def test_the_thresholds_of_the_paper() -> None:
    assert [(bin.by, bin.max) for bin in TABLE_BINS] == [
        ("count", 60), ("count", 30), ("count", 10), ("count", 0), ("count", None),
        ("meff", 35), ("meff", 25), ("meff", 15), ("meff", 5), ("meff", None),
    ]  # fmt: skip


def test_thresholds_include_their_end() -> None:
    depth_B = np.array([0, 10, 11, 60, 61])
    assert Bin("count", 60).select(depth_B).tolist() == [True, True, True, True, False]
    assert Bin("count", 0).select(depth_B).tolist() == [True, False, False, False, False]
    assert Bin("count", 60, 10).select(depth_B).tolist() == [False, False, True, True, False]
    assert Bin("count", None, 60).select(depth_B).tolist() == [False, False, False, False, True]
    assert Bin("count").select(depth_B).all()


@pytest.mark.parametrize("by", ["count", "meff"])
def test_each_protein_is_in_exactly_one_disjoint_bin(by) -> None:
    depth_B = np.array([0, 1, 5, 5.01, 10, 15, 25, 30, 31, 35, 36, 60, 61, 512])
    hits = np.stack([bin.select(depth_B) for bin in DISJOINT_BINS if bin.by == by])
    assert hits.sum(axis=0).tolist() == [1] * len(depth_B)


def test_labels() -> None:
    assert [bin.label for bin in DISJOINT_BINS if bin.by == "count"] == ["= 0", "1–10", "11–30", "31–60", "> 60"]
    assert [bin.label for bin in DISJOINT_BINS if bin.by == "meff"] == ["≤ 5", "5–15", "15–25", "25–35", "> 35"]
    assert [bin.label for bin in TABLE_BINS if bin.by == "count"] == ["≤ 60", "≤ 30", "≤ 10", "= 0", "all"]
    assert Bin("count", 1, 0).label == "= 1"


def test_impossible_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="10 < count <= 10 is empty"):
        Bin("count", 10, 10)
    with pytest.raises(ValueError, match="got 'depth'"):
        Bin("depth", 10)
