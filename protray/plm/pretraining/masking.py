"""Masking for language models: 80/10/10, keyed by (seed, epoch, protein, position).

Shape key:  B sequences   T tokens of the longest, with <cls> and <eos>   L residues
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from protray.plm.pretraining.corpus import Corpus
from protray.plm.pretraining.tokens import CLS, EOS, MASK, PADDING, TOKEN_OF_CODE
from protray.seq.alphabet import N_AA, UNKNOWN
from protray.seq.keyed import key

MASKED_SHARE = 0.15  # Devlin et al. 2018: of the residues chosen, 80 % are hidden, 10 % changed, 10 % left


@dataclass(frozen=True)
class MaskedBatch:
    tokens_BT: np.ndarray  # int64, what the model sees
    targets_BT: np.ndarray  # int64, what was there; -100 where nothing is asked

    @property
    def asked(self) -> int:
        return int((self.targets_BT >= 0).sum())

    @property
    def residues(self) -> int:
        return int((self.tokens_BT != PADDING).sum()) - 2 * len(self.tokens_BT)


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


def masked_batch(corpus: Corpus, rows: Sequence[int] | np.ndarray, *, seed: int, epoch: int, crop: int) -> MaskedBatch:
    """Cut at most `crop` residues out of each sequence, mask them, and pad them to the longest.

    Place and masks follow from (seed, epoch, id of the sequence): they do not change with its row, its batch, or what
    else is in the corpus.
    """
    codes = [corpus.codes(m) for m in rows]
    width = min(crop, max(map(len, codes))) + 2
    tokens_BT = np.full((len(codes), width), PADDING, dtype=np.int64)
    targets_BT = np.full((len(codes), width), -100, dtype=np.int64)
    for row, (m, codes_L) in enumerate(zip(rows, codes, strict=True)):
        own = key(seed, epoch, corpus.id(m))
        slack = max(0, codes_L.size - crop)
        start = int(uniform(own, np.array([-1]))[0] * (slack + 1))
        cut_L = codes_L[start : start + crop]
        inner = slice(1, cut_L.size + 1)
        tokens_BT[row, 0], tokens_BT[row, cut_L.size + 1] = CLS, EOS
        tokens_BT[row, inner], targets_BT[row, inner] = mask_tokens(cut_L, own)
    return MaskedBatch(tokens_BT, targets_BT)


def hide(batch: MaskedBatch) -> MaskedBatch:
    """The same batch with the mask token at every residue that is asked for."""
    return replace(batch, tokens_BT=np.where(batch.targets_BT >= 0, MASK, batch.tokens_BT))
