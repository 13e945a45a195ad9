"""Embeddings by a joint encoder: whatever is missing of a structure, and no side chains where training saw none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ssdm_here import atom_chain
from tiny_model import LM_CHANNELS, save_tiny_lm

from protray.data.location import Location
from protray.data.structure.atoms import AtomChain
from protray.inference.embeddings.residues import JointEncoder, mean_of, open_structure_model
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.seq.alphabet import decode
from protray.training.structure.ssdm import fresh
from protray.training.structure.ssdm_config import ObjectiveConfig
from protray.training.structure.ssdm_export import SsdmCard, save_ssdm

NET = FrameAttentionConfig(channels=8, heads=2, pair=4, layers=2, neighbours=6)


def encoder(side_chains: bool = True, lm: Path | None = None) -> StructureEncoder:
    config = SsdmConfig(net=NET, fusion="serial" if lm else "none", lm=str(lm) if lm else None)
    model = fresh(config, ObjectiveConfig(), 0).model
    return StructureEncoder(SsdmCard(config, side_chains, ("residue",), 0), model)


def without(chain: AtomChain, slots: slice) -> AtomChain:
    present_LA = chain.present_LA.copy()
    present_LA[:, slots] = False
    return replace(chain, present_LA=present_LA, atoms_LA3=chain.atoms_LA3 * present_LA[..., None])


def ca_only(chain: AtomChain) -> AtomChain:
    return without(without(chain, slice(0, 1)), slice(2, 14))


def collinear(chain: AtomChain) -> AtomChain:
    """N, CA and C of every residue on a line: no frame."""
    atoms_LA3 = chain.atoms_LA3.copy()
    atoms_LA3[:, 0], atoms_LA3[:, 2] = atoms_LA3[:, 1] - [1.5, 0, 0], atoms_LA3[:, 1] + [1.5, 0, 0]
    return replace(chain, atoms_LA3=atoms_LA3)


def at_one_point(chain: AtomChain) -> AtomChain:
    return replace(chain, atoms_LA3=np.zeros_like(chain.atoms_LA3))


@pytest.mark.parametrize("change", [lambda chain: chain, ca_only, collinear, at_one_point])
@pytest.mark.parametrize("length", [1, 2, 30])
def test_vectors_are_finite_whatever_is_missing(change, length) -> None:
    one, chain = encoder(), change(atom_chain(length, unknown=1))
    residue_LC, protein_C = one.residue(chain), one.protein(chain)
    assert residue_LC.shape == (length, 8) and residue_LC.dtype == np.float32
    assert np.isfinite(residue_LC).all()
    np.testing.assert_allclose(protein_C, mean_of(residue_LC), atol=1e-5)


def test_side_chains_are_not_looked_at_where_training_saw_none() -> None:
    chain = atom_chain(20)
    bare = without(chain, slice(4, 14))
    for seen in (True, False):
        same = np.array_equal(encoder(seen).residue(chain), encoder(seen).residue(bare))
        assert same == (not seen)


def test_a_chain_is_read_alone_and_whole_with_its_sequence(tmp_path) -> None:
    one, chain = encoder(lm=save_tiny_lm(tmp_path / "lm")), atom_chain(25)
    assert one.channels == LM_CHANNELS + 8
    other = replace(chain, codes_L=(chain.codes_L + 1) % 20)
    lm_LC, other_LC = (one.residue(of)[:, :LM_CHANNELS] for of in (chain, other))
    assert np.abs(lm_LC - other_LC).max() > 1e-2


def test_vectors_that_are_not_finite_are_refused() -> None:
    one = encoder()
    with torch.no_grad():
        one.net.encoder.norms[0].weight.fill_(float("inf"))
    with pytest.raises(ValueError, match="the embedding of chain 'one' is not finite"):
        one.protein(atom_chain(5))


def test_a_folder_is_opened_as_what_it_is(tmp_path) -> None:
    """From NaN for missing atoms and from places in the chain, as tasks give them."""
    made, chain = encoder(), atom_chain(15)
    net = fresh(made.card.config, ObjectiveConfig(), 0)
    save_ssdm(tmp_path / "model", made.card, net.learnt())
    opened = open_structure_model(Location(tmp_path) / "model")
    assert isinstance(opened, JointEncoder) and opened.width == 8
    atoms_LA3 = np.where(chain.present_LA[..., None], chain.atoms_LA3 + 50, np.nan)
    found_LC = opened(decode(chain.codes_L), atoms_LA3, chain.index_L)
    np.testing.assert_allclose(found_LC, made.residue(chain), atol=1e-4)
    bare_LC = opened(decode(chain.codes_L), atoms_LA3[:, :4], chain.index_L)
    np.testing.assert_allclose(bare_LC, made.residue(without(chain, slice(4, 14))), atol=1e-4)
    broken_L = np.arange(15) + 9 * (np.arange(15) > 7)
    assert np.abs(opened(decode(chain.codes_L), atoms_LA3, broken_L) - found_LC).max() > 1e-4
    with pytest.raises(ValueError, match="no coordinates"):
        opened("MK")


def test_side_chains_that_are_not_looked_at_are_told_once(caplog) -> None:
    made = encoder(side_chains=False)
    chain = atom_chain(15)
    with caplog.at_level("WARNING"):
        made.residue(without(chain, slice(4, 14)))
        assert not caplog.records
        for _ in range(2):
            made.residue(chain)
    assert [record.message for record in caplog.records] == [
        "side chains are not looked at: the encoder's training saw none"
    ]
