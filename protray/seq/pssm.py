r"""Position-specific scoring matrices (PSSM) from alignments.

.. math:: X_{jk} = \ln(P_{jk} / B_k), \quad P_{jk} = (C_{jk} + p) / (N + 20 p)

C are residue counts, N the number of rows with the query, B a background.  Source: PSSM-Distil (Wang et al., AAAI
2021), "Protein Secondary Structure Prediction"; the counting of rows and gaps as in its released example.

Shape key:  N aligned sequences   L residues   A amino-acid types (20)
"""

from typing import Literal, get_args

import numpy as np

from protray.seq.alphabet import N_AA

Background = Literal["smoothed", "paper", "fixed"]

# Amino-acid composition of Swiss-Prot (UniProtKB/Swiss-Prot release statistics, per cent), in our residue order
_SWISSPROT_PERCENT = {
    "A": 8.25, "R": 5.53, "N": 4.06, "D": 5.46, "C": 1.38, "Q": 3.93, "E": 6.72, "G": 7.07, "H": 2.27, "I": 5.91,
    "L": 9.65, "K": 5.80, "M": 2.41, "F": 3.86, "P": 4.74, "S": 6.65, "T": 5.36, "W": 1.10, "Y": 2.92, "V": 6.86,
}  # fmt: skip
SWISSPROT_A = np.array(list(_SWISSPROT_PERCENT.values())) / sum(_SWISSPROT_PERCENT.values())

PAPER_EPSILON = 1e-7  # added to B by the released code, so that an absent amino acid does not divide by zero
SMOOTHING = 200.0  # weight of Swiss-Prot in `smoothed`, in residues: about one short protein

_COUNTED = 1 << 18  # residues counted at once; 20 bytes each, 5 MB, is fastest
_CODES_A11 = np.arange(N_AA, dtype=np.uint8)[:, None, None]


def count_residues(msa_NL: np.ndarray) -> np.ndarray:
    """Count each amino acid in each column (C); gaps and unknown residues count nowhere.

    Rows of 0s and 1s, one for each amino acid, are added half onto half in bytes: seven times, up to 128.

    Returns
    -------
    counts_LA : ndarray, dtype=int32, shape=(L, 20)

    Examples
    --------
    >>> from protray.seq.alphabet import encode
    >>> counts_LA = count_residues(np.stack([encode("AR"), encode("A-")]))
    >>> counts_LA[:, :2].tolist()  # A and R in each column
    [[2, 0], [0, 1]]
    """
    n_rows, length = msa_NL.shape
    counts_AL = np.zeros((N_AA, length), dtype=np.int64)
    at_once = max(1, _COUNTED // max(1, length))
    hits_ANL = np.empty((N_AA, min(at_once, n_rows), length), dtype=bool)
    for start in range(0, n_rows, at_once):
        block_NL = msa_NL[start : start + at_once]
        sums_ANL = np.equal(block_NL, _CODES_A11, out=hits_ANL[:, : len(block_NL)]).view(np.uint8)
        for _ in range(7):
            half = sums_ANL.shape[1] // 2
            np.add(sums_ANL[:, :half], sums_ANL[:, sums_ANL.shape[1] - half :], out=sums_ANL[:, :half])
            sums_ANL = sums_ANL[:, : sums_ANL.shape[1] - half]
        counts_AL += sums_ANL.sum(axis=1, dtype=np.uint32)
    return counts_AL.T.astype(np.int32, order="C")


def probabilities(counts_LA: np.ndarray, n_rows: int, pseudocount: float = 1.0) -> np.ndarray:
    """P = (C + p) / (N + 20 p), shape (L, 20); a column with gaps sums to less than 1, as in the paper."""
    return (counts_LA + pseudocount) / (n_rows + N_AA * pseudocount)


def background(counts_LA: np.ndarray, kind: Background = "smoothed") -> np.ndarray:
    """B: how often each amino acid is expected, shape (20,).

    ``smoothed``: the alignment's own frequencies shrunk towards Swiss-Prot's by `SMOOTHING` residues.
    ``paper``: the alignment's own frequencies + 1e-7; an amino acid that never occurs then scores up to +12.8.
    ``fixed``: Swiss-Prot's frequencies.
    """
    if kind == "fixed":
        return SWISSPROT_A
    total_A = counts_LA.sum(axis=0, dtype=np.float64)
    if kind == "smoothed":
        return (total_A + SMOOTHING * SWISSPROT_A) / (total_A.sum() + SMOOTHING)
    if kind == "paper":
        if not total_A.any():
            raise ValueError("background 'paper' is undefined for an alignment without a known residue; use 'smoothed'")
        return total_A / total_A.sum() + PAPER_EPSILON
    raise ValueError(f"background must be one of {get_args(Background)}, got {kind!r}")


def pssm(counts_LA: np.ndarray, n_rows: int, kind: Background = "smoothed", pseudocount: float = 1.0) -> np.ndarray:
    r"""Score each residue type at each position against its background: :math:`X = \ln(P / B)`.

    Parameters
    ----------
    counts_LA : ndarray, shape=(L, 20)
        C, from `count_residues`; expected counts (floats) are fine.
    n_rows : int
        N, query included; gaps count here and nowhere else.
    kind : {"smoothed", "paper", "fixed"}
        The background B.
    pseudocount : float
        p; the paper uses 1.

    Returns
    -------
    pssm_LA : ndarray, dtype=float32, shape=(L, 20)
        In nats.

    Examples
    --------
    >>> counts_LA = np.zeros((1, 20))
    >>> counts_LA[0, 0] = 9  # nine rows, all with A
    >>> round(float(pssm(counts_LA, n_rows=9, kind="fixed")[0, 0]), 2)  # ln of (9 + 1) / (9 + 20) over 0.083
    1.43
    """
    prob_LA = probabilities(counts_LA, n_rows, pseudocount)
    return np.log(prob_LA / background(counts_LA, kind)).astype(np.float32)


def profile(pssm_LA: np.ndarray, background_A: np.ndarray = SWISSPROT_A) -> np.ndarray:
    """Invert a PSSM: P = B exp(X), scaled to sum to 1 in each row; shape (L, 20).

    >>> bool(np.allclose(profile(np.zeros((1, 20))), SWISSPROT_A))  # X = 0: as often as expected
    True
    """
    prob_LA = background_A * np.exp(pssm_LA.astype(np.float64))
    return prob_LA / prob_LA.sum(axis=1, keepdims=True)
