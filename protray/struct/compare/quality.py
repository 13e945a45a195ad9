"""How near a model's C-alpha atoms are to those of its reference: RMSD after superposition, and lDDT without one.

Both take batches of models of one length; one reference may serve them all.

Shape key:  B structures   L residues   3 x, y, z in Å
"""

import numpy as np

INCLUSION_RADIUS = 15.0  # Å: lDDT looks at pairs that are at most so far apart in the reference
TOLERANCES = (0.5, 1.0, 2.0, 4.0)  # Å


def ca_rmsd(model_BL3: np.ndarray, reference_BL3: np.ndarray) -> np.ndarray:
    r"""Root mean square deviation after the best superposition [Kabsch1976]_; shape (B,), in Å.

    .. math:: \min_{R, t} \sqrt{\frac 1 L \sum_i |R x_i + t - y_i|^2}, \quad \det R = +1

    Parameters
    ----------
    model_BL3, reference_BL3 : ndarray, shape=(B, L, 3), L >= 1
        In Å; a first axis of 1 is repeated.

    Notes
    -----
    Rotations are proper: a mirror image is another structure, and its RMSD is not 0.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a coordinate is not finite.

    References
    ----------
    .. [Kabsch1976] Kabsch. A solution for the best rotation to relate two sets of vectors. Acta Cryst A32:922-923.

    Examples
    --------
    >>> ca_13 = np.array([[[0, 0, 0], [3.8, 0, 0], [3.8, 3.8, 0]]])
    >>> float(ca_rmsd(ca_13 + 5, ca_13)[0].round(6))  # moved as a whole
    0.0
    """
    _check(model_BL3, reference_BL3)
    rotated_BL3, reference_BL3 = superpose(model_BL3, reference_BL3)
    return np.sqrt(np.square(rotated_BL3 - reference_BL3).sum(axis=2).mean(axis=1))


def superpose(model_BL3: np.ndarray, reference_BL3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both structures about their centroids, the model rotated onto the reference; float64.

    The best rotation is U diag(1, 1, det(U V)) V of the singular value decomposition of X^T Y = U S V: the sign takes
    a reflection back at the cost of the smallest singular value.
    """
    model_BL3 = model_BL3 - model_BL3.mean(axis=1, keepdims=True, dtype=np.float64)
    reference_BL3 = reference_BL3 - reference_BL3.mean(axis=1, keepdims=True, dtype=np.float64)
    u_B33, _, v_B33 = np.linalg.svd(model_BL3.swapaxes(1, 2) @ reference_BL3)
    u_B33[:, :, 2] *= np.sign(np.linalg.det(u_B33 @ v_B33))[:, None]
    return model_BL3 @ (u_B33 @ v_B33), reference_BL3


def ca_lddt(model_BL3: np.ndarray, reference_BL3: np.ndarray) -> np.ndarray:
    """Local distance difference test of C-alpha atoms [Mariani2013]_; shape (B,), a share in [0, 1].

    Of all pairs of residues at most 15 Å apart in the reference (neighbours along the chain too), the share whose
    distance in the model is the same within 0.5, 1, 2 and 4 Å; the mean of the four shares.

    Parameters
    ----------
    model_BL3, reference_BL3 : ndarray, shape=(B, L, 3)
        In Å; a first axis of 1 is repeated.

    Notes
    -----
    No superposition, so domains that moved against each other cost little.  A mirror image has the same distances:
    its lDDT is 1.  A reference without any such pair gives NaN.  Memory is 3 B L^2 numbers.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a coordinate is not finite.

    References
    ----------
    .. [Mariani2013] Mariani et al. lDDT: a local superposition-free score for comparing protein structures and models
       using distance difference tests. Bioinformatics 29:2722-2728.

    Examples
    --------
    >>> reference = np.array([[[0, 0, 0], [3.8, 0, 0]]])
    >>> float(ca_lddt(reference + [[0, 0, 0], [1.5, 0, 0]], reference)[0])  # off by 1.5: within 2 and 4 Å only
    0.5
    """
    _check(model_BL3, reference_BL3)
    kept_BL, pairs_BL = kept_pairs(model_BL3, reference_BL3)
    with np.errstate(invalid="ignore"):  # 0 / 0 where there is no pair
        return kept_BL.sum(axis=1) / (len(TOLERANCES) * pairs_BL.sum(axis=1))


def kept_pairs(model_BL3: np.ndarray, reference_BL3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the lDDT of each residue is made of: kept_BL / (4 pairs_BL), and NaN where it has no pair.

    Parameters
    ----------
    model_BL3 : ndarray, shape=(B, L, 3)
        As for `ca_lddt`, but NaN in residues that the model lacks: their distances are kept at no tolerance.

    Returns
    -------
    kept_BL : ndarray, dtype=int64
        Distances to other residues that are kept, summed over the four tolerances.
    pairs_BL : ndarray, dtype=int64
        Other residues within 15 Å in the reference.

    Examples
    --------
    >>> reference = np.array([[[0.0, 0, 0], [4, 0, 0], [8, 0, 0]]])
    >>> model = np.array([[[0.0, 0, 0], [4, 0, 0], [np.nan] * 3]])
    >>> [counts.tolist() for counts in kept_pairs(model, reference)]
    [[[4, 4, 0]], [[2, 2, 2]]]
    """
    absent_BL1 = np.isnan(model_BL3).all(axis=-1, keepdims=True)
    _check(np.where(absent_BL1, 0.0, model_BL3), reference_BL3)
    reference_BLL = distance_map(reference_BL3)
    pairs_BLL = (reference_BLL <= INCLUSION_RADIUS) & ~np.eye(reference_BL3.shape[1], dtype=bool)
    off_BLL = np.abs(distance_map(model_BL3) - reference_BLL)
    kept_BL = sum((pairs_BLL & (off_BLL <= tolerance)).sum(axis=2) for tolerance in TOLERANCES)
    return np.asarray(kept_BL), pairs_BLL.sum(axis=2)


def distance_map(ca_BL3: np.ndarray) -> np.ndarray:
    """d_ij = |x_i - x_j|, shape (B, L, L), in Å, float64.

    >>> distance_map(np.array([[[0, 0, 0], [3, 4, 0]]])).tolist()
    [[[0.0, 5.0], [5.0, 0.0]]]
    """
    squared_BLL = np.zeros((len(ca_BL3), ca_BL3.shape[1], ca_BL3.shape[1]))
    for axis in range(3):  # one at a time: a third of the memory
        x_BL = ca_BL3[:, :, axis].astype(np.float64)
        squared_BLL += np.square(x_BL[:, :, None] - x_BL[:, None, :])
    return np.sqrt(squared_BLL)


def _check(model_BL3: np.ndarray, reference_BL3: np.ndarray) -> None:
    shapes = model_BL3.shape, reference_BL3.shape
    whole = all(len(shape) == 3 and shape[1] > 0 and shape[2] == 3 for shape in shapes)
    if not whole or shapes[0][1] != shapes[1][1] or len({shapes[0][0], shapes[1][0]} - {1}) > 1:
        raise ValueError(f"model and reference must both be of shape (B, L, 3), or one of them (1, L, 3); got {shapes}")
    for name, ca_BL3 in (("model", model_BL3), ("reference", reference_BL3)):
        if not np.isfinite(ca_BL3).all():
            raise ValueError(
                f"the {name} has coordinates that are not finite; leave residues without C-alpha out of both"
            )
