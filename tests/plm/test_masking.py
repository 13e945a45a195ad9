import numpy as np
import pytest

from protray.plm.corpus import Corpus
from protray.plm.masking import MaskedBatch, batches, mask_tokens, uniform
from protray.plm.tokens import CLS, EOS, MASK, PADDING, TOKEN_OF_CODE
from protray.seq.alphabet import N_AA, UNKNOWN


def corpus(lengths: list[int]) -> Corpus:
    """Synthetic sequences of random residues."""
    rng = np.random.default_rng(0)
    return Corpus(rng.integers(0, N_AA, sum(lengths)).astype(np.uint8), np.cumsum([0, *lengths]))


def sequences(batch: MaskedBatch) -> list[tuple]:
    """Each row without its padding, which depends on who shares the batch: (what is seen, what is asked)."""
    rows = []
    for tokens_T, targets_T in zip(batch.tokens_BT, batch.targets_BT, strict=True):
        real = tokens_T != PADDING
        assert (targets_T[~real] == -100).all()
        rows.append((tuple(tokens_T[real]), tuple(targets_T[real])))
    return rows


def test_shares_are_15_and_80_10_10() -> None:
    """Of 200,000 residues 15 % are chosen; of those 80 % become <mask>, 9.5 % another residue (10 % x 19/20),
    10.5 % stay.  Standard errors: 0.0008 and 0.0023."""
    codes_L = np.random.default_rng(0).integers(0, N_AA, 200_000).astype(np.uint8)
    tokens_L, targets_L = mask_tokens(codes_L, seed=7)
    chosen_L = targets_L >= 0
    assert chosen_L.mean() == pytest.approx(0.15, abs=0.004)
    np.testing.assert_array_equal(targets_L[chosen_L], TOKEN_OF_CODE[codes_L[chosen_L]])
    np.testing.assert_array_equal(tokens_L[~chosen_L], TOKEN_OF_CODE[codes_L[~chosen_L]])
    hidden_L = tokens_L[chosen_L] == MASK
    kept_L = tokens_L[chosen_L] == targets_L[chosen_L]
    assert hidden_L.mean() == pytest.approx(0.8, abs=0.01)
    assert kept_L.mean() == pytest.approx(0.105, abs=0.01)
    swapped = tokens_L[chosen_L][~hidden_L & ~kept_L]
    assert set(swapped) == set(TOKEN_OF_CODE[:N_AA])


def test_unknown_residues_are_never_asked() -> None:
    assert (mask_tokens(np.full(1000, UNKNOWN, np.uint8), seed=1)[1] == -100).all()


def test_uniform_numbers() -> None:
    draws = uniform(3, np.arange(100_000))
    assert 0 <= draws.min() and draws.max() < 1
    assert np.histogram(draws, 10, (0, 1))[0] == pytest.approx(np.full(10, 10_000), abs=400)  # four standard errors
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.015
    np.testing.assert_array_equal(uniform(3, np.array([5, 6])), draws[5:7])
    assert (uniform(4, np.arange(100)) != draws[:100]).all()


@pytest.mark.parametrize("world", [2, 4])
def test_union_over_ranks_is_the_same_for_any_world(world) -> None:
    many = corpus([40, 7, 90, 33, 12, 60, 25, 80, 31, 5, 64])
    alone = batches(many, seed=1, per_step=5, crop=32)
    ranks = [batches(many, seed=1, per_step=5, crop=32, rank=rank, world=world) for rank in range(world)]
    for _ in range(5):  # two batches an epoch: into the third epoch
        whole = sequences(next(alone))
        shares = [sequences(next(rank)) for rank in ranks]
        assert len(whole) == 5
        for rank, share in enumerate(shares):
            assert share == whole[rank::world]


def test_start_continues_exactly() -> None:
    many = corpus([40, 7, 90, 33, 12, 60])
    stream = batches(many, seed=1, per_step=2, crop=16)
    steps = [next(stream) for _ in range(9)]
    for k in (0, 2, 3, 8):
        again = next(batches(many, seed=1, per_step=2, crop=16, start=k))
        assert again.step == steps[k].step == k
        np.testing.assert_array_equal(again.tokens_BT, steps[k].tokens_BT)
        np.testing.assert_array_equal(again.targets_BT, steps[k].targets_BT)


def test_rows_are_crops_between_cls_and_eos() -> None:
    many = corpus([100, 20, 300])
    for _, batch in zip(range(5), batches(many, seed=0, per_step=3, crop=50), strict=False):
        lengths = sorted(len(tokens) for tokens, _ in sequences(batch))
        assert lengths == [22, 52, 52]
        assert (batch.tokens_BT[:, 0] == CLS).all()
        assert ((batch.tokens_BT == EOS).sum(axis=1) == 1).all()
        assert all(tokens[-1] == EOS for tokens, _ in sequences(batch))


def test_crops_reach_both_ends_and_are_the_sequence() -> None:
    """A sequence of 60 residues 0, 1, 2 .. mod 20, crops of 50: they start at 0 to 10."""
    one = Corpus((np.arange(60) % 20).astype(np.uint8), np.array([0, 60]))
    starts = set()
    for _, batch in zip(range(200), batches(one, seed=0, per_step=1, crop=50), strict=False):
        seen, asked = batch.tokens_BT[0, 1:-1], batch.targets_BT[0, 1:-1]
        true_L = np.where(asked >= 0, asked, seen)
        start = int(np.flatnonzero(TOKEN_OF_CODE == true_L[0])[0])
        np.testing.assert_array_equal(true_L, TOKEN_OF_CODE[(start + np.arange(50)) % 20])
        starts.add(start)
    assert starts == set(range(11))


def test_an_epoch_shows_every_sequence_once_and_epochs_differ() -> None:
    many = Corpus(np.repeat(np.arange(6, dtype=np.uint8), 30), np.arange(0, 181, 30))  # sequence m is 30 x residue m
    stream = batches(many, seed=0, per_step=2, crop=30)
    epochs = [[sequence for _ in range(3) for sequence in sequences(next(stream))] for _ in range(2)]
    for epoch in epochs:
        residues = [max(set(tokens[1:-1]) - {MASK}, key=tokens.count) for tokens, _ in epoch]
        assert sorted(residues) == sorted(TOKEN_OF_CODE[:6])
    assert set(epochs[0]).isdisjoint(epochs[1])  # other masks


def test_more_sequences_a_step_than_there_are() -> None:
    assert len(next(batches(corpus([10, 10]), seed=0, per_step=64, crop=8)).tokens_BT) == 2
