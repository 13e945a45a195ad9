"""Vectors of residues: the numbers of the model itself, windows for long proteins, and what is refused."""

import numpy as np
import pytest
from score_nets import ca_alone, random_chain, random_net
from tiny_model import LM_CHANNELS, save_tiny_lm

from protray.data.location import Location
from protray.inference.embeddings.residues import LanguageModel, ScoreNet, mean_of, open_structure_model
from protray.inference.embeddings.score_net import Embedder
from protray.plm.shipped import SHIPPED
from protray.seq.alphabet import decode, encode


def test_a_language_model_gives_its_last_hidden_layer() -> None:
    import torch

    embed = LanguageModel.open(SHIPPED)
    residue_LC = embed("MKVX")
    tokens = torch.tensor([[*embed.lm.before, *embed.lm.token_of_code[encode("MKVX")], *embed.lm.after]])
    with torch.inference_mode():
        states = embed.lm.model(input_ids=tokens, output_hidden_states=True).hidden_states[-1][0]
    assert residue_LC.shape == (4, embed.width) == (4, 192) and residue_LC.dtype == np.float32
    np.testing.assert_allclose(residue_LC, states[1:-1].numpy(), atol=1e-5)


def test_a_protein_longer_than_the_model_reads_is_read_in_windows(tmp_path) -> None:
    """The model reads 36 residues: of 60 the first 30 are those of the first window, the others of the last one."""
    embed = LanguageModel.open(str(save_tiny_lm(tmp_path / "lm", "absolute")))
    sequence = "MKVLITGAGSGIGLAIAKRFAEEGYDVVGTDISEEKLKEAAEELGKKGVKVHWFPNQCDY"
    residue_LC = embed(sequence)
    assert residue_LC.shape == (60, LM_CHANNELS)
    np.testing.assert_allclose(residue_LC[:18], embed(sequence[:36])[:18], atol=1e-5)
    np.testing.assert_allclose(residue_LC[-18:], embed(sequence[-36:])[-18:], atol=1e-5)


def test_a_score_net_gives_the_means_of_its_map() -> None:
    chain, net = random_chain(12), random_net()
    embed = ScoreNet(Embedder(net))
    residue_LC = embed(decode(chain.codes_L), ca_alone(chain.ca_L3), chain.index_L)
    whole_LLC = np.concatenate([strip.numpy() for strip in Embedder(net).rows(chain)])
    assert residue_LC.shape == (12, embed.width) and residue_LC.dtype == np.float32
    np.testing.assert_allclose(residue_LC, (whole_LLC.mean(axis=0) + whole_LLC.mean(axis=1)) / 2, atol=1e-4)
    np.testing.assert_allclose(mean_of(residue_LC), Embedder(net).protein(chain), atol=1e-4)


def test_without_places_a_chain_has_no_breaks() -> None:
    chain = random_chain(12)
    embed = ScoreNet(Embedder(random_net()))
    counted = embed(decode(chain.codes_L), ca_alone(chain.ca_L3), np.arange(12))
    assert (embed(decode(chain.codes_L), ca_alone(chain.ca_L3)) == counted).all()
    assert not np.allclose(embed(decode(chain.codes_L), ca_alone(chain.ca_L3), chain.index_L), counted)


def test_what_cannot_be_embedded_says_why() -> None:
    chain = random_chain(12)
    embed, sequence = ScoreNet(Embedder(random_net())), decode(chain.codes_L)
    with pytest.raises(ValueError, match="no coordinates"):
        embed(sequence)
    with pytest.raises(ValueError, match=r"12 residues, but coordinates of shape \(11, 4, 3\)"):
        embed(sequence, ca_alone(chain.ca_L3[:11]))
    with pytest.raises(ValueError, match="1 of 12 residues have no C-alpha atom, the first is residue 4"):
        embed(sequence, ca_alone(np.where(np.arange(12)[:, None] == 3, np.nan, chain.ca_L3)))
    lm = LanguageModel.open(SHIPPED)
    with pytest.raises(ValueError, match="'1' at position 3 is no residue"):
        lm("MK1")
    with pytest.raises(ValueError, match="is empty"):
        lm("")
    with pytest.raises(ValueError, match="nowhere is no folder; give the folder `model`"):
        open_structure_model(Location("nowhere"))
