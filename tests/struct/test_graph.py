"""Residue graphs: edges and angles by hand, and what rigid motions and mirrors do to them."""

import numpy as np
import pytest

from protray.struct.graph import EDGE_FEATURES, GLOBAL_FEATURES, NODE_FEATURES, residue_graph, separation_bins, torsion


def ca_only(ca_L3: np.ndarray) -> np.ndarray:
    backbone_L43 = np.full((len(ca_L3), 4, 3), np.nan)
    backbone_L43[:, 1] = ca_L3
    return backbone_L43


def random_backbone(length: int = 30, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steps_L3 = rng.standard_normal((length, 3))
    ca_L3 = np.cumsum(3.8 * steps_L3 / np.linalg.norm(steps_L3, axis=1, keepdims=True), axis=0)
    return ca_L3[:, None] + rng.normal(0, 1, (length, 4, 3))


def rotation(seed: int = 0) -> np.ndarray:
    q_33, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    return q_33 * np.sign(np.linalg.det(q_33))


def test_edges_by_hand() -> None:
    """On a line 10 Å apart: only neighbours within 12 Å, and two hops along the chain; over a gap there are none."""
    ca_L3 = np.array([[10.0 * place, 0, 0] for place in range(5)])
    graph = residue_graph(ca_only(ca_L3), np.array([0, 1, 2, 9, 10]), radius=12, hops=2)
    assert sorted(map(tuple, graph.edges_2E.T.tolist())) == [
        (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 3), (3, 2), (3, 4), (4, 3),
    ]  # fmt: skip
    assert graph.distance_E.tolist() == [10, 20, 10, 10, 20, 10, 10, 10, 10, 10]


def test_separation_bins() -> None:
    assert separation_bins(np.array([-1, -3, -6, -16, 1, 3, 6, 16])).tolist() == [0, 2, 5, 7, 8, 10, 13, 15]


def test_angles_of_an_edge_by_hand() -> None:
    """Zigzag: side vectors of residues 1 and 2 point up and down; the edge from 1 to 2 is half a step to the right."""
    ca_L3 = np.array([[0.0, 0, 0], [2, 2, 0], [4, 0, 0], [6, 2, 0]])
    graph = residue_graph(ca_only(ca_L3), np.arange(4))
    edge = graph.edges_2E.T.tolist().index([1, 2])
    down = -np.sqrt(0.5)  # the edge goes right and down: with "up" it makes 135 degrees, with "down" 45
    assert graph.edge_EF[edge, :4] == pytest.approx([down, -down, -1, 0])
    assert graph.edge_EF[edge, 4] == pytest.approx((np.sqrt(8) - 3.8) / 3.8)


def test_phi_and_psi_of_a_known_backbone() -> None:
    """Torsions by their definition: IUPAC's -90 degrees is counter-clockwise, seen along the bond."""
    points = np.array([[[1.0, 0, 0]], [[0, 0, 0]], [[0, 0, 1]], [[0, -1, 1]]])
    assert np.degrees(torsion(*points)) == pytest.approx([-90])
    backbone_L43 = random_backbone(3)
    graph = residue_graph(backbone_L43, np.arange(3))
    phi = torsion(backbone_L43[:1, 2], backbone_L43[1:2, 0], backbone_L43[1:2, 1], backbone_L43[1:2, 2])[0]
    assert graph.node_LF[1, 6] == pytest.approx(np.sin(phi), abs=1e-6)
    assert graph.node_LF[:, 10].tolist() == [0.5, 1, 0.5]  # known: psi, both, phi


def test_a_rigid_motion_changes_nothing_and_a_mirror_does() -> None:
    backbone_L43, index_L = random_backbone(), np.arange(30)
    graph = residue_graph(backbone_L43, index_L)
    moved = residue_graph(backbone_L43 @ rotation() + [5, -30, 100], index_L)
    mirror = residue_graph(backbone_L43 * [1, 1, -1], index_L)
    for name in ("edges_2E", "distance_E", "edge_EF", "node_LF", "global_F"):
        np.testing.assert_allclose(getattr(moved, name), getattr(graph, name), atol=1e-4)
    assert np.abs(mirror.edge_EF - graph.edge_EF).max() > 0.5
    assert np.abs(mirror.node_LF - graph.node_LF).max() > 0.5


def test_sizes_and_a_chain_of_c_alpha_alone() -> None:
    backbone_L43 = random_backbone(12)
    backbone_L43[:, [0, 2, 3]] = np.nan
    graph = residue_graph(backbone_L43, np.arange(12))
    count = graph.edges_2E.shape[1]
    assert graph.edge_EF.shape == (count, EDGE_FEATURES) and graph.node_LF.shape == (12, NODE_FEATURES)
    assert graph.global_F.shape == (GLOBAL_FEATURES,)
    assert np.isfinite(graph.node_LF).all() and not graph.node_LF[:, 6:11].any()


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_shortest_chains(length) -> None:
    graph = residue_graph(random_backbone(length), np.arange(length))
    assert graph.edges_2E.shape == (2, length * (length - 1))
    assert np.isfinite(graph.node_LF).all()


def test_a_residue_without_c_alpha_is_refused() -> None:
    backbone_L43 = random_backbone(5)
    backbone_L43[2, 1] = np.nan
    with pytest.raises(ValueError, match="residues without C-alpha atom"):
        residue_graph(backbone_L43, np.arange(5))
