"""Pre-training of a small language model on synthetic sequences."""

import copy
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from protray.plm.corpus import Corpus
from protray.plm.masking import MaskedBatch, batches
from protray.plm.tokens import MASK, PADDING
from protray.training.masked_lm import (
    SIZES,
    MaskedLmConfig,
    MaskedLoss,
    build_model,
    fit,
    hidden_perplexity,
    hide,
    learning_rate,
)
from protray.training.world import World

CORPUS = Corpus(np.tile(np.arange(20, dtype=np.uint8), 24), np.arange(0, 481, 20))  # 24 x A R N D C Q ..


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    monkeypatch.setitem(SIZES, "mini", (16, 2, 2))


def config(**settings: object) -> MaskedLmConfig:
    plain = {"steps": 6, "per_step": 4, "crop": 12, "warmup": 2, "report_every": 2, "bf16": False}
    return MaskedLmConfig(**(plain | settings))  # type: ignore[arg-type]


def stream(c: MaskedLmConfig) -> Callable[[int], Iterator[MaskedBatch]]:
    return lambda start: batches(CORPUS, seed=c.seed, per_step=c.per_step, crop=c.crop, start=start)


def validation() -> list[MaskedBatch]:
    return [next(batches(CORPUS, seed=9, per_step=8, crop=20))]


def test_learning_rate_by_hand() -> None:
    """Peak 1 after 2 of 6 steps: 1/2, 1, 1, then half a cosine: 0.5 half-way, 0.001 of the peak at the end."""
    c = config(learning_rate=1.0)
    assert [learning_rate(step, c) for step in (0, 1, 2, 4, 6)] == pytest.approx([0.5, 1, 1, 0.5005, 0.001])


def test_loss_is_the_sum_over_masked_positions() -> None:
    model = build_model(config()).eval()
    batch = next(batches(CORPUS, seed=0, per_step=3, crop=20))
    tokens_BT, targets_BT = torch.from_numpy(batch.tokens_BT), torch.from_numpy(batch.targets_BT)
    logits = model(tokens_BT, attention_mask=(tokens_BT != PADDING).long()).logits
    expected = F.cross_entropy(logits.transpose(1, 2), targets_BT, ignore_index=-100, reduction="sum")
    torch.testing.assert_close(MaskedLoss(model)(tokens_BT, targets_BT), expected)


def test_perplexity_of_a_flat_model_is_the_size_of_the_vocabulary() -> None:
    model = build_model(config())
    for weight in [model.esm.embeddings.word_embeddings.weight, model.lm_head.bias]:
        weight.data.zero_()  # the head is tied to the embedding: every logit is 0
    assert hidden_perplexity(model, validation(), bf16=False, world=World()) == pytest.approx(33, rel=1e-5)


def test_validation_hides_every_residue_it_asks_for() -> None:
    """Training leaves some of them readable; copying those would flatter the model."""
    [batch] = validation()
    asked_BT = batch.targets_BT >= 0
    assert (batch.tokens_BT[asked_BT] != MASK).any()
    assert (hide(batch).tokens_BT[asked_BT] == MASK).all()
    np.testing.assert_array_equal(hide(batch).tokens_BT[~asked_BT], batch.tokens_BT[~asked_BT])


def test_it_learns_a_corpus_of_one_sentence() -> None:
    """Sequences of 20 residues in one fixed order; plain frequencies have perplexity 20, half of it is left."""
    reports: list[dict] = []
    c = config(steps=150, warmup=20, crop=20, per_step=12, learning_rate=0.01, report_every=50)
    fit(c, stream(c), validation(), lambda metrics, state: reports.append(metrics))
    assert [metrics["step"] for metrics in reports] == [50, 100, 150]
    assert reports[-1]["validation/perplexity"] < 10
    assert reports[-1]["validation/perplexity"] < reports[0]["validation/perplexity"]


def test_resume_is_exact() -> None:
    c, states = config(), {}
    whole = fit(c, stream(c), validation(), lambda m, state: states.update({m["step"]: copy.deepcopy(state)}))
    assert sorted(states) == [2, 4, 6]
    for step in (2, 4):
        again = fit(c, stream(c), validation(), lambda *_: None, resume=states[step])
        assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_global_loss_is_per_masked_residue() -> None:
    """The reported perplexity is exp(nats / masked residues) over the steps since the last report."""
    c, reports = config(steps=2, warmup=1, learning_rate=0.0, weight_decay=0.0), []
    model = fit(c, stream(c), validation(), lambda metrics, state: reports.append(metrics))
    pairs = [batch for _, batch in zip(range(2), stream(c)(0), strict=False)]
    nats = sum(MaskedLoss(model)(torch.from_numpy(b.tokens_BT), torch.from_numpy(b.targets_BT)).item() for b in pairs)
    asked = sum(int((b.targets_BT >= 0).sum()) for b in pairs)
    assert reports[0]["train/perplexity"] == pytest.approx(math.exp(nats / asked), rel=1e-4)


def test_same_seed_same_model() -> None:
    first, second, other = (build_model(config(seed=seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert first.config.mask_token_id == MASK


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "huge"}, "size must be one of .*'mini'.* got 'huge'"),
        ({"warmup": 6}, "between 0 and steps = 6, got 6"),
    ],
)
def test_bad_settings(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        config(**settings)


def test_first_layers_attend_to_neighbours(monkeypatch) -> None:
    """A fresh model of eight heads: head h looks at the residue NEIGHBOURS[h] further on."""
    monkeypatch.setitem(SIZES, "mini", (128, 3, 8))
    model = build_model(config()).eval()
    model.set_attn_implementation("eager")
    tokens_BT = torch.randint(4, 24, (1, 40), generator=torch.Generator().manual_seed(0))
    first_HTT = model.esm(tokens_BT, output_attentions=True).attentions[0][0]
    offsets = range(-8, 9)
    mean_HW = torch.stack([first_HTT[:, range(8, 32), range(8 + d, 32 + d)].mean(dim=1) for d in offsets], dim=1)
    assert [offsets[best] for best in mean_HW.argmax(dim=1).tolist()] == [-4, -3, -2, -1, 1, 2, 3, 4]
    assert mean_HW.amax(dim=1).min() > 0.5
