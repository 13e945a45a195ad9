"""Heads of pre-training: only those in use, and the vectors of both denoising heads turn with the structure."""

import pytest
import torch

from protray.losses.diffusion import as_vectors, pairs_of
from protray.models.joint.objective_heads import FrameNoiseHead, ObjectiveHeads, PairNoiseHead

TERMS = {
    "residue": (1, 20), "distance": (2, 1), "angle": (3, 8), "dihedral": (4, 16), "contrast": (1, 6),
    "siamdiff_sequence": (1, 20),
}  # fmt: skip


def turn() -> torch.Tensor:
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    return rotation * torch.linalg.det(rotation)


@pytest.mark.parametrize("term", TERMS)
def test_what_heads_read_and_say(term) -> None:
    reads, outputs = TERMS[term]
    heads = ObjectiveHeads(6, [term])
    assert heads(term, *torch.randn(reads, 5, 6)).shape == (5, outputs)
    assert [parameter.shape for parameter in heads.parameters()] == [(6, 6 * reads), (6,), (outputs, 6), (outputs,)]


def test_no_head_without_a_term() -> None:
    heads = ObjectiveHeads(6, ["siamdiff_structure", "dihedral"], dihedral_bins=8)
    assert set(heads.of) == {"siamdiff_structure", "dihedral"}
    assert heads("dihedral", *torch.randn(4, 2, 6)).shape == (2, 8)


@pytest.mark.parametrize("channels", [6, 1024])
def test_pairs_read_both_residues_and_their_distance(channels) -> None:
    """a_ij from z_i * z_j: the same for (0, 1) and (1, 0) at the same distance, another at another."""
    torch.manual_seed(0)
    head, z_BLC = PairNoiseHead(channels), torch.randn(1, 3, channels)
    idx_BLK, distance_BLK = torch.tensor([[[1, 2], [0, 2], [0, 1]]]), torch.tensor([[[4.0, 5], [4, 6], [7, 6]]])
    a_BLK = head(z_BLC, idx_BLK, distance_BLK)
    assert a_BLK.shape == (1, 3, 2)
    assert torch.isclose(a_BLK[0, 0, 0], a_BLK[0, 1, 0]) and torch.isclose(a_BLK[0, 1, 1], a_BLK[0, 2, 1])
    assert not torch.isclose(a_BLK[0, 0, 1], a_BLK[0, 2, 0])  # 5 Å against 7 Å
    other_BLC = z_BLC.clone()
    other_BLC[0, 2] += 1
    assert torch.equal(head(other_BLC, idx_BLK, distance_BLK)[0, 0, 0], a_BLK[0, 0, 0])
    assert not torch.isclose(head(other_BLC, idx_BLK, distance_BLK)[0, 0, 1], a_BLK[0, 0, 1])


def test_neighbours_are_those_of_the_same_protein() -> None:
    torch.manual_seed(0)
    head, z_BLC = PairNoiseHead(4).double(), torch.randn(2, 3, 4, dtype=torch.float64)
    idx_BLK, distance_BLK = torch.randint(3, (2, 3, 2)), torch.rand(2, 3, 2, dtype=torch.float64)
    both = head(z_BLC, idx_BLK, distance_BLK)
    alone = [head(z_BLC[row : row + 1], idx_BLK[row : row + 1], distance_BLK[row : row + 1]) for row in (0, 1)]
    assert torch.allclose(both, torch.cat(alone), atol=1e-12)


def test_vectors_of_pairs_turn_with_the_structure() -> None:
    torch.manual_seed(1)
    head, z_BLC = PairNoiseHead(4).double(), torch.randn(1, 6, 4, dtype=torch.float64)
    xyz_BL3, idx_BLK = torch.randn(1, 6, 3, dtype=torch.float64), torch.randint(6, (1, 6, 3))
    kept_BLK, rotation = idx_BLK != torch.arange(6)[:, None], turn()

    def vectors(at_BL3: torch.Tensor) -> torch.Tensor:
        distance_BLK, unit_BLK3 = pairs_of(at_BL3, idx_BLK)
        return as_vectors(head(z_BLC, idx_BLK, distance_BLK), unit_BLK3, kept_BLK)

    assert torch.allclose(vectors(xyz_BL3 @ rotation.T + 100), vectors(xyz_BL3) @ rotation.T, atol=1e-12)


def test_vectors_of_frames_turn_with_the_structure_and_need_a_frame() -> None:
    """R of columns x, y, z: the answer (1, 2, 3) in a frame turned by 90 degrees about z is (-2, 1, 3)."""
    head, z_BLC = FrameNoiseHead(4).double(), torch.randn(1, 3, 4, dtype=torch.float64)
    last = head.in_frame[2]
    assert isinstance(last, torch.nn.Linear) and last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([1.0, 2, 3]))
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    rotation_BL33 = torch.stack([torch.eye(3, dtype=torch.float64), quarter, torch.zeros(3, 3, dtype=torch.float64)])
    assert head(z_BLC, rotation_BL33[None]).tolist() == [[[1, 2, 3], [-2, 1, 3], [0, 0, 0]]]
