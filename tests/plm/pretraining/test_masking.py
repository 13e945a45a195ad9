import numpy as np
import pytest

from protray.plm.pretraining.corpus import Corpus, pack
from protray.plm.pretraining.masking import hide, mask_tokens, masked_batch, uniform
from protray.plm.pretraining.tokens import CLS, EOS, MASK, PADDING, TOKEN_OF_CODE
from protray.seq.alphabet import N_AA, UNKNOWN


def corpus(lengths: list[int], names: list[str] | None = None) -> Corpus:
    """Random residues, keyed by nothing but the position in the list."""
    codes = [np.random.default_rng(m).integers(0, N_AA, length).astype(np.uint8) for m, length in enumerate(lengths)]
    return Corpus([pack(names or [str(m) for m in range(len(codes))], codes)])


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


def test_rows_are_crops_between_cls_and_eos() -> None:
    batch = masked_batch(corpus([100, 20, 300]), [0, 1, 2], seed=0, epoch=0, crop=50)
    assert (batch.tokens_BT != PADDING).sum(axis=1).tolist() == [52, 22, 52]
    assert (batch.tokens_BT[:, 0] == CLS).all()
    assert np.argwhere(batch.tokens_BT == EOS).tolist() == [[0, 51], [1, 21], [2, 51]]
    assert (batch.targets_BT[1, 22:] == -100).all()
    assert batch.residues == 120
    assert batch.asked == (batch.targets_BT >= 0).sum()


def test_masks_follow_the_id_not_the_row() -> None:
    """The same protein in another corpus, row and company: same crop, same masks; another epoch or seed: others."""
    one = corpus([200], ["p"])
    three = Corpus([*corpus([40, 90]).parts, *one.parts])
    alone = masked_batch(one, [0], seed=1, epoch=2, crop=64)
    among = masked_batch(three, [0, 2, 1], seed=1, epoch=2, crop=64)
    np.testing.assert_array_equal(among.tokens_BT[1], alone.tokens_BT[0])
    np.testing.assert_array_equal(among.targets_BT[1], alone.targets_BT[0])
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        assert (masked_batch(one, [0], crop=64, **other).targets_BT != alone.targets_BT).any()


def test_crops_reach_both_ends_and_are_the_sequence() -> None:
    """A sequence of 60 residues 0, 1, 2 .. mod 20, crops of 50: they start at 0 to 10."""
    one = Corpus([pack(["p"], [(np.arange(60) % 20).astype(np.uint8)])])
    starts = set()
    for epoch in range(200):
        batch = masked_batch(one, [0], seed=0, epoch=epoch, crop=50)
        seen, asked = batch.tokens_BT[0, 1:-1], batch.targets_BT[0, 1:-1]
        true_L = np.where(asked >= 0, asked, seen)
        start = int(np.flatnonzero(TOKEN_OF_CODE == true_L[0])[0])
        np.testing.assert_array_equal(true_L, TOKEN_OF_CODE[(start + np.arange(50)) % 20])
        starts.add(start)
    assert starts == set(range(11))


def test_validation_hides_every_residue_it_asks_for() -> None:
    """Training leaves some of them readable; copying those would flatter the model."""
    batch = masked_batch(corpus([300]), [0], seed=0, epoch=0, crop=300)
    asked_BT = batch.targets_BT >= 0
    assert (batch.tokens_BT[asked_BT] != MASK).any()
    assert (hide(batch).tokens_BT[asked_BT] == MASK).all()
    np.testing.assert_array_equal(hide(batch).tokens_BT[~asked_BT], batch.tokens_BT[~asked_BT])
