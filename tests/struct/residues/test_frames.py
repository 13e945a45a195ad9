"""Frames of residues: by hand, the identities of Euler angles, and what happens where there is no frame."""

import math
from dataclasses import replace

import pytest
import torch
from structure_batches import moved, protein, without
from torch import Tensor

from protray.models.structure.structure_batch import StructureBatch
from protray.struct.residues.atom14 import CA, C, N, O
from protray.struct.residues.frames import BACKBONE, NONE, TRACE, Frames, euler_angles, frames

MIRROR_33 = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))


def frames_of(batch: StructureBatch) -> Frames:
    return frames(batch.atoms_BLA3, batch.present_BLA, batch.index_BL, batch.chain_BL, batch.real_BL)


def about_z(angle: Tensor) -> Tensor:
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=-1).unflatten(-1, (3, 3))


def about_x(angle: Tensor) -> Tensor:
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([one, zero, zero, zero, c, -s, zero, s, c], dim=-1).unflatten(-1, (3, 3))


def rotations(count: int) -> Tensor:
    q_33, _ = torch.linalg.qr(torch.randn(count, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    return q_33 * torch.linalg.det(q_33)[:, None, None]


def same_angle(one: Tensor, other: Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(
        (one - other + math.pi) % (2 * math.pi), torch.full_like(one, math.pi), atol=atol, rtol=0
    )


def test_a_frame_by_hand() -> None:
    """N above CA, C to the right: y points up, z out of the page, x to the right."""
    one = protein(1)
    atoms_BLA3 = torch.zeros_like(one.atoms_BLA3)
    atoms_BLA3[0, 0, N], atoms_BLA3[0, 0, C] = torch.tensor([0.0, 1, 0]), torch.tensor([1.0, 0, 0])
    found = frames_of(replace(one, atoms_BLA3=atoms_BLA3 + 7))
    x_3, y_3, z_3 = found.rotation_BL33[0, 0].mT.tolist()
    # z = t x y = (1, 0, 0) x (0, 1, 0)
    assert (x_3, y_3, z_3) == ([1, 0, 0], [0, 1, 0], [0, 0, 1])
    assert found.origin_BL3[0, 0].tolist() == [7, 7, 7] and found.kind_BL.tolist() == [[BACKBONE]]


def to_next(axes_L33: torch.Tensor) -> torch.Tensor:
    """M = R_i^T R_j of each residue and the next."""
    return axes_L33[:-1].mT @ axes_L33[1:]


def test_frames_are_rotations_and_turn_with_the_protein() -> None:
    one = protein(30)
    found, turned = frames_of(one), frames_of(moved(one, shift=100.0))
    axes_L33 = found.rotation_BL33[0]
    torch.testing.assert_close(axes_L33.mT @ axes_L33, torch.eye(3, dtype=torch.float64).expand(30, 3, 3))
    assert (torch.linalg.det(axes_L33) > 0.99).all()
    torch.testing.assert_close(to_next(turned.rotation_BL33[0]), to_next(axes_L33))


def test_without_n_or_c_the_trace_takes_its_place() -> None:
    """Residues 0 and 7 are ends; behind 3 the chain is broken, so that 3 and 4 lack a neighbour."""
    one = without(protein(8), [N], [0, 2, 3])
    one = replace(without(one, [C], [4, 7]), index_BL=torch.tensor([[0, 1, 2, 3, 9, 10, 11, 12]]))
    found = frames_of(one)
    assert found.kind_BL.tolist() == [[NONE, BACKBONE, TRACE, NONE, NONE, BACKBONE, BACKBONE, NONE]]
    assert not found.rotation_BL33[0, [0, 3, 4, 7]].any()
    ca_L3 = one.ca_BL3[0]
    y_3 = torch.nn.functional.normalize(ca_L3[1] - ca_L3[2], dim=0)
    z_3 = torch.nn.functional.normalize(torch.linalg.cross(ca_L3[3] - ca_L3[2], y_3), dim=0)
    torch.testing.assert_close(found.rotation_BL33[0, 2], torch.stack([torch.linalg.cross(y_3, z_3), y_3, z_3], dim=1))


def test_neither_another_chain_nor_padding_gives_a_trace() -> None:
    one = without(protein(6), [N, C, O])
    two_chains = replace(one, chain_BL=torch.tensor([[0, 0, 0, 1, 1, 1]]))
    assert frames_of(two_chains).kind_BL.tolist() == [[NONE, TRACE, NONE, NONE, TRACE, NONE]]
    padded = replace(one, real_BL=torch.tensor([[True] * 4 + [False] * 2]))
    assert frames_of(padded).kind_BL.tolist() == [[NONE, TRACE, TRACE, NONE, NONE, NONE]]


@pytest.mark.parametrize("place", ["line", "on the same spot"])
def test_atoms_on_a_line_give_no_frame(place) -> None:
    one = protein(1)
    atoms_BLA3 = one.atoms_BLA3.clone()
    step_3 = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) * (place == "line")
    atoms_BLA3[0, 0, N], atoms_BLA3[0, 0, C] = atoms_BLA3[0, 0, CA] - step_3, atoms_BLA3[0, 0, CA] + 2 * step_3
    found = frames_of(replace(one, atoms_BLA3=atoms_BLA3))
    assert found.kind_BL.tolist() == [[NONE]] and not found.rotation_BL33.any()


def test_euler_angles_by_hand() -> None:
    quarter = torch.tensor(math.pi / 2, dtype=torch.float64)
    t1, t2, t3 = euler_angles(about_z(quarter))
    assert (t1 + t3).item() == pytest.approx(math.pi / 2) and t2.item() == pytest.approx(0) and t3.item() == 0
    t1, t2, t3 = euler_angles(about_x(quarter))
    assert t2.item() == pytest.approx(math.pi / 2) and t1.item() == pytest.approx(0) and t3.item() == pytest.approx(0)


def test_euler_angles_give_the_rotation_back() -> None:
    m_33 = rotations(500)
    t1, t2, t3 = euler_angles(m_33)
    torch.testing.assert_close(about_z(t1) @ about_x(t2) @ about_z(t3), m_33, atol=1e-12, rtol=0)


@pytest.mark.parametrize("tilt", [0.0, 1e-5, math.pi - 1e-5, math.pi])
def test_where_only_the_sum_of_angles_exists_it_is_the_first(tilt) -> None:
    """Of frames whose z axes point the same way, and of those that point to one another (the difference then)."""
    t1, t3 = torch.tensor([0.3, -2.0, 3.0]).double(), torch.tensor([0.5, 0.4, 1.0]).double()
    m_33 = about_z(t1) @ about_x(torch.full_like(t1, tilt)) @ about_z(t3)
    found1, found2, found3 = euler_angles(m_33)
    same_angle(found1, t1 + t3 if tilt < 1 else t1 - t3, atol=1e-4)
    torch.testing.assert_close(found2, torch.full_like(t1, tilt), atol=1e-7, rtol=0)
    assert not found3.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_euler_angles_are_finite(dtype) -> None:
    flipped_33 = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    tilts = about_x(torch.tensor([0.0, 1e-9, 1e-4, 0.9e-3, 1.1e-3, 1.0])).to(dtype)
    m_33 = torch.cat([torch.stack([torch.eye(3), flipped_33, torch.zeros(3, 3)]).to(dtype), tilts])
    m_33.requires_grad_(True)
    angles = torch.stack(euler_angles(m_33))
    angles.sum().backward()
    assert angles.isfinite().all() and m_33.grad is not None and m_33.grad.isfinite().all()
    assert angles[:, 2].tolist() == pytest.approx([0, 0, 0], abs=1e-9)  # no frame: no turn


def test_the_reversed_pair_and_the_mirror_image() -> None:
    m_33 = rotations(200)
    t1, t2, t3 = euler_angles(m_33)
    back1, back2, back3 = euler_angles(m_33.mT)
    same_angle(back1, math.pi - t3)
    same_angle(back2, t2)
    same_angle(back3, math.pi - t1)
    other1, other2, other3 = euler_angles(MIRROR_33 @ m_33 @ MIRROR_33)
    same_angle(other1, t1 + math.pi)
    same_angle(other2, t2)
    same_angle(other3, t3 + math.pi)


def test_the_mirror_image_of_a_protein_turns_its_rotations_so() -> None:
    """M becomes S M S with S = diag(1, 1, -1): no axis of a frame but z is a pseudo-vector."""
    one = protein(10)
    there, here = (frames_of(moved(one, mirror=flip)).rotation_BL33[0] for flip in (True, False))
    torch.testing.assert_close(to_next(there), MIRROR_33 @ to_next(here) @ MIRROR_33)
