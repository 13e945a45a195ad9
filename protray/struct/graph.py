"""A structure as a graph of residues: which see one another, and numbers that no rigid motion changes.

C-alpha atoms are enough; phi and psi are added where N and C are there.  Mirror images differ, by signed angles.

Shape key:  L residues   E directed edges   F features   3 x, y, z in Å   4 backbone atoms (N, CA, C, O)
"""

from dataclasses import dataclass

import numpy as np

RADIUS, HOPS = 12.0, 5  # Å, and neighbours along the chain: those of GraphQA
NODE_FEATURES, EDGE_FEATURES, GLOBAL_FEATURES = 14, 5, 32
SEPARATIONS = (1, 2, 3, 4, 5, 10, 15)  # GraphQA's bins: up to each of these, and beyond
N_SEPARATIONS = 2 * (len(SEPARATIONS) + 1)  # in both directions
NEAR, FAR = 8.0, 12.0  # Å: two shells, whose residues are counted
BOND = 3.8  # Å, between neighbours along the chain
N, CA, C = range(3)


@dataclass(frozen=True)
class ResidueGraph:
    """Features in about the range -1 to 1; 0 where they do not exist."""

    edges_2E: np.ndarray  # int64: from residue `edges_2E[0]` to `edges_2E[1]`, sorted
    distance_E: np.ndarray  # float32, Å
    separation_E: np.ndarray  # int64, bins of signed distance along the chain
    edge_EF: np.ndarray  # float32
    node_LF: np.ndarray  # float32
    global_F: np.ndarray  # float32


def residue_graph(
    backbone_L43: np.ndarray, index_L: np.ndarray, radius: float = RADIUS, hops: int = HOPS
) -> ResidueGraph:
    """Graph of the residues of a chain.

    Edges run in both directions between residues whose C-alpha atoms are at most `radius` apart, or which are at most
    `hops` places apart in the chain.  With d_ij the unit vector from i to j, and n_i that from the middle of the two
    neighbours of residue i to its C-alpha atom (about where its side chain points to), features are

    edge
        n_i . d_ij, n_j . d_ij, n_i . n_j, (n_i x d_ij) . n_j, and (d - 3.8) / 3.8 for neighbours along the chain.
    node
        Virtual bond angle (cosine) and torsion (sine, cosine) of C-alpha atoms; sine and cosine of phi and psi; whether
        either is known; deviations of the two virtual bonds from 3.8 Å; residues within 8 and 12 Å, and the share of
        the latter on the side of n_i; whether the chain goes on before and behind.
    global
        ln(L / 100), radius of gyration over that of a globular chain (2.2 L^0.38 Å), mean residues within 8 and 12 Å;
        mean and standard deviation of each node feature.

    Parameters
    ----------
    backbone_L43 : ndarray, shape=(L, 4, 3)
        NaN where an atom is missing; C-alpha atoms must be there.
    index_L : ndarray, dtype=int
        Place in the chain, counted on over what is missing, increasing.

    Raises
    ------
    ValueError
        If a C-alpha atom is missing.
    """
    ca_L3 = backbone_L43[:, CA].astype(np.float64)
    if not np.isfinite(ca_L3).all():
        raise ValueError("residues without C-alpha atom; leave them out")
    apart_LL = np.linalg.norm(ca_L3[:, None] - ca_L3[None], axis=2)
    along_LL = index_L[None, :].astype(np.int64) - index_L[:, None]
    edges_2E = np.stack(
        np.nonzero(((apart_LL <= radius) | (np.abs(along_LL) <= hops)) & ~np.eye(len(ca_L3), dtype=bool))
    )
    i, j = edges_2E
    bonded_L = np.diff(index_L) == 1  # residue i with i + 1
    side_L3 = _sides(ca_L3, bonded_L)
    distance_E, along_E = apart_LL[i, j], along_LL[i, j]
    d_E3 = (ca_L3[j] - ca_L3[i]) / np.maximum(distance_E, 1e-3)[:, None]
    n_E3, m_E3 = side_L3[i], side_L3[j]
    bond_E = np.where(np.abs(along_E) == 1, (distance_E - BOND) / BOND, 0)
    edge_EF = np.stack(
        [_dot(n_E3, d_E3), _dot(m_E3, d_E3), _dot(n_E3, m_E3), _dot(np.cross(n_E3, d_E3), m_E3), bond_E.clip(-1, 3)],
        axis=1,
    )
    near_L, far_L = ((apart_LL <= shell).sum(axis=1) - 1 for shell in (NEAR, FAR))
    within_E = distance_E <= FAR
    ahead_L = np.bincount(i[within_E], weights=edge_EF[within_E, 0] > 0, minlength=len(ca_L3)) / np.maximum(far_L, 1)
    shells_L3 = np.stack([near_L / 10, far_L / 25, ahead_L], axis=1)
    node_LF = np.concatenate([_chain_features(ca_L3, bonded_L), _phi_psi(backbone_L43, bonded_L), shells_L3], axis=1)
    gyration = np.sqrt(np.square(ca_L3 - ca_L3.mean(axis=0)).sum(axis=1).mean())
    size = len(ca_L3)
    shape_F = [np.log(size / 100), gyration / (2.2 * size**0.38) - 1, near_L.mean() / 10, far_L.mean() / 25]
    global_F = np.concatenate([shape_F, node_LF.mean(axis=0), node_LF.std(axis=0)])
    floats = [array.astype(np.float32) for array in (distance_E, edge_EF, node_LF, global_F)]
    return ResidueGraph(edges_2E, floats[0], separation_bins(along_E), *floats[1:])


