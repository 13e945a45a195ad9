"""A language model inside of another network: the vectors of each chain by itself, and no hidden type in them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from structure_batches import joined, protein, single
from tiny_model import LM_CHANNELS, save_tiny_lm

from protray.data.structure.atom_batches import collate
from protray.data.structure.atoms import AtomChain, Text
from protray.models.structure.structure_batch import MASKED, StructureBatch
from protray.plm import masked
from protray.plm.sequence_encoder import SequenceEncoder
from protray.plm.shipped import SHIPPED
from protray.struct.residues.atom14 import HAS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(save_tiny_lm(tmp_path_factory.mktemp("lm") / "lm"))


@pytest.fixture(scope="module")
def lm(folder) -> SequenceEncoder:
    return SequenceEncoder(folder, trained=True)


def batch(*lengths: int) -> StructureBatch:
    return single(joined([protein(length, seed=length) for length in lengths], max(lengths)))


def chain(length: int, seed: int) -> AtomChain:
    """Of any residues."""
    codes_L = np.random.default_rng(seed).integers(0, 20, length).astype(np.uint8)
    index_L, atoms_LA3 = np.arange(length, dtype=np.int32), np.zeros((length, 14, 3), np.float32)
    return AtomChain(f"c{seed}", codes_L, index_L, np.zeros(length, np.int8), atoms_LA3, HAS[codes_L])


def hidden(one: StructureBatch, places: list[int]) -> StructureBatch:
    type_BL = one.type_BL.clone()
    type_BL[:, places] = MASKED
    return replace(one, type_BL=type_BL)


@torch.no_grad()
def test_vectors_are_those_of_each_sequence_alone(lm, folder) -> None:
    one = batch(9, 5)
    found_BLC = lm(one)
    assert found_BLC.shape == (2, 9, LM_CHANNELS) and lm.channels == LM_CHANNELS
    assert not found_BLC[1, 5:].any()
    alone = masked.load(folder)
    for row, length in enumerate((9, 5)):
        expected_LC = masked.hidden_rows(alone, one.type_BL[row, :length].numpy())
        torch.testing.assert_close(found_BLC[row, :length], torch.from_numpy(expected_LC), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_masked_type_is_the_mask_token_and_leaks_nowhere(lm) -> None:
    """ESM-GearNet's model reads glycine there; ours, told so, would give another answer."""
    one, places = batch(12), [3, 7]
    other = replace(one, type_BL=one.type_BL.clone())
    other.type_BL[:, places] = (one.type_BL[:, places] + 5) % 20
    assert (lm(one) - lm(other)).abs().max() > 1e-2
    assert torch.equal(lm(hidden(one, places)), lm(hidden(other, places)))
    glycine = replace(one, type_BL=hidden(one, places).type_BL.where(hidden(one, places).type_BL != MASKED, 7))
    assert (lm(hidden(one, places)) - lm(glycine)).abs().max() > 1e-2
    mask = masked.load(lm.name).mask_token
    assert lm.token_of_type[MASKED] == mask and (lm.token_of_type == mask).sum() == 1


@torch.no_grad()
def test_chains_of_a_complex_do_not_see_each_other(lm) -> None:
    whole = batch(9)
    chain_BL = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]])
    found_LC = lm(replace(whole, chain_BL=chain_BL))[0]
    for place in (slice(0, 4), slice(4, 9)):
        names = ("type_BL", "atoms_BLA3", "present_BLA", "index_BL", "chain_BL", "real_BL")
        part = StructureBatch(**{name: getattr(whole, name)[:, place] for name in names})
        torch.testing.assert_close(found_LC[place], lm(part)[0], atol=1e-5, rtol=1e-5)
    assert (found_LC - lm(whole)[0]).abs().max() > 1e-2


