r"""Pseudo-alignments sampled from a language model's probability map, and their PSSM.

2,000 sequences drawn position by position are, for the counts, one multinomial draw per position:
:math:`C_j \sim \mathrm{Multinomial}(2000, p_j)`, so no strings are made unless the alignment itself is wanted.  The
native sequence is added as the query row (N = 2001).  Source: PSSM-Distil (AAAI 2021), "BERT Pseudo PSSM Generation".

Shape key:  N drawn sequences and the query   L residues   A amino-acid types (20)
"""

from typing import Literal

import numpy as np

from protray.seq.alphabet import GAP, INVALID, LETTERS, N_AA, encode
from protray.seq.keyed import generator
from protray.seq.pssm import Background, pssm

N_PSEUDO = 2000  # sequences drawn, as in the paper

Drawing = Literal["multinomial", "expected"]

_AT_ONCE = 32  # positions drawn at once: their 64,000 16-bit numbers, and the bytes beside them, stay in the cache
_TO_LETTERS = bytes.maketrans(bytes(range(len(LETTERS))), LETTERS.encode())


def check_map(flat: np.ndarray, sequence: str) -> tuple[np.ndarray, np.ndarray]:
    """Shape and check a stored probability map.

    Parameters
    ----------
    flat : ndarray, shape=(L * 20,)
        Row-major probabilities, float32 or float16.
    sequence : str
        The protein; X and other letters that stand for no single amino acid are fine, gaps are not.

    Returns
    -------
    prob_LA : ndarray, dtype=float64, shape=(L, 20)
        Each row sums to 1.
    query_L : ndarray, dtype=uint8, shape=(L,)

    Raises
    ------
    ValueError
        Of a sequence that is empty or holds anything else, and of a map of another length, with NaN, infinite or
        negative numbers, or with a row that does not sum to 1 within 1e-3 (float16: 1e-2).
    """
    letters = sequence.upper()
    query_L = encode(letters)
    if not len(query_L):
        raise ValueError("the sequence is empty")
    bad = np.flatnonzero((query_L == INVALID) | (query_L == GAP))
    if len(bad):
        raise ValueError(f"position {bad[0] + 1} of the sequence is {letters[bad[0]]!r}, which is no residue")
    if len(flat) != N_AA * len(query_L):
        raise ValueError(f"the map has {len(flat)} numbers, but {len(query_L)} residues need {N_AA * len(query_L)}")
    prob_LA = flat.reshape(-1, N_AA).astype(np.float64)
    total_L = prob_LA.sum(axis=1)
    tolerance = 1e-2 if flat.dtype == np.float16 else 1e-3
    wrong = np.flatnonzero(~(np.abs(total_L - 1) <= tolerance) | ~(prob_LA >= 0).all(axis=1))
    if len(wrong):
        row_A, at = prob_LA[wrong[0]], wrong[0] + 1
        if not np.isfinite(row_A).all():
            raise ValueError(f"the map has a number that is not finite at position {at}")
        if (row_A < 0).any():
            raise ValueError(f"the map has the negative probability {row_A.min():g} at position {at}")
        raise ValueError(f"the probabilities at position {at} sum to {total_L[wrong[0]]:.4f}, not 1 +- {tolerance:g}")
    return prob_LA / total_L[:, None], query_L


def pseudo_counts(
    prob_LA: np.ndarray, query_L: np.ndarray, rng: np.random.Generator | None, n_drawn: int = N_PSEUDO
) -> np.ndarray:
    """Count residues of `n_drawn` drawn sequences and the native one; shape (L, 20).

    Without `rng` the counts are the expected ones, 2000 p, and not whole numbers.

    >>> flat_LA = np.full((1, 20), 1 / 20)
    >>> pseudo_counts(flat_LA, np.array([0]), None)[0, :3].round(6).tolist()  # 2000 / 20, and one more for the native A
    [101.0, 100.0, 100.0]
    """
    prob_LA = prob_LA.astype(np.float64)
    prob_LA = prob_LA / prob_LA.sum(axis=1, keepdims=True)
    counts_LA = rng.multinomial(n_drawn, prob_LA) if rng else n_drawn * prob_LA
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


def pseudo_msa(
    prob_LA: np.ndarray, query_L: np.ndarray, rng: np.random.Generator, n_drawn: int = N_PSEUDO
) -> np.ndarray:
    """Draw the sequences themselves, every position of every one independently.

    A residue is a 16-bit random number held against the cumulative probabilities, so these are rounded to 2^-16, and a
    residue type less likely than 2^-17 may never be drawn.

    Returns
    -------
    codes_NL : ndarray, dtype=uint8, shape=(n_drawn + 1, L)
        Row 0 is the query.
    """
    limits_LA = np.cumsum(prob_LA, axis=1, dtype=np.float64)
    limits_LA = np.rint(limits_LA[:, :-1] / limits_LA[:, -1:] * (1 << 16))
    last_L = (limits_LA < 1 << 16).sum(axis=1).astype(np.uint8)  # the last code that can be drawn
    limits_LA = np.minimum(limits_LA, (1 << 16) - 1).astype(np.uint16)
    codes_NL = np.empty((n_drawn + 1, len(prob_LA)), dtype=np.uint8)
    codes_NL[0] = query_L
    for start in range(0, len(prob_LA), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        size = len(limits_LA[block]) * n_drawn
        words = rng.integers(0, 1 << 64, -(-size // 4), dtype=np.uint64)  # four times as fast as 16 bits at a time
        number_LN = words.view(np.uint16)[:size].reshape(-1, n_drawn)
        reached_LN = np.empty(number_LN.shape, dtype=bool)
        code_LN = np.zeros(number_LN.shape, dtype=np.uint8)
        for limit_L1 in np.split(limits_LA[block], N_AA - 1, axis=1):
            np.greater_equal(number_LN, limit_L1, out=reached_LN)
            code_LN += reached_LN.view(np.uint8)
        codes_NL[1:, block] = np.minimum(code_LN, last_L[block, None]).T
    return codes_NL


def a3m(codes_NL: np.ndarray, name: str) -> bytes:
    """Text of a pseudo-alignment: the query as `name`, then ``pseudo_1``, ``pseudo_2``, ..."""
    letters, length = codes_NL.tobytes().translate(_TO_LETTERS), codes_NL.shape[1]
    names = [" ".join(name.split()).encode(), *(b"pseudo_%d" % number for number in range(1, len(codes_NL)))]
    rows = (letters[start : start + length] for start in range(0, len(letters), length))
    return b"".join(b">%b\n%b\n" % record for record in zip(names, rows, strict=True))