def separation_bins(along_E: np.ndarray) -> np.ndarray:
    """Bins of signed distances along the chain, in 0 .. 15: those towards the start first.

    >>> separation_bins(np.array([-40, -1, 1, 2, 7, 99])).tolist()
    [7, 0, 8, 9, 13, 15]
    """
    bins_E = np.searchsorted(SEPARATIONS, np.abs(along_E))
    return bins_E + (along_E > 0) * (len(SEPARATIONS) + 1)


def torsion(a_P3: np.ndarray, b_P3: np.ndarray, c_P3: np.ndarray, d_P3: np.ndarray) -> np.ndarray:
    """Torsion about b-c in radians, IUPAC's sign; NaN where an atom is missing.

    >>> ends = np.array([[[1.0, 0, 0]], [[0, 0, 0]], [[0, 0, 1]], [[0, 1, 1]]])
    >>> torsion(*ends).round(6).tolist()
    [1.570796]
    """
    axis_P3 = c_P3 - b_P3
    one_P3, two_P3 = np.cross(b_P3 - a_P3, axis_P3), np.cross(axis_P3, d_P3 - c_P3)
    return np.arctan2(_dot(one_P3, d_P3 - c_P3) * np.linalg.norm(axis_P3, axis=-1), _dot(one_P3, two_P3))


def _sides(ca_L3: np.ndarray, bonded_L: np.ndarray) -> np.ndarray:
    """Unit vectors from the middle of both neighbours to C-alpha; 0 where a neighbour is missing."""
    side_L3 = np.zeros_like(ca_L3)
    both_L = bonded_L[1:] & bonded_L[:-1]
    side_L3[1:-1] = np.where(both_L[:, None], ca_L3[1:-1] - (ca_L3[2:] + ca_L3[:-2]) / 2, 0)
    return side_L3 / np.maximum(np.linalg.norm(side_L3, axis=1), 1e-3)[:, None]


def _chain_features(ca_L3: np.ndarray, bonded_L: np.ndarray) -> np.ndarray:
    """Virtual bond angle, virtual torsion, deviations of virtual bonds, and whether they are there; (L, 6)."""
    found_L6 = np.zeros((len(ca_L3), 6))
    step_L3 = np.diff(ca_L3, axis=0)
    size_L = np.linalg.norm(step_L3, axis=1)
    off_L = np.where(bonded_L, (size_L - BOND) / BOND, 0).clip(-1, 3)
    cosine_L = _dot(step_L3[1:], step_L3[:-1]) / np.maximum(size_L[1:] * size_L[:-1], 1e-3)
    found_L6[1:-1, 0] = np.where(bonded_L[1:] & bonded_L[:-1], cosine_L, 0)
    if len(ca_L3) > 3:
        turn_L = torsion(ca_L3[:-3], ca_L3[1:-2], ca_L3[2:-1], ca_L3[3:])
        whole_L = bonded_L[2:] & bonded_L[1:-1] & bonded_L[:-2]
        found_L6[1:-2, 1:3] = np.where(whole_L[:, None], np.stack([np.sin(turn_L), np.cos(turn_L)], axis=1), 0)
    found_L6[:-1, 3], found_L6[1:, 4] = off_L, off_L
    found_L6[:-1, 5] += 0.5 * bonded_L
    found_L6[1:, 5] += 0.5 * bonded_L
    return found_L6


def _phi_psi(backbone_L43: np.ndarray, bonded_L: np.ndarray) -> np.ndarray:
    """Sines and cosines of phi and psi, and what share of the two is known; (L, 5)."""
    n_L3, ca_L3, c_L3 = (backbone_L43[:, atom].astype(np.float64) for atom in (N, CA, C))
    angle_L2 = np.full((len(ca_L3), 2), np.nan)
    angle_L2[1:, 0] = np.where(bonded_L, torsion(c_L3[:-1], n_L3[1:], ca_L3[1:], c_L3[1:]), np.nan)
    angle_L2[:-1, 1] = np.where(bonded_L, torsion(n_L3[:-1], ca_L3[:-1], c_L3[:-1], n_L3[1:]), np.nan)
    known_L1 = np.isfinite(angle_L2).mean(axis=1, keepdims=True)
    return np.concatenate([np.nan_to_num(np.sin(angle_L2)), np.nan_to_num(np.cos(angle_L2)), known_L1], axis=1)


def _dot(a_P3: np.ndarray, b_P3: np.ndarray) -> np.ndarray:
    return (a_P3 * b_P3).sum(axis=-1)
