"""Pre-training of a small language model on synthetic sequences."""

import copy
import math
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import leave
from torch.nn import functional as F

from protray.plm.pretraining.architecture import build_model
from protray.plm.pretraining.config import SIZES, MaskedLmConfig
from protray.plm.pretraining.corpus import Corpus, pack
from protray.plm.pretraining.masking import MaskedBatch, masked_batch
from protray.plm.pretraining.steps import Step, steps, validation_batches
from protray.plm.pretraining.tokens import MASK, PADDING
from protray.training.errors import NonFiniteLossError
from protray.training.language_model import masked_lm as module
from protray.training.language_model.masked_lm import MaskedLoss, fit, learning_rate, perplexity, validate
from protray.training.world import World

TWENTY = np.arange(20, dtype=np.uint8)  # A R N D C Q ..: what comes next is certain
CORPUS = Corpus([pack([f"p{m}" for m in range(27)], [TWENTY[: 20 - m % 5] for m in range(27)])])


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", (16, 2, 2))


def config(**settings: object) -> MaskedLmConfig:
    plain = {
        "steps": 6, "tokens_per_step": 120, "tokens_at_once": 50, "crop": 12, "warmup": 2, "report_every": 3,
        "checkpoint_every": 2, "bf16": False,
    }  # fmt: skip
    return MaskedLmConfig(**(plain | settings))  # type: ignore[arg-type]


def stream(c: MaskedLmConfig, rank: int = 0, world: int = 1) -> Callable[[int, int], Iterator[Step]]:
    return lambda epoch, index: steps(CORPUS, c, epoch, index, rank, world)


def validation() -> list[MaskedBatch]:
    return validation_batches(CORPUS, config(validation_sequences=10))


class Record:
    """What a run reports, but for its speed: the curve, and the states by step."""

    def __init__(self) -> None:
        self.curve: list[dict] = []
        self.states: dict[int, dict] = {}

    def __call__(self, metrics: dict, state: dict | None) -> None:
        if any("/" in name for name in metrics):  # else it tells the step alone
            self.curve.append({k: v for k, v in metrics.items() if k != "train/residues_per_second"})
        if state:
            self.states[int(metrics["step"])] = copy.deepcopy(state)


def test_learning_rate_by_hand() -> None:
    """Peak 1 after 2 of 6 steps: 1/2, 1, 1, then half a cosine: 0.5 half-way, 0.001 of the peak at the end."""
    c = config(learning_rate=1.0)
    assert [learning_rate(step, c) for step in (0, 1, 2, 4, 6)] == pytest.approx([0.5, 1, 1, 0.5005, 0.001])


def test_loss_is_the_sum_over_masked_positions() -> None:
    model = build_model(config()).eval()
    batch = masked_batch(CORPUS, range(20), seed=0, epoch=0, crop=20)
    tokens_BT, targets_BT = torch.from_numpy(batch.tokens_BT), torch.from_numpy(batch.targets_BT)
    logits = model(tokens_BT, attention_mask=(tokens_BT != PADDING).long()).logits
    nats, counts = MaskedLoss(model)(tokens_BT, targets_BT)
    expected = F.cross_entropy(logits.transpose(1, 2), targets_BT, ignore_index=-100, reduction="sum")
    torch.testing.assert_close(nats, expected)
    hidden = torch.where(tokens_BT == MASK, targets_BT, -100)
    expected = F.cross_entropy(logits.transpose(1, 2), hidden, ignore_index=-100, reduction="sum")
    torch.testing.assert_close(counts[0], expected.detach())
    assert counts[1] == (tokens_BT == MASK).sum()
    assert counts[2] == (logits.argmax(dim=-1) == targets_BT).sum()


def test_perplexity_of_a_flat_model_is_the_size_of_the_vocabulary() -> None:
    model = build_model(config())
    for weight in [model.esm.embeddings.word_embeddings.weight, model.lm_head.bias]:
        weight.data.zero_()  # the head is tied to the embedding: every logit is 0
    found = validate(model, validation(), bf16=False, world=World())
    assert found["validation/perplexity"] == pytest.approx(33, rel=1e-5)


def test_perplexity_of_nothing_and_of_too_much() -> None:
    assert math.isnan(perplexity(0.0, 0))
    assert perplexity(2 * math.log(7), 2) == pytest.approx(7)
    assert math.isfinite(perplexity(1e9, 1))


def test_it_learns_a_corpus_of_one_sentence() -> None:
    """Sequences in one fixed order; plain frequencies have perplexity 20, less than half of it is left."""
    record = Record()
    c = config(
        steps=150, warmup=20, crop=20, tokens_per_step=260, tokens_at_once=130, learning_rate=0.01, report_every=50
    )
    fit(c, stream(c), validation(), record)
    assert [point["step"] for point in record.curve] == [50, 100, 150]
    last = record.curve[-1]
    assert last["validation/perplexity"] < 10 and last["train/hidden_perplexity"] < 10
    assert last["validation/perplexity"] < record.curve[0]["validation/perplexity"]
    assert last["validation/top1"] > 0.1


def test_reports_and_states_come_when_they_should() -> None:
    record = Record()
    fit(config(), stream(config()), validation(), record)
    assert [point["step"] for point in record.curve] == [3, 6]
    assert sorted(record.states) == [2, 4, 6]
    assert record.states[6]["position"]["history"][0]["step"] == 3
    shown = [sum(batch.residues for batch in step.batches) for step in islice(stream(config())(0, 0), 6)]
    assert [point["train/residues"] for point in record.curve] == [sum(shown[:3]), sum(shown)]


