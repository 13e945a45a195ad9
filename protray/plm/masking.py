"""Batches for masked language modelling: crops, and 80/10/10 masking keyed by (seed, epoch, sequence, position).

Shape key:  B sequences   T tokens of the longest, with <cls> and <eos>
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from protray.plm.corpus import Corpus
from protray.plm.tokens import CLS, EOS, MASK, PADDING, TOKEN_OF_CODE
from protray.seq.alphabet import N_AA, UNKNOWN
from protray.seq.keyed import generator, key

MASKED_SHARE = 0.15  # Devlin et al. 2018: of the residues chosen, 80 % are hidden, 10 % changed, 10 % left


@dataclass(frozen=True)
class MaskedBatch:
    tokens_BT: np.ndarray  # int64, what the model sees
    targets_BT: np.ndarray  # int64, what was there; -100 where nothing is asked
    step: int


def uniform(seed: int, index: np.ndarray) -> np.ndarray:
    """Map counters to uniform numbers in [0, 1) by the SplitMix64 mixer (Steele et al. 2014); stateless."""
    x = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def mask_tokens(codes_L: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose 15 % of the known residues and hide them 80/10/10; returns (tokens_L, targets_L)."""
    draw = uniform(seed, np.arange(3 * codes_L.size)).reshape(3, -1)
    tokens_L = TOKEN_OF_CODE[codes_L]
    chosen_L = (draw[0] < MASKED_SHARE) & (codes_L < UNKNOWN)
    targets_L = np.where(chosen_L, tokens_L, -100)
    tokens_L = np.where(chosen_L & (draw[1] < 0.8), MASK, tokens_L)
    swapped_L = TOKEN_OF_CODE[(draw[2] * N_AA).astype(np.int64)]
    return np.where(chosen_L & (draw[1] >= 0.9), swapped_L, tokens_L), targets_L


def batches(
    corpus: Corpus, *, seed: int, per_step: int, crop: int, start: int = 0, rank: int = 0, world: int = 1
) -> Iterator[MaskedBatch]:
    """Yield this rank's share of every global batch from step `start` on, for ever.

    A global batch holds `per_step` random crops of at most `crop` residues.  It depends on (seed, step) only: ranks
    take every `world`-th of its sequences, so the union is the same for any number of workers.
    """
    if min(per_step, len(corpus)) < world:
        raise ValueError(
            f"a global batch of {per_step} out of {len(corpus)} sequences cannot be shared by {world} workers; "
            "use fewer workers or larger batches"
        )
    steps_per_epoch = max(1, len(corpus) // per_step)
    step, epoch, order_M = start, -1, np.empty(0, dtype=np.int64)
    while True:
        if step // steps_per_epoch != epoch:
            epoch = step // steps_per_epoch
            order_M = generator(seed, "order", epoch).permutation(len(corpus))
        first = (step % steps_per_epoch) * per_step
        mine = order_M[first : first + per_step][rank::world]
        yield _batch(corpus, mine, seed, epoch, crop, step)
        step += 1


def _batch(corpus: Corpus, chosen: np.ndarray, seed: int, epoch: int, crop: int, step: int) -> MaskedBatch:
    width = min(crop, int(corpus.lengths_M[chosen].max())) + 2
    tokens_BT = np.full((len(chosen), width), PADDING, dtype=np.int64)
    targets_BT = np.full((len(chosen), width), -100, dtype=np.int64)
    for row, m in enumerate(chosen):
        sequence_seed = key(seed, epoch, m)
        start, stop = corpus.starts_M[m], corpus.starts_M[m + 1]
        slack = max(0, int(stop - start) - crop)
        start += int(uniform(sequence_seed, np.array([-1]))[0] * (slack + 1))
        codes_L = corpus.codes_R[start : min(stop, start + crop)]
        tokens_BT[row, 0], tokens_BT[row, codes_L.size + 1] = CLS, EOS
        tokens_BT[row, 1 : codes_L.size + 1], targets_BT[row, 1 : codes_L.size + 1] = mask_tokens(
            codes_L, sequence_seed
        )
    return MaskedBatch(tokens_BT, targets_BT, step)