def test_gradient_reaches_the_first_layer_only_where_it_is_trained(lm, folder) -> None:
    lm(batch(6)).square().sum().backward()
    first = lm.model.embeddings.word_embeddings.weight
    assert first.grad is not None and first.grad.abs().max() > 0
    frozen = SequenceEncoder(folder, trained=False)
    assert not frozen(batch(6)).requires_grad
    assert not any(weight.requires_grad for weight in frozen.parameters())
    assert not frozen.train().model.training and not lm.train().model.training


def test_a_chain_longer_than_the_model_reads_is_read_in_windows(tmp_path) -> None:
    """36 residues fit; two chains of 30 are read one by one, and one of 80 as embeddings of sequences read it."""
    lm = SequenceEncoder(str(save_tiny_lm(tmp_path / "lm", "absolute")), trained=False)
    two = replace(batch(60), chain_BL=(torch.arange(60) >= 30).long()[None])
    assert lm(two).isfinite().all()
    both, alone = batch(80, 20), masked.load(str(tmp_path / "lm"))
    for row, length in enumerate((80, 20)):
        expected_LC = masked.hidden_rows(alone, both.type_BL[row, :length].numpy())
        torch.testing.assert_close(lm(both)[row, :length], torch.from_numpy(expected_LC), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["tiny", SHIPPED])
def test_what_is_saved_is_a_model_folder(tmp_path, folder, name) -> None:
    """With the weights as they are now, which any `--lm` reads."""
    lm = SequenceEncoder(folder if name == "tiny" else name, trained=True)
    lm.model.embeddings.word_embeddings.weight.mul_(1.5)
    lm.save(tmp_path / "saved")
    again = SequenceEncoder(str(tmp_path / "saved"), trained=False)
    one = hidden(batch(8, 5), [2])
    assert torch.equal(again(one), lm(one))


@torch.no_grad()
def test_residues_of_a_longer_sequence_have_its_vectors(lm) -> None:
    """Of two chains of 6 and 5 residues the structure has four; the other protein is there as a whole."""
    whole, other = chain(11, seed=1), chain(3, seed=2)
    chain_W, place_L = np.repeat([0, 1], [6, 5]).astype(np.int8), np.array([1, 2, 5, 8])
    kept = replace(whole.cut(place_L), text=Text(whole.codes_L, chain_W, place_L))
    found_BLC = lm(collate([kept, other]))
    expected_LC = lm(collate([replace(whole, chain_L=chain_W)]))[0, place_L]
    torch.testing.assert_close(found_BLC[0], expected_LC, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found_BLC[1, :3], lm(collate([other]))[0], atol=1e-5, rtol=1e-5)
    assert not found_BLC[1, 3:].any()
    assert (lm(collate([replace(kept, text=None)]))[0] - expected_LC).abs().max() > 1e-2  # a sequence that nobody has
    with pytest.raises(ValueError, match="would be read there"):
        collate([kept], [np.array([0])])


def test_a_frozen_one_reads_a_chain_once(folder, monkeypatch) -> None:
    """Also in inference mode, after which it may be trained on; one that learns reads each time."""
    frozen, learning = SequenceEncoder(folder, trained=False), SequenceEncoder(folder, trained=True)
    asked: list[int] = []
    read = SequenceEncoder._pass
    monkeypatch.setattr(SequenceEncoder, "_pass", lambda self, lines: asked.append(len(lines)) or read(self, lines))
    both, one = collate([chain(9, 1), chain(5, 2)]), collate([chain(5, 2)])
    with torch.inference_mode():
        first_BLC = frozen(both)
    torch.testing.assert_close(frozen(one)[0], first_BLC[1, :5].clone(), atol=1e-6, rtol=1e-6)
    assert asked == [2]
    (frozen(one) * torch.ones(1, requires_grad=True)).sum().backward()
    learning(one), learning(one)
    assert asked == [2, 1, 1]
    for seed in range(40):
        frozen(collate([chain(4, seed + 10)]))
    frozen(both)
    assert len(frozen._seen) == 32 and asked[-1] == 2