def test_resume_is_exact() -> None:
    """From each state, whether a report is half-way or not: the same weights and, bit by bit, the same curve."""
    c, record = config(steps=9), Record()
    whole = fit(c, stream(c), validation(), record)
    assert record.states[8]["position"]["epoch"] > 0  # into the second epoch
    for step in (2, 4, 6, 8):
        after = Record()
        again = fit(c, stream(c), validation(), after, resume=record.states[step])
        assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
        assert after.curve == [point for point in record.curve if point["step"] > step]
        history = after.states[9]["position"]["history"]
        assert [{k: v for k, v in point.items() if "per_second" not in k} for point in history] == record.curve


def test_accumulation_does_not_change_a_step() -> None:
    """Micro-batches of 50 and of 120 tokens cut the same rows: the gradient is that of the whole."""
    models = []
    for at_once in (50, 120):
        rows = list(range(8))
        parts = [rows[:3], rows[3:5], rows[5:]] if at_once == 50 else [rows]
        batches = tuple(masked_batch(CORPUS, part, seed=0, epoch=0, crop=12) for part in parts)
        c = config(steps=3, tokens_at_once=at_once)
        models.append(fit(c, lambda e, i, b=batches: iter([Step(0, n, b) for n in range(3)]), validation(), Record()))
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_global_loss_is_per_masked_residue() -> None:
    """The reported perplexity is exp(nats / masked residues) over the steps since the last report."""
    c, record = config(steps=2, warmup=1, learning_rate=0.0, weight_decay=0.0), Record()
    model = fit(c, stream(c), validation(), record)
    batches = [batch for step in islice(stream(c)(0, 0), 2) for batch in step.batches]
    found = [MaskedLoss(model)(torch.from_numpy(b.tokens_BT), torch.from_numpy(b.targets_BT)) for b in batches]
    asked = sum(batch.asked for batch in batches)
    assert len(batches) > 2
    assert record.curve[0]["train/perplexity"] == pytest.approx(
        math.exp(sum(nats.item() for nats, _ in found) / asked), rel=1e-4
    )
    hidden_nats, hidden, _ = torch.stack([counts for _, counts in found]).sum(dim=0).tolist()
    assert record.curve[0]["train/hidden_perplexity"] == pytest.approx(math.exp(hidden_nats / hidden), rel=1e-4)


def spoil(monkeypatch, which: Callable[[int], bool]) -> None:
    """Make the loss of some forward passes infinite."""
    plain, passes = MaskedLoss.forward, iter(range(10**6))

    def forward(self, tokens_BT, targets_BT):  # noqa: ANN001, ANN202
        nats, counts = plain(self, tokens_BT, targets_BT)
        return (nats * math.inf if torch.is_grad_enabled() and which(next(passes)) else nats), counts

    monkeypatch.setattr(MaskedLoss, "forward", forward)


def test_a_step_that_is_not_finite_is_skipped_and_counted(monkeypatch) -> None:
    record = Record()
    c = config(tokens_at_once=120)
    clean = fit(c, stream(c), validation(), Record())
    spoil(monkeypatch, lambda forward: forward == 1)
    model = fit(c, stream(c), validation(), record)
    assert [point["train/nonfinite_steps"] for point in record.curve] == [1, 1]
    assert all(weight.isfinite().all() for weight in model.parameters())
    assert all(math.isfinite(point["train/perplexity"]) for point in record.curve)
    assert any(not torch.equal(a, b) for a, b in zip(model.parameters(), clean.parameters(), strict=True))


def test_a_loss_that_stays_infinite_is_an_error(monkeypatch) -> None:
    spoil(monkeypatch, lambda forward: True)
    monkeypatch.setattr(module, "MOST_NONFINITE", 4)
    with pytest.raises(NonFiniteLossError, match="step 4 of .*not finite in 4 steps in a row; lower the learning"):
        fit(config(), stream(config()), validation(), Record())


def run_rank(rank: int, size: int, folder: Path) -> None:
    """What each of several processes does."""
    SIZES["tiny"] = (16, 2, 2)
    torch.set_num_threads(1)
    if size > 1:
        store = f"file://{folder / 'meeting-point'}"
        torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    record, c = Record(), config(steps=9, tokens_per_step=180)
    model = fit(c, stream(c, rank, size), validation(), record, world=World(rank, size))
    if rank == 0:
        torch.save({"curve": record.curve, "weights": model.state_dict()}, folder / f"{size}.pt")
    if size > 1:
        leave()


def test_two_workers_give_the_curve_of_one(tmp_path) -> None:
    """Steps have four micro-batches, two for each worker, and the last of an epoch has one: then one is idle."""
    c = config(tokens_per_step=180)
    assert [len(step.batches) for step in islice(stream(c)(0, 0), 6)] == [4, 4, 1, 4, 4, 1]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_rank(0, 1, tmp_path)
    torch.multiprocessing.spawn(run_rank, args=(2, tmp_path), nprocs=2)
    one, two = (torch.load(tmp_path / f"{size}.pt", weights_only=True) for size in (1, 2))
    assert len(one["curve"]) == 3
    for alone, together in zip(one["curve"], two["curve"], strict=True):
        assert (alone.pop("train/world_size"), together.pop("train/world_size")) == (1, 2)
        assert together == pytest.approx(alone, rel=1e-4)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weight, rtol=1e-3, atol=1e-4)
