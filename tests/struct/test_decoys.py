"""Derived decoys: what each kind keeps, that they are the same for the same (seed, id, number), and how far they go."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from protray.data.sample import SAMPLE
from protray.data.structure.structures import stored_backbone
from protray.struct.compare.model_scores import score_model
from protray.struct.decoys import CA, KINDS, DecoyConfig, derive, rotate, smooth_moves, swing_stretches, turn_torsions


def natives(count: int) -> list[tuple[str, str, np.ndarray]]:
    """Id, sequence and backbone of chains of the sample."""
    rows = pq.read_table(SAMPLE, columns=["id", "sequence", "backbone_cA"]).to_pylist()[:: 1000 // count][:count]
    return [(row["id"], row["sequence"], stored_backbone(np.array(row["backbone_cA"], dtype=np.int16))) for row in rows]


def bonds(backbone_L43: np.ndarray) -> np.ndarray:
    """Lengths of all bonds of the backbone: N-CA, CA-C, C-O, C-N, in Å."""
    n_L3, ca_L3, c_L3, o_L3 = backbone_L43.astype(np.float64).transpose(1, 0, 2)
    pairs = [(n_L3, ca_L3), (ca_L3, c_L3), (c_L3, o_L3), (c_L3[:-1], n_L3[1:])]
    return np.concatenate([np.linalg.norm(a - b, axis=1) for a, b in pairs])


def angles(backbone_L43: np.ndarray) -> np.ndarray:
    """Of N-CA-C, CA-C-N and C-N-CA along the chain."""
    chain_P3 = backbone_L43[:, :3].reshape(-1, 3).astype(np.float64)
    one, two = chain_P3[:-2] - chain_P3[1:-1], chain_P3[2:] - chain_P3[1:-1]
    return np.arccos((one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1))


def torsions(backbone_L43: np.ndarray) -> np.ndarray:
    """Every torsion along N, CA, C, N, ...: psi, omega, phi, psi, ..., in radians."""
    chain_P3 = backbone_L43[:, :3].reshape(-1, 3).astype(np.float64)
    b_P3 = np.diff(chain_P3, axis=0)
    one, two = np.cross(b_P3[:-2], b_P3[1:-1]), np.cross(b_P3[1:-1], b_P3[2:])
    side = (one * b_P3[2:]).sum(1) * np.linalg.norm(b_P3[1:-1], axis=1)
    return np.arctan2(side, (one * two).sum(1))


def test_rotation_by_hand() -> None:
    """A quarter turn about the line x = 1 along z takes (2, 0, 5) to (1, 1, 5)."""
    turned = rotate(np.array([[2.0, 0, 5]]), np.array([1.0, 0, 0]), np.array([1.0, 0, 9]), np.pi / 2)
    assert turned[0] == pytest.approx([1, 1, 5])


def test_torsion_moves_keep_bonds_and_angles_and_turn_each_torsion_by_its_change() -> None:
    """Torsions run psi_1, omega, phi_2, psi_2, ...; the first phi and the last psi have no atoms on one side."""
    _, _, backbone_L43 = natives(1)[0]
    backbone_L43 = backbone_L43.astype(np.float64)
    change_L2 = np.random.default_rng(0).normal(0, 0.2, (len(backbone_L43), 2))
    made_L43 = turn_torsions(backbone_L43, change_L2)
    np.testing.assert_allclose(bonds(made_L43), bonds(backbone_L43), atol=1e-6)
    np.testing.assert_allclose(angles(made_L43), angles(backbone_L43), atol=1e-6)
    turned = torsions(made_L43) - torsions(backbone_L43)
    turned = (turned + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(turned[0::3], change_L2[:-1, 1], atol=1e-6)
    np.testing.assert_allclose(turned[1::3], 0, atol=1e-6)
    np.testing.assert_allclose(turned[2::3], change_L2[1:, 0], atol=1e-6)


def test_shifts_keep_bonds_and_leave_the_rest_in_place() -> None:
    _, _, backbone_L43 = natives(1)[0]
    backbone_L43 = backbone_L43.astype(np.float64)
    made_L43 = swing_stretches(backbone_L43, 0.8, np.random.default_rng(3))
    np.testing.assert_allclose(bonds(made_L43), bonds(backbone_L43), atol=1e-6)
    moved_L = np.linalg.norm((made_L43 - backbone_L43)[:, CA], axis=1) > 1e-6
    assert 0 < moved_L.sum() < len(moved_L)


def test_noise_is_as_large_as_asked_and_alike_for_neighbours() -> None:
    moves_L3 = smooth_moves(40_000, 2.0, np.random.default_rng(0))
    assert moves_L3.std() == pytest.approx(2 * np.hypot(0.9, 0.1), rel=0.02)
    next_to = (moves_L3[1:] * moves_L3[:-1]).mean() / moves_L3.var()
    far = (moves_L3[30:] * moves_L3[:-30]).mean() / moves_L3.var()
    assert next_to > 0.9 and abs(far) < 0.05


@pytest.mark.parametrize("number", range(6))
def test_seed_id_and_number_decide(number) -> None:
    id, _, backbone_L43 = natives(1)[0]
    made = derive(id, number, backbone_L43, DecoyConfig(), seed=1)
    assert made.kind == KINDS[number % 3]
    np.testing.assert_array_equal(
        derive(id, number, backbone_L43, DecoyConfig(), seed=1).backbone_L43, made.backbone_L43
    )
    for other in (derive(id, number, backbone_L43, DecoyConfig(), 2), derive("x", number, backbone_L43, DecoyConfig())):
        assert not np.array_equal(other.backbone_L43, made.backbone_L43)


def test_all_qualities_are_there() -> None:
    """From hardly like the native to like it, in each kind; and the larger the amount, the worse."""
    scores: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for id, sequence, backbone_L43 in natives(12):
        for number in range(6):
            made = derive(id, number, backbone_L43, DecoyConfig())
            found = score_model(sequence, made.backbone_L43[:, CA], sequence, backbone_L43[:, CA])
            scores[made.kind].append((made.amount, found.gdt_ts))
    everything = [score for kind in KINDS for _, score in scores[kind]]
    assert min(everything) < 0.35 and max(everything) > 0.97
    assert 0.5 < np.mean(everything) < 0.8
    for kind in KINDS:
        amount, score = np.array(scores[kind]).T
        assert np.corrcoef(np.log(amount), score)[0, 1] < -0.3
        assert score.min() < 0.75 and score.max() > 0.95


def test_what_cannot_be_used_is_refused() -> None:
    _, _, backbone_L43 = natives(1)[0]
    broken_L43 = backbone_L43.copy()
    broken_L43[5, 2] = np.nan
    with pytest.raises(ValueError, match="native 'n' has residues without N, CA or C"):
        derive("n", 0, broken_L43, DecoyConfig())
    with pytest.raises(ValueError, match="noise is a range from above 0, got 3 to 1"):
        DecoyConfig(noise=(3, 1))
