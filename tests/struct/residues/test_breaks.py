"""Breaks and positions, by hand."""

import numpy as np
import pytest
from structure_text import helix

from protray.struct.residues.breaks import count_on, find_breaks, longest_bond


def test_a_helix_is_whole_and_one_without_residues_is_broken_there() -> None:
    backbone_L43 = helix(12)
    assert find_breaks(backbone_L43).tolist() == []
    assert find_breaks(np.delete(backbone_L43, [4, 8, 9], axis=0)).tolist() == [3, 6]
    assert find_breaks(backbone_L43[:1]).tolist() == []


def test_c_alpha_atoms_decide_where_c_or_n_is_missing() -> None:
    backbone_L43 = helix(12)
    backbone_L43[:, [0, 2, 3]] = np.nan
    assert find_breaks(backbone_L43).tolist() == []
    assert find_breaks(np.delete(backbone_L43, 5, axis=0)).tolist() == [4]


def test_a_long_peptide_bond_is_a_break_even_if_c_alpha_atoms_are_near() -> None:
    backbone_L43 = helix(3)
    backbone_L43[1, 2] += 1.5
    assert find_breaks(backbone_L43).tolist() == [1]


@pytest.mark.parametrize(
    ("numbers", "breaks", "expected"),
    [
        ([5, 6, 7], [], [0, 1, 2]),
        ([5, 6, 10, 11], [1], [0, 1, 5, 6]),
        ([5, 8, 9], [], [0, 1, 2]),  # bonded: the numbering skips, the chain does not
        ([27, 27, 28], [], [0, 1, 2]),  # 27 and 27A
        ([27, 27, 28], [0], [0, 1, 2]),
        ([230, 1002, 1003, 231], [0, 2], [0, 772, 773, 774]),  # a fused domain with numbers of its own
        ([-3], [], [0]),
    ],
)
def test_positions_count_on(numbers, breaks, expected) -> None:
    found = count_on(numbers, np.array(breaks, dtype=np.int32))
    assert found.tolist() == expected
    assert found.dtype == np.int32


def test_the_longest_bond_of_residues_that_are_complete() -> None:
    """1.458 and 1.525 Å in an ideal backbone; far more if N lies at 0, 0, 0."""
    backbone_L43 = helix(12) + np.float32(50)
    assert longest_bond(backbone_L43) == pytest.approx(1.525, abs=1e-4)
    backbone_L43[:6, 3] = np.nan
    backbone_L43[6:, 0] = 0
    assert longest_bond(backbone_L43) > 80
    backbone_L43[:, 3] = np.nan
    assert np.isnan(longest_bond(backbone_L43))
