import numpy as np
import pytest

from protray.data.structure.structures import read_structures
from protray.struct.from_distances import coordinates_from_distances, right_handed


def test_distances_give_the_structure_back() -> None:
    rng = np.random.default_rng(0)
    xyz_L3 = rng.standard_normal((30, 3)) * 10
    dist_LL = np.linalg.norm(xyz_L3[:, None] - xyz_L3[None], axis=2)
    found_L3 = coordinates_from_distances(dist_LL)
    np.testing.assert_allclose(np.linalg.norm(found_L3[:, None] - found_L3[None], axis=2), dist_LL, atol=1e-6)


def test_distances_of_no_structure_are_refused() -> None:
    with pytest.raises(ValueError, match="no structure has these distances"):
        coordinates_from_distances(np.array([[0.0, 1, 1], [1, 0, 50], [1, 50, 0]]))
    with pytest.raises(ValueError, match="2 of 4 distances are not finite"):
        coordinates_from_distances(np.array([[0.0, np.nan], [np.nan, 0]]))


def test_helices_become_right_handed() -> None:
    """A helix of 3.6 residues and 5.4 Å a turn, radius 2.3 Å: counter-clockwise upwards is right-handed."""
    turn_L = np.arange(12) * np.radians(100)
    helix_L3 = np.stack([2.3 * np.cos(turn_L), 2.3 * np.sin(turn_L), 1.5 * np.arange(12)], axis=1)
    np.testing.assert_array_equal(right_handed(helix_L3), helix_L3)
    mirrored_L3 = helix_L3 * [1, 1, -1]
    np.testing.assert_array_equal(right_handed(mirrored_L3), -mirrored_L3)


def test_most_chains_of_the_sample_keep_their_hand() -> None:
    chains = read_structures(split="test")
    kept = [np.array_equal(right_handed(ca_L3), ca_L3) for ca_L3 in (chains.chain(m).ca_L3 for m in range(len(chains)))]
    assert np.mean(kept) > 0.95
