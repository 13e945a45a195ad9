r"""Pseudo-alignments sampled from a language model's probability map, and their PSSM.

2,000 sequences drawn position by position are, for the counts, one multinomial draw per position:
:math:`C_j \sim \mathrm{Multinomial}(2000, p_j)`, so no strings are made.  The native sequence is added as the query row
(N = 2001).  Source: PSSM-Distil (AAAI 2021), "BERT Pseudo PSSM Generation".

Shape key:  L residues   A amino-acid types (20)
"""

from typing import Literal

import numpy as np

from protray.seq.alphabet import N_AA
from protray.seq.keyed import generator
from protray.seq.pssm import Background, pssm

N_PSEUDO = 2000  # sequences drawn, as in the paper

Drawing = Literal["multinomial", "expected"]


def pseudo_counts(prob_LA: np.ndarray, query_L: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """Count residues of 2,000 drawn sequences and the native one; shape (L, 20).

    Without `rng` the counts are the expected ones, 2000 p, and not whole numbers.
    """
    prob_LA = prob_LA.astype(np.float64)
    prob_LA = prob_LA / prob_LA.sum(axis=1, keepdims=True)
    counts_LA = rng.multinomial(N_PSEUDO, prob_LA) if rng else N_PSEUDO * prob_LA
    known = query_L < N_AA
    counts_LA[np.flatnonzero(known), query_L[known]] += 1
    return counts_LA


def pseudo_pssm(
    prob_LA: np.ndarray,
    query_L: np.ndarray,
    key: tuple[int, str],
    drawing: Drawing = "multinomial",
    kind: Background = "smoothed",
    pseudocount: float = 1.0,
) -> np.ndarray:
    """X_b: the PSSM of the pseudo-alignment, float32, shape (L, 20); `key` is (seed, protein id)."""
    rng = generator(key[0], "pseudo-msa", key[1]) if drawing == "multinomial" else None
    return pssm(pseudo_counts(prob_LA, query_L, rng), N_PSEUDO + 1, kind, pseudocount)
