"""Every parameter is in one group, whatever the fusion; the language model moves by its ratio, or not at all."""

from dataclasses import replace

import pytest
import torch
from structure_batches import protein, single
from torch import nn

from protray.models.joint.fusion import Fusion
from protray.models.joint.fusion_config import FusionConfig, FusionKind
from protray.models.structure.frame_attention import FrameAttention
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.training.groups import parameter_groups

LM, RATE = 6, 1e-3


class Whole(nn.Module):
    """All that is trained in one place: a language model of one layer, encoder, fusion and head."""

    def __init__(self, kind: FusionKind, paper: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lm = nn.Sequential(nn.Embedding(22, LM), nn.Linear(LM, LM))
        read = LM if kind == "serial" else 0
        self.encoder = FrameAttention(FrameAttentionConfig(channels=8, heads=2, pair=4, layers=2, lm_channels=read))
        self.fusion = Fusion(kind, FusionConfig(channels=8, heads=2, paper=paper), LM, 8)
        self.head = nn.Linear(self.fusion.width, 3)

    def loss(self) -> torch.Tensor:
        batch = single(protein(150, lm=LM))
        lm_BLS = self.lm(batch.type_BL)
        z_BLC = self.encoder(replace(batch, lm_BLC=lm_BLS))
        found = self.fusion(lm_BLS, z_BLC, batch.real_BL)
        return self.head(found.residue_BLC).sin().mean() + self.head(found.protein_BC).square().sum()

    def rest(self) -> list[nn.Module]:
        return [self.encoder, self.fusion, self.head]


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("kind", ["serial", "parallel", "cross"])
def test_the_groups_hold_each_parameter_once(kind, paper) -> None:
    model = Whole(kind, paper)
    groups = parameter_groups(model.lm, model.rest(), RATE, 0.1)
    held = [id(p) for group in groups for p in group["params"]]
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in model.parameters()}


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("kind", ["serial", "parallel", "cross"])
def test_one_step_of_adam_moves_everything_the_language_model_by_a_tenth(kind, paper) -> None:
    """Adam's first step is its rate, wherever there is a gradient; key biases of attention have none."""
    model = Whole(kind, paper)
    if model.encoder.lm is not None:
        nn.init.normal_(model.encoder.lm.weight)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.Adam(parameter_groups(model.lm, model.rest(), RATE, 0.1), eps=1e-12)
    model.loss().backward()
    optimiser.step()
    moved = {name: float((p - before[name]).abs().max().detach()) for name, p in model.named_parameters()}
    for name, far in moved.items():
        if name not in ("fusion.cross.key.bias", "fusion.cross.before.1.bias"):
            assert far == pytest.approx(RATE * (0.1 if name.startswith("lm.") else 1), rel=0.01), name


def test_a_ratio_of_zero_freezes_the_language_model() -> None:
    model = Whole("parallel", False)
    before = [p.detach().clone() for p in model.lm.parameters()]
    groups = parameter_groups(model.lm, model.rest(), RATE, 0.0)
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for m in model.rest() for p in m.parameters()}
    model.loss().backward()
    torch.optim.Adam(groups).step()
    assert not model.lm.training and all(p.grad is None for p in model.lm.parameters())
    assert all(torch.equal(p, old) for p, old in zip(model.lm.parameters(), before, strict=True))


def test_wrong_groups_are_refused() -> None:
    model = Whole("parallel", False)
    with pytest.raises(ValueError, match="at least 0"):
        parameter_groups(model.lm, model.rest(), RATE, -1)
    with pytest.raises(ValueError, match="two groups"):
        parameter_groups(model.lm, [model], RATE, 0.1)
