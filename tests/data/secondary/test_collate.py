from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import FEATURES, HIDDEN, tiny_proteins

from protray.data.secondary.collate import Totals, collate, in_order, order
from protray.data.secondary.features import Features
from protray.seq.alphabet import PAD
from protray.seq.secondary import IGNORE

PROTEINS = tiny_proteins()
FEATURES_OF = Features(PROTEINS, FEATURES)


def test_batch_is_the_examples_and_padding() -> None:
    rows = np.arange(6)
    examples = [FEATURES_OF.example(int(row)) for row in rows]
    batch = collate(examples, Totals.of(PROTEINS, rows), noise_keys=list(range(6)))
    width = int(PROTEINS.lengths[:6].max())
    assert batch.codes_BL.shape == (6, width)
    assert batch.hidden_BLC is not None and batch.hidden_BLC.shape == (6, width, HIDDEN)
    assert batch.noise is not None and batch.noise.lengths_B == PROTEINS.lengths[:6].tolist()
    for row, example in enumerate(examples):
        length = len(example.codes_L)
        assert batch.mask_BL[row].tolist() == [True] * length + [False] * (width - length)
        for tensor, array, fill in [
            (batch.codes_BL, example.codes_L, PAD), (batch.ss3_BL, example.ss3_L, IGNORE),
            (batch.ss8_BL, example.ss8_L, IGNORE), (batch.high_BLA, example.high_LA, 0),
            (batch.low_BLA, example.low_LA, 0), (batch.bert_BLA, example.bert_LA, 0),
            (batch.hidden_BLC, example.hidden_LC, 0),
        ]:  # fmt: skip
            np.testing.assert_array_equal(tensor[row, :length], array)  # type: ignore[index]
            assert (tensor[row, length:] == fill).all()  # type: ignore[index]
    assert batch.deep_B.tolist() == PROTEINS.deep[:6].tolist()


def test_what_no_example_has_is_none() -> None:
    bare = Features(PROTEINS, replace(FEATURES, bert=False, lm_hidden=False))
    batch = collate([bare.example(0)], Totals())
    assert batch.bert_BLA is None and batch.hidden_BLC is None and batch.noise is None
    assert batch.to("cpu").bert_BLA is None


def test_alanine_is_real_and_padding_is_not() -> None:
    example = replace(FEATURES_OF.example(0), codes_L=np.zeros(3, np.uint8), ss3_L=np.zeros(3, np.int8))
    batch = collate([example, FEATURES_OF.example(1)], Totals())
    assert batch.mask_BL[0, :3].all() and not batch.mask_BL[0, 3:].any()


def test_totals_by_hand() -> None:
    totals = Totals.of(PROTEINS, np.arange(6))
    assert totals.residues == sum(len(PROTEINS.sequence(row)) for row in range(6))
    assert totals.labels == totals.residues  # every residue of these has a label
    assert totals.deep_residues == sum(len(PROTEINS.sequence(row)) for row in range(6) if PROTEINS.deep[row])


LENGTHS = np.random.default_rng(0).integers(50, 500, 203)


@pytest.mark.parametrize("epoch", [0, 7])
def test_an_epoch_has_every_protein_once(epoch) -> None:
    batches = order(LENGTHS, 16, seed=0, epoch=epoch)
    assert len(batches) == 13  # ceil(203 / 16)
    assert sorted(np.concatenate(batches)) == list(range(203))
    assert sorted(map(len, batches)) == [11, *[16] * 12]


def test_order_follows_from_seed_and_epoch() -> None:
    def flat(seed: int, epoch: int) -> list[int]:
        return np.concatenate(order(LENGTHS, 16, seed, epoch)).tolist()

    assert flat(0, 1) == flat(0, 1)
    assert flat(0, 1) != flat(0, 2) and flat(0, 1) != flat(1, 1)
    neighbours = [{frozenset(batch) for batch in order(LENGTHS, 16, 0, epoch)} for epoch in (0, 1)]
    assert neighbours[0].isdisjoint(neighbours[1])


def test_batches_hold_similar_lengths() -> None:
    """Padding of sorted runs is far below that of a plain shuffle, where a batch of 16 is as wide as its longest."""

    def padding(batches: list[np.ndarray]) -> float:
        return sum(len(b) * LENGTHS[b].max() for b in batches) / LENGTHS.sum() - 1

    plain = np.array_split(np.random.default_rng(0).permutation(203), 13)
    assert padding(order(LENGTHS, 16, 0, 0)) < 0.5 * padding(plain)


def test_evaluation_sees_every_protein_once_longest_first() -> None:
    rows = np.arange(3, 203, 2)
    batches = list(in_order(rows, 16, LENGTHS))
    seen = np.concatenate(batches)
    assert sorted(seen) == rows.tolist()
    assert (np.diff(LENGTHS[seen]) <= 0).all()
    assert list(in_order(rows[:0], 16, LENGTHS)) == []


def test_moving_a_batch_keeps_its_content() -> None:
    batch = collate([FEATURES_OF.example(0)], Totals(1, 2, 3))
    moved = batch.to("cpu")
    assert moved.totals == Totals(1, 2, 3) and moved.ids == batch.ids
    assert torch.equal(moved.high_BLA, batch.high_BLA)
