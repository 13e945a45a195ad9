"""Neighbours within a radius, against a plain search."""

import pytest
import torch
from proteins_here import proteins

from protray.models.structure.neighbours import Neighbours
from protray.models.structure.radius_graph import Places, within


@pytest.mark.parametrize("most", [40, 4])
def test_they_are_all_within_the_radius_or_the_nearest_of_too_many(most) -> None:
    batch = proteins([40, 25])
    jitter_BL3 = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    place_BL3 = batch.ca_BL3 + 0.1 * jitter_BL3  # no two pairs are equally far
    near = within(Places(place_BL3, 10 * batch.index_BL, batch.chain_BL, batch.real_BL), 9.0, most)
    far_LL = torch.cdist(place_BL3[1, :25], place_BL3[1, :25])
    for i in range(25):
        expected = [j for j in far_LL[i].argsort().tolist() if far_LL[i, j] <= 9][:most]
        assert near.idx_BLK[1, i][near.ok_BLK[1, i]].tolist() == expected
    assert not near.ok_BLK[1, 25:].any()
    assert near.ok_BLK[:, :, -1].any()  # the fullest list is not shorter


def test_of_those_given_it_keeps_what_is_near() -> None:
    """Residue 0 is told of 2, 5 Å away, and of 1, 3 Å away; residue 1 of nobody."""
    place_BL3 = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [5, 0, 0]]])
    index_BL = torch.arange(3)[None]
    given = Neighbours(
        torch.tensor([[[2, 1], [0, 2], [2, 0]]]), torch.tensor([[[True, True], [False] * 2, [True] * 2]])
    )
    near = within(Places(place_BL3, index_BL, 0 * index_BL, index_BL >= 0), 4.0, 9, given)
    assert near.ok_BLK.tolist() == [[[False, True], [False, False], [True, False]]]
