"""Which sequences train together: global batches by a budget of tokens, each made of micro-batches of similar length.

All of it follows from (seed, epoch) alone, so that any number of workers sees the same steps, and a run that was
stopped goes on in the middle of an epoch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from protray.plm.pretraining.config import MaskedLmConfig
from protray.plm.pretraining.corpus import Corpus
from protray.plm.pretraining.masking import MaskedBatch, hide, masked_batch
from protray.seq.keyed import generator

CHUNK = 2**20  # neighbouring sequences that are shuffled together
WINDOW = 2**12  # of these, how many are sorted by length together


@dataclass(frozen=True)
class Step:
    """One worker's share of a global batch."""

    epoch: int
    index: int  # within the epoch
    batches: tuple[MaskedBatch, ...]  # empty for a worker that found nothing left to do


def steps(
    corpus: Corpus, config: MaskedLmConfig, epoch: int = 0, index: int = 0, rank: int = 0, world: int = 1
) -> Iterator[Step]:
    """Yield this rank's share of every step from number `index` of `epoch` on, for ever.

    Rank r takes micro-batches r, r + world, .. of each step: the union is the same for any `world`.
    """
    while True:
        for number, parts in enumerate(plan_epoch(corpus, config, epoch)):
            if number >= index:
                mine = [
                    masked_batch(corpus, rows, seed=config.seed, epoch=epoch, crop=config.crop)
                    for rows in parts[rank::world]
                ]
                yield Step(epoch, number, tuple(mine))
        epoch, index = epoch + 1, 0


def plan_epoch(corpus: Corpus, config: MaskedLmConfig, epoch: int) -> Iterator[list[np.ndarray]]:
    """Yield the steps of an epoch, each as the rows of its micro-batches; every sequence comes once."""
    step: list[np.ndarray] = []
    used = 0
    for rows, tokens in _micro_batches(corpus, config, epoch):
        if step and used + tokens > config.tokens_per_step:
            yield step
            step, used = [], 0
        step.append(rows)
        used += tokens
    if step:
        yield step


def _micro_batches(corpus: Corpus, config: MaskedLmConfig, epoch: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (rows, tokens with padding) of micro-batches, lengths mixed from one to the next."""
    for rows, lengths in _windows(corpus, config.seed, epoch):
        cropped = np.minimum(lengths, config.crop)
        order = np.argsort(cropped, kind="stable")
        cuts = cut_by_tokens(cropped[order] + 2, config.tokens_at_once)
        batches = np.split(order, cuts)
        for place in generator(config.seed, "micro-batches", epoch, int(rows[0])).permutation(len(batches)):
            batch = batches[place]
            yield rows[batch], len(batch) * int(cropped[batch].max() + 2)


def _windows(corpus: Corpus, seed: int, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows, lengths) of `WINDOW` sequences in random order.

    `CHUNK` neighbours are shuffled at a time, and the chunks among themselves: a permutation of 10^8 sequences would
    take 0.8 GB and read all over the disk.  A file of more than `CHUNK` sequences that is sorted, by family for
    example, is therefore shuffled only in part.
    """
    firsts = range(0, len(corpus), CHUNK)
    for chunk in generator(seed, "chunks", epoch).permutation(len(firsts)):
        first = firsts[chunk]
        lengths = corpus.lengths(first, min(first + CHUNK, len(corpus)))
        order = generator(seed, "order", epoch, first).permutation(len(lengths))
        for start in range(0, len(order), WINDOW):
            window = order[start : start + WINDOW]
            yield first + window, lengths[window]


def cut_by_tokens(tokens: np.ndarray, budget: int) -> list[int]:
    """Where to cut rows of ascending length so that rows times the longest, padding included, stay within `budget`."""
    cuts, first = [], 0
    for row, width in enumerate(tokens.tolist()):
        if row > first and (row - first + 1) * width > budget:
            cuts.append(row)
            first = row
    return cuts


def validation_batches(corpus: Corpus, config: MaskedLmConfig) -> list[MaskedBatch]:
    """Up to ``config.validation_sequences`` sequences, every asked residue hidden; the same for every seed.

    Those with the smallest hashes of their ids are taken, so that a longer corpus changes few of them.
    """
    ids = corpus.ids()
    rows = np.argsort(ids, kind="stable")[: config.validation_sequences]
    lengths = np.minimum([len(corpus.codes(m)) for m in rows], config.crop)
    order = np.argsort(lengths, kind="stable")
    batches = np.split(rows[order], cut_by_tokens(lengths[order] + 2, config.tokens_at_once))
    return [hide(masked_batch(corpus, batch, seed=0, epoch=0, crop=config.crop)) for batch in batches]
