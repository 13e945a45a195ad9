r"""Meff: how many effectively different sequences an alignment holds.

.. math:: M_{eff} = \sum_i 1 / m_i, \quad m_i = |\{j : id(i, j) \ge \theta\}|

id(i, j) is the share of equal residues among the columns in which at least one of the two rows has a residue: columns
where both have a gap are ignored, an unknown residue counts as a residue that equals nothing.  A row is always in its
own cluster, so an alignment of the query alone has Meff 1.  The threshold is not stated in the paper that bins by
Meff (Bagging MSA, Guo et al., 2020): 0.7 is ours, and belongs beside every number.

Shape key:  N aligned sequences   L residues   I, J rows of a block
"""

import numpy as np

from protray.seq.alphabet import N_AA, UNKNOWN

EXACT_ROWS = 8192  # above it Meff is an estimate: the time of the exact sum grows with N^2
SAMPLED_ROWS = 512
BLOCK = 512  # rows compared at once: three L x 512 float32 matrices, 30 MB at L = 5,000


def meff(msa_NL: np.ndarray, identity: float = 0.7, seed: int = 0) -> float:
    r"""Effective number of sequences.

    Exact up to ``EXACT_ROWS`` rows.  Above, the m_i of a random sample S of ``SAMPLED_ROWS`` rows are counted over all
    N rows, and the sum is scaled up without bias:

    .. math:: M_{eff} \approx \frac{N}{|S|} \sum_{i \in S} 1 / m_i

    Its relative standard error is at most the coefficient of variation of 1/m_i over sqrt(512): 4 % when that is 1.

    Parameters
    ----------
    msa_NL : ndarray, dtype=uint8, shape=(N, L)
        Codes of ``protray.seq.alphabet``.
    identity : float
        The threshold theta, in (0, 1].
    seed : int
        Of the sample; not used up to ``EXACT_ROWS`` rows.
    """
    if not 0 < identity <= 1:
        raise ValueError(f"identity is a share and must lie in (0, 1], got {identity}")
    n_rows = len(msa_NL)
    if n_rows <= EXACT_ROWS:
        return float((1 / _cluster_sizes(msa_NL, identity)).sum())
    rows = np.sort(np.random.default_rng(seed).choice(n_rows, SAMPLED_ROWS, replace=False))
    sizes = np.zeros(SAMPLED_ROWS, dtype=np.int64)
    for start in range(0, n_rows, BLOCK):
        similar_IJ = _similar(msa_NL[rows], msa_NL[start : start + BLOCK], identity)
        own = np.flatnonzero((rows >= start) & (rows < start + BLOCK))
        similar_IJ[own, rows[own] - start] = True
        sizes += similar_IJ.sum(axis=1)
    return float(n_rows / SAMPLED_ROWS * (1 / sizes).sum())


def _cluster_sizes(msa_NL: np.ndarray, identity: float) -> np.ndarray:
    """m_i of every row, block against block; each pair of blocks is compared once."""
    sizes_N = np.zeros(len(msa_NL), dtype=np.int64)
    for i in range(0, len(msa_NL), BLOCK):
        for j in range(i, len(msa_NL), BLOCK):
            similar_IJ = _similar(msa_NL[i : i + BLOCK], msa_NL[j : j + BLOCK], identity)
            if i == j:
                np.fill_diagonal(similar_IJ, True)
            else:
                sizes_N[j : j + BLOCK] += similar_IJ.sum(axis=0)
            sizes_N[i : i + BLOCK] += similar_IJ.sum(axis=1)
    return sizes_N


def _similar(rows_IL: np.ndarray, rows_JL: np.ndarray, identity: float) -> np.ndarray:
    """Whether id >= identity, bool, shape (I, J).  Counts are products of 0/1 matrices, exact in float32 to 2^24."""
    equal_IJ = np.zeros((len(rows_IL), len(rows_JL)), dtype=np.float32)
    for code in range(N_AA):
        equal_IJ += (rows_IL == code).astype(np.float32) @ (rows_JL == code).astype(np.float32).T
    residue_IL, residue_JL = (rows_IL <= UNKNOWN).astype(np.float32), (rows_JL <= UNKNOWN).astype(np.float32)
    union_IJ = residue_IL.sum(axis=1)[:, None] + residue_JL.sum(axis=1)[None] - residue_IL @ residue_JL.T
    return equal_IJ >= identity * union_IJ - 1e-4  # 0.7 of 10 columns is 7, whatever the rounding
