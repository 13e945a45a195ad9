r"""Meff: how many effectively different sequences an alignment holds.

.. math:: M_{eff} = \sum_i 1 / m_i, \quad m_i = |\{j : id(i, j) \ge \theta\}|

id(i, j) is the share of equal residues among the columns in which at least one of the two rows has a residue: columns
where both have a gap are ignored, an unknown residue counts as a residue that equals nothing.  A row is always in its
own cluster, so an alignment of the query alone has Meff 1.  The threshold is not stated in the paper that bins by
Meff (Bagging MSA, Guo et al., 2020): 0.7 is ours, and belongs beside every number.

Comparing rows is a product of 0/1 matrices with 20 L columns.  A product with 2 L columns comes first and rules most
pairs out.  Put the amino acids into three groups.  Rows with n_i and n_j residues, of which c columns hold an amino
acid in both and g of these the same group, can only be similar if

.. math:: g \ge \theta \max(n_i, n_j), \quad \text{so} \quad
   v \cdot w = 2 g - (c - g) \ge 3 \theta \max(n_i, n_j) - \min(n_i, n_j)

since equal residues are in equal groups, at least max(n_i, n_j) columns count, and c is at most min(n_i, n_j).  v and w
are two numbers per residue, `_LEFT` and `_RIGHT`, with the product 2 in a group and -1 between groups.

Shape key:  N aligned sequences   L residues   A amino-acid types (20)   I, J rows of a block   P pairs
"""

import numpy as np

from protray.seq.alphabet import AMINO_ACIDS, GAP, N_AA, UNKNOWN

EXACT_ROWS = 8192  # above it Meff is an estimate: the time of the exact sum grows with N^2
SAMPLED_ROWS = 512
ROUNDING = 1e-4  # 0.7 of 10 columns is 7, whatever the rounding
BLOCK = 512  # rows compared at once: two matrices of 512 x 2 L float32, 41 MB at L = 5,000
DENSE = 1 / 8  # share of pairs left above which products of the whole block are cheaper than pair by pair
PAIRS_AT_ONCE = 1 << 22  # residues of pairs compared at once: a few arrays of 4 MB

# three groups that separate what is often exchanged: the least BLOSUM62 probability of a substitution within a group
_GROUPS = ("ANELY", "RDFPSWV", "CQGHIKMT")
_LEFT = np.zeros((2, GAP + 1), dtype=np.float32)  # code -> two numbers
_RIGHT = np.zeros((2, GAP + 1), dtype=np.float32)
for _letters, _left, _right in zip(_GROUPS, ((1, 0), (0, 1), (-1, -1)), ((2, -1), (-1, 2), (-1, -1)), strict=True):
    for _letter in _letters:
        _LEFT[:, AMINO_ACIDS.index(_letter)] = _left
        _RIGHT[:, AMINO_ACIDS.index(_letter)] = _right


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

    Examples
    --------
    >>> from protray.seq.alphabet import encode
    >>> meff(np.stack([encode(row) for row in ("ACDEF", "ACDEF", "WWWWW")]))  # two equal rows and another
    2.0
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
    """Whether id >= identity, bool, shape (I, J)."""
    similar_IJ = _maybe_similar(rows_IL, rows_JL, identity)
    if np.count_nonzero(similar_IJ) > DENSE * similar_IJ.size:
        return _similar_by_products(rows_IL, rows_JL, identity)
    i_P, j_P = np.nonzero(similar_IJ)
    at_once = max(1, PAIRS_AT_ONCE // rows_IL.shape[1])
    for start in range(0, len(i_P), at_once):
        i, j = i_P[start : start + at_once], j_P[start : start + at_once]
        a_PL, b_PL = rows_IL[i], rows_JL[j]
        equal_P = np.count_nonzero((a_PL == b_PL) & (a_PL < N_AA), axis=1)
        union_P = np.count_nonzero(np.minimum(a_PL, b_PL) <= UNKNOWN, axis=1)
        similar_IJ[i, j] = equal_P >= identity * union_P - ROUNDING
    return similar_IJ


def _maybe_similar(rows_IL: np.ndarray, rows_JL: np.ndarray, identity: float) -> np.ndarray:
    """Whether the groups allow id >= identity, bool, shape (I, J); no pair that reaches it is missed.

    The threshold is rounded down to 64ths: then all sums are multiples of 1/64 below 2^18, and exact in float32.
    """
    theta = np.float32(np.floor((identity - ROUNDING) * 64) / 64)
    left_IX = np.concatenate([numbers[rows_IL] for numbers in _LEFT], axis=1)
    right_JX = np.concatenate([numbers[rows_JL] for numbers in _RIGHT], axis=1)
    n_I1 = (rows_IL <= UNKNOWN).sum(axis=1, dtype=np.float32)[:, None]
    n_J = (rows_JL <= UNKNOWN).sum(axis=1, dtype=np.float32)
    return left_IX @ right_JX.T >= 3 * theta * np.maximum(n_I1, n_J) - np.minimum(n_I1, n_J)


def _similar_by_products(rows_IL: np.ndarray, rows_JL: np.ndarray, identity: float) -> np.ndarray:
    """Whether id >= identity, bool, shape (I, J).  Counts are products of 0/1 matrices, exact in float32 to 2^24."""
    equal_IJ = np.zeros((len(rows_IL), len(rows_JL)), dtype=np.float32)
    for code in range(N_AA):
        equal_IJ += (rows_IL == code).astype(np.float32) @ (rows_JL == code).astype(np.float32).T
    residue_IL, residue_JL = (rows_IL <= UNKNOWN).astype(np.float32), (rows_JL <= UNKNOWN).astype(np.float32)
    union_IJ = residue_IL.sum(axis=1)[:, None] + residue_JL.sum(axis=1)[None] - residue_IL @ residue_JL.T
    return equal_IJ >= identity * union_IJ - ROUNDING
