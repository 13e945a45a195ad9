"""How well the maps of a language model tell the residues that were masked."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from protray.plm.masked import LanguageModel, probability_map
from protray.plm.reading import Reading
from protray.seq.alphabet import N_AA


@dataclass(frozen=True)
class MapQuality:
    perplexity: float  # exp of the mean of -ln P(true residue)
    top1: float  # share of residues that got the highest probability
    residues: int
    proteins: int


def map_quality(lm: LanguageModel, proteins: Iterable[np.ndarray], reading: Reading) -> MapQuality:
    """Mask every known residue of `proteins` (codes, shape (L,) each) once, and score the guesses."""
    nats, right, n = [], [], 0
    for codes_L in proteins:
        known_L = np.flatnonzero(codes_L < N_AA)
        prob_LA = probability_map(lm, codes_L, reading)[known_L]
        nats.append(-np.log(prob_LA[np.arange(len(known_L)), codes_L[known_L]]))
        right.append(prob_LA.argmax(axis=1) == codes_L[known_L])
        n += 1
    if not n:
        raise ValueError("there is no protein to score the language model on")
    all_nats = np.concatenate(nats)
    return MapQuality(float(np.exp(all_nats.mean())), float(np.concatenate(right).mean()), len(all_nats), n)
