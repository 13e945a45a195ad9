"""The joint encoder: what is joined how, and that hidden residues and padding are of no matter in any fusion."""

from dataclasses import replace

import pytest
import torch
from structure_batches import joined, protein, single
from tiny_model import LM_CHANNELS, save_tiny_lm
from torch import nn

from protray.models.joint.fusion_config import FusionConfig
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.plm.sequence_encoder import SequenceEncoder

NET = FrameAttentionConfig(channels=8, heads=2, pair=4, layers=1, neighbours=6)
FUSE = FusionConfig(channels=8, heads=2)
KINDS = ("none", "serial", "parallel", "cross")
WIDTH = {"none": 8, "serial": 8 + LM_CHANNELS, "parallel": 8 + LM_CHANNELS, "cross": 16}


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> SequenceEncoder:
    return SequenceEncoder(str(save_tiny_lm(tmp_path_factory.mktemp("lm") / "lm")), trained=True)


def net(kind: str, lm: SequenceEncoder) -> Ssdm:
    torch.manual_seed(0)
    config = SsdmConfig(net=NET, fusion=kind, fuse=FUSE, lm=None if kind == "none" else lm.name)  # type: ignore[arg-type]
    made = Ssdm(config, None if kind == "none" else lm, LM_CHANNELS)
    if made.encoder.lm is not None:
        nn.init.normal_(made.encoder.lm.weight, std=0.1)  # it starts at zero
    return made.eval()


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_other_proteins_change_nothing(lm, kind) -> None:
    model, parts = net(kind, lm), [protein(9, seed=1), protein(12, seed=2)]
    both = model.encode(single(joined(parts, 17)))
    assert both.residue_BLC.shape == (2, 17, WIDTH[kind]) and model.channels == WIDTH[kind]
    for row, one in enumerate(parts):
        alone, length = model.encode(single(one)), one.type_BL.shape[1]
        torch.testing.assert_close(both.residue_BLC[row, :length], alone.residue_BLC[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(both.protein_BC[row], alone.protein_BC[0], atol=1e-4, rtol=1e-4)
        assert not both.residue_BLC[row, length:].any()


@torch.no_grad()
def test_vectors_that_are_given_are_not_made_again(lm) -> None:
    model, one = net("serial", lm), single(protein(7, lm=LM_CHANNELS))
    with_given = model(one)
    assert not torch.allclose(with_given, model(replace(one, lm_BLC=None)))
    model.lm = None
    assert torch.equal(model(one), with_given)
    with pytest.raises(AssertionError, match="a fusion reads a language model"):
        model(replace(one, lm_BLC=None))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_gradient_reaches_the_first_layer_of_the_language_model(lm, kind) -> None:
    """Serial: also through the structure's half alone, once the weights that read the language model have left 0."""
    model, one = net(kind, lm).train(), single(protein(8))
    first = lm.model.embeddings.word_embeddings.weight
    for part in (slice(None), slice(LM_CHANNELS, None)) if kind == "serial" else (slice(None),):
        first.grad = None
        model(one)[..., part].pow(3).sum().backward()
        assert first.grad is not None and first.grad.abs().max() > 0


def test_settings_that_do_not_go_together_are_refused() -> None:
    for settings in ({"fusion": "serial"}, {"lm": "shipped"}):
        with pytest.raises(ValueError, match="--fusion and --lm go together"):
            SsdmConfig(**settings)
    with pytest.raises(ValueError, match=r"lm_lr_ratio must lie in \[0, 1\], got 2"):
        SsdmConfig(lm_lr_ratio=2)


def test_vectors_in_place_of_types_follow_from_the_settings_alone(lm) -> None:
    """The width is filled in; without serial fusion there is nothing to take the place of types."""
    instead = replace(NET, lm_input="replace")
    made = Ssdm(SsdmConfig(net=instead, fusion="serial", fuse=FUSE, lm=lm.name), lm, LM_CHANNELS).eval()
    assert made.encoder.types is None and made(single(protein(9, seed=1))).isfinite().all()
    with pytest.raises(ValueError, match="--net.lm-input replace needs --fusion serial, got none"):
        SsdmConfig(net=instead)
