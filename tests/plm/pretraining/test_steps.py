from itertools import islice

import numpy as np
import pytest

from protray.plm.pretraining import steps as module
from protray.plm.pretraining.config import MaskedLmConfig
from protray.plm.pretraining.corpus import Corpus, pack
from protray.plm.pretraining.masking import MaskedBatch
from protray.plm.pretraining.steps import cut_by_tokens, plan_epoch, steps, validation_batches
from protray.plm.pretraining.tokens import MASK, PADDING
from protray.seq.alphabet import N_AA

LENGTHS = [40, 7, 90, 33, 12, 60, 25, 80, 31, 5, 64, 50, 50, 9, 28]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch) -> None:
    """Fifteen sequences: two chunks, of two windows each."""
    monkeypatch.setattr(module, "CHUNK", 8)
    monkeypatch.setattr(module, "WINDOW", 4)


@pytest.fixture
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, N_AA, length).astype(np.uint8) for length in LENGTHS]
    names = [str(m) for m in range(len(codes))]
    return Corpus([pack(names[:6], codes[:6]), pack(names[6:], codes[6:])])


def config(**settings: object) -> MaskedLmConfig:
    plain = {"tokens_per_step": 200, "tokens_at_once": 70, "crop": 32, "seed": 1, "steps": 9, "warmup": 1}
    return MaskedLmConfig(**(plain | settings))  # type: ignore[arg-type]


def test_an_epoch_is_every_sequence_once_within_the_budgets(corpus) -> None:
    c = config()
    orders = []
    for epoch in range(3):
        planned = list(plan_epoch(corpus, c, epoch))
        rows = [m for step in planned for batch in step for m in batch.tolist()]
        assert sorted(rows) == list(range(15))
        orders.append(rows)
        for step in planned:
            tokens = [len(batch) * (min(32, max(LENGTHS[m] for m in batch)) + 2) for batch in step]
            assert max(tokens) <= 70 and sum(tokens) <= 200
        chunks = [m // 8 for m in rows]
        assert chunks == sorted(chunks) or chunks == sorted(chunks, reverse=True)  # one chunk after the other
    assert orders[0] != orders[1] != orders[2]


def test_cuts_by_hand() -> None:
    """Budget 12, rows times the longest: 2 3 3 | 6 6 | 7 | 20; a row that is too long stays alone."""
    assert cut_by_tokens(np.array([2, 3, 3, 6, 6, 7, 20]), 12) == [3, 5, 6]
    assert cut_by_tokens(np.array([5]), 12) == []


def same(a: MaskedBatch, b: MaskedBatch) -> bool:
    return np.array_equal(a.tokens_BT, b.tokens_BT) and np.array_equal(a.targets_BT, b.targets_BT)


@pytest.mark.parametrize("world", [2, 4])
def test_union_over_ranks_is_the_same_for_any_world(corpus, world) -> None:
    alone = list(islice(steps(corpus, config()), 12))
    ranks = [list(islice(steps(corpus, config(), rank=rank, world=world), 12)) for rank in range(world)]
    assert alone[-1].epoch > 0
    for whole, *shares in zip(alone, *ranks, strict=True):
        assert {(share.epoch, share.index) for share in shares} == {(whole.epoch, whole.index)}
        for rank, share in enumerate(shares):
            expected = whole.batches[rank::world]
            assert len(share.batches) == len(expected)
            assert all(same(a, b) for a, b in zip(share.batches, expected, strict=True))


def test_start_continues_exactly(corpus) -> None:
    through = list(islice(steps(corpus, config()), 12))
    for k, step in enumerate(through):
        again = next(steps(corpus, config(), step.epoch, step.index))
        assert (again.epoch, again.index) == (step.epoch, step.index)
        assert all(same(a, b) for a, b in zip(again.batches, step.batches, strict=True))
        if k:
            after = next(steps(corpus, config(), through[k - 1].epoch, through[k - 1].index + 1))
            assert (after.epoch, after.index) == (step.epoch, step.index)


def test_validation_is_the_same_for_every_seed(corpus) -> None:
    batches = validation_batches(corpus, config())
    assert sum(len(batch.tokens_BT) for batch in batches) == 15
    other = validation_batches(corpus, config(seed=5))
    assert all(same(a, b) for a, b in zip(batches, other, strict=True))
    asked = [batch.tokens_BT[batch.targets_BT >= 0] for batch in batches]
    assert (np.concatenate(asked) == MASK).all()
    few = validation_batches(corpus, config(validation_sequences=4))
    lengths = sorted(int((row != PADDING).sum()) - 2 for batch in few for row in batch.tokens_BT)
    smallest = sorted(range(15), key=corpus.id)[:4]
    assert lengths == sorted(min(32, LENGTHS[m]) for m in smallest)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "huge"}, "size must be one of .*'tiny'.* got 'huge'"),
        ({"warmup": 9}, "between 0 and steps = 9, got 9"),
        ({"tokens_at_once": 33}, "between crop . 2 = 34 and tokens_per_step = 200, got 33"),
        ({"tokens_at_once": 201}, "between crop . 2 = 34 and tokens_per_step = 200, got 201"),
        ({"report_every": 0}, "report_every must be at least 1, got 0"),
    ],
)
def test_bad_settings(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        config(**settings)


def test_a_worker_without_work_is_refused() -> None:
    config().check_workers(2)
    with pytest.raises(ValueError, match="3 workers cannot share steps of 200 tokens .* tokens_at_once to 66 or less"):
        config().check_workers(3)
