import pytest
import torch

from protray.plm.pretraining.architecture import NEIGHBOURS, build_model
from protray.plm.pretraining.config import SIZES, MaskedLmConfig
from protray.plm.pretraining.tokens import MASK


@pytest.mark.parametrize(("size", "millions"), [("tiny", 1.8), ("8m", 7.5), ("35m", 33.5), ("650m", 651)])
def test_sizes(size, millions) -> None:
    """The last three are ESM-2's: its cards say 8 M, 35 M and 650 M; the meta device allocates nothing."""
    with torch.device("meta"):
        model = build_model(MaskedLmConfig(size=size))
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.03)


def test_same_seed_same_model(monkeypatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", (16, 2, 2))
    first, second, other = (build_model(MaskedLmConfig(seed=seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert first.config.mask_token_id == MASK


def test_first_layers_attend_to_neighbours(monkeypatch) -> None:
    """A fresh model of eight heads: head h looks at the residue NEIGHBOURS[h] further on."""
    monkeypatch.setitem(SIZES, "tiny", (128, 3, 8))
    model = build_model(MaskedLmConfig()).eval()
    tokens_BT = torch.randint(4, 24, (1, 40), generator=torch.Generator().manual_seed(0))
    first_HTT = model.esm(tokens_BT, output_attentions=True).attentions[0][0]
    offsets = range(-8, 9)
    mean_HW = torch.stack([first_HTT[:, range(8, 32), range(8 + d, 32 + d)].mean(dim=1) for d in offsets], dim=1)
    assert [offsets[best] for best in mean_HW.argmax(dim=1).tolist()] == list(NEIGHBOURS)
    assert mean_HW.amax(dim=1).min() > 0.5
