"""Neighbours of residues: against a plain search, and what is never one."""

from dataclasses import replace

import pytest
import torch
from structure_batches import joined, protein

import protray.models.structure.neighbours as module
from protray.models.structure.neighbours import Neighbours, find_neighbours
from protray.models.structure.structure_batch import StructureBatch


def neighbours_of(batch: StructureBatch, k: int, **options: object) -> Neighbours:
    return find_neighbours(batch.ca_BL3, batch.index_BL, batch.chain_BL, batch.real_BL, k, **options)


def plain(batch: StructureBatch, k: int) -> list[list[int]]:
    """By the rule, one residue of the first protein at a time: itself, then two hops each way, then by distance."""
    ca_L3, index_L, chain_L = batch.ca_BL3[0], batch.index_BL[0].tolist(), batch.chain_BL[0].tolist()
    found = []
    for i in range(len(index_L)):

        def order(j: int, i: int = i) -> tuple[float, float]:
            apart = abs(index_L[j] - index_L[i])
            near = chain_L[i] == chain_L[j] and apart <= 2
            return (0, apart) if near else (1, float((ca_L3[j] - ca_L3[i]).norm()))

        found.append(sorted(range(len(index_L)), key=order)[:k])
    return found


@pytest.mark.parametrize("work", [1, 500, 2**17])
def test_by_the_rule(monkeypatch, work) -> None:
    """However many rows are searched at a time; one chain with a break, and a second chain."""
    monkeypatch.setitem(module.WORK, "cpu", work)
    one = protein(60)
    index_BL = torch.cat([torch.arange(20), torch.arange(25, 45), torch.arange(20)])[None]
    one = replace(one, index_BL=index_BL, chain_BL=torch.tensor([[0] * 40 + [1] * 20]))
    found, expected = neighbours_of(one, 12), plain(one, 12)
    assert found.ok_BLK.all()
    assert [row[0] for row in found.idx_BLK[0].tolist()] == list(range(60))
    # one hop to either side is a tie
    assert [sorted(row) for row in found.idx_BLK[0].tolist()] == [sorted(row) for row in expected]
    assert found.idx_BLK[0, :, 5:].tolist() != []


def test_nearest_first() -> None:
    one = protein(40)
    idx_LK = neighbours_of(one, 20).idx_BLK[0]
    d_L = (one.ca_BL3[0][idx_LK[20, 5:]] - one.ca_BL3[0, 20]).norm(dim=1)
    assert idx_LK[20, 0] == 20 and set(idx_LK[20, 1:5].tolist()) == {18, 19, 21, 22}
    assert (d_L.diff() > 0).all()


def test_short_proteins_have_fewer() -> None:
    batch = joined([protein(3), protein(9)], 12)
    found = neighbours_of(batch, 5)
    assert found.ok_BLK.sum(dim=2).tolist() == [[3] * 3 + [0] * 9, [5] * 9 + [0] * 3]
    real_BLK = batch.real_BL[torch.arange(2)[:, None, None], found.idx_BLK]
    assert real_BLK[found.ok_BLK].all()
    assert neighbours_of(batch, 50).idx_BLK.shape == (2, 12, 12)


def test_a_removed_pair_is_in_neither_list_and_the_next_takes_its_place() -> None:
    batch = joined([protein(30, seed) for seed in (0, 1)], 30)
    before = neighbours_of(batch, 8).idx_BLK
    removed_M3 = torch.tensor([[1, 4, int(before[1, 4, 6])], [0, 10, 11], [0, 12, 3]])
    found = neighbours_of(batch, 8, removed_M3=removed_M3)
    for row, i, j in removed_M3.tolist():
        assert j not in found.idx_BLK[row, i] and i not in found.idx_BLK[row, j]
    assert found.ok_BLK.all()
    kept = [place for place in before[1, 4].tolist() if place != removed_M3[0, 2]]
    assert found.idx_BLK[1, 4, :7].tolist() == kept
    everything = neighbours_of(batch, 8, removed_M3=removed_M3, dense=True)
    assert (~everything.ok_BLK).sum() == 6 and not everything.ok_BLK[0, 11, 10] and not everything.ok_BLK[0, 10, 11]


def test_with_pairs_removed_a_small_protein_has_fewer() -> None:
    found = neighbours_of(protein(3), 3, removed_M3=torch.tensor([[0, 0, 1]]))
    assert found.ok_BLK.sum(dim=2).tolist() == [[2, 2, 3]]


def test_residues_at_one_spot() -> None:
    one = protein(6)
    atoms_BLA3 = torch.zeros_like(one.atoms_BLA3)
    found = neighbours_of(replace(one, atoms_BLA3=atoms_BLA3), 6)
    assert found.ok_BLK.all() and found.idx_BLK[0].sort(dim=1).values.tolist() == [list(range(6))] * 6
