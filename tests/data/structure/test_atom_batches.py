"""Padding, presence and masks of batches of proteins."""

import numpy as np
import pytest
import torch
from atoms_here import full, row, table

from protray.data.structure.atom_batches import collate
from protray.data.structure.atoms import gather
from protray.models.structure.structure_batch import MASKED
from protray.seq.alphabet import UNKNOWN

FOUND = gather([table(row("a", "WSA", **full("WSA"), chain_index=[0, 0, 1]), row("b", "GC"))])
CHAINS = [FOUND.chain(0), FOUND.chain(1)]


def test_padding_and_presence() -> None:
    batch = collate(CHAINS)
    assert batch.real_BL.tolist() == [[True] * 3, [True, True, False]]
    assert batch.type_BL.tolist() == [[17, 15, 0], [7, 4, UNKNOWN]]
    assert (batch.index_BL.tolist(), batch.chain_BL.tolist()) == ([[0, 2, 4], [0, 2, 0]], [[0, 0, 1], [0, 0, 0]])
    assert batch.present_BLA.sum(dim=2).tolist() == [[14, 6, 5], [4, 4, 0]]
    for b, chain in enumerate(CHAINS):
        np.testing.assert_array_equal(batch.atoms_BLA3[b, : len(chain)], chain.atoms_LA3)
        np.testing.assert_array_equal(batch.present_BLA[b, : len(chain)], chain.present_LA)
    assert (batch.atoms_BLA3[1, 2] == 0).all() and batch.lm_BLC is None
    kinds = [batch.type_BL, batch.index_BL, batch.chain_BL, batch.atoms_BLA3, batch.present_BLA, batch.real_BL]
    assert [kind.dtype for kind in kinds] == [torch.int64] * 3 + [torch.float32] + [torch.bool] * 2
    alone = collate(CHAINS[1:])
    assert torch.equal(alone.atoms_BLA3, batch.atoms_BLA3[1:, :2])


@pytest.mark.parametrize("hidden", [np.array([True, False, True]), np.array([0, 2])])
def test_a_masked_residue_keeps_its_backbone_alone(hidden) -> None:
    plain, batch = collate(CHAINS), collate(CHAINS, [hidden, None])
    assert batch.type_BL.tolist() == [[MASKED, 15, MASKED], [7, 4, UNKNOWN]]
    assert batch.present_BLA.sum(dim=2).tolist() == [[4, 6, 4], [4, 4, 0]]
    assert (batch.atoms_BLA3[0, [0, 2], 4:] == 0).all()
    assert torch.equal(batch.atoms_BLA3[:, :, :4], plain.atoms_BLA3[:, :, :4])
    assert torch.equal(batch.atoms_BLA3[0, 1], plain.atoms_BLA3[0, 1])
    assert CHAINS[0].present_LA.sum() == 25  # the protein itself is as it was


def test_what_a_masked_residue_was_leaves_no_trace() -> None:
    """Another type with another side chain: the same batch."""
    other = gather([table(row("a", "RSA", **full("RSA"), chain_index=[0, 0, 1]))]).chain(0)
    other.atoms_LA3[0, :4] = CHAINS[0].atoms_LA3[0, :4]
    other.atoms_LA3[1:] = CHAINS[0].atoms_LA3[1:]
    one, two = collate(CHAINS[:1], [np.array([0])]), collate([other], [np.array([0])])
    for name in ("type_BL", "atoms_BLA3", "present_BLA", "index_BL", "chain_BL", "real_BL"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
