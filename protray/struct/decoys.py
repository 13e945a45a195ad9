"""Derived decoys: native backbones, put wrong in ways that keep them protein-like.

They are no predictions of any program, and whoever reports on them has to say so.  Three kinds:

``torsion``  every phi and psi is off by a little, so that errors add up along the chain; a few are hinges, off by more
``shift``    some stretches are swung about the axis through the C-alpha atoms at their ends, the rest stays in place
``noise``    residues are moved as rigid bodies by noise that is smooth along the chain, with a little that is not

The first keeps all bond lengths and angles, the second all bond lengths, the third neither.  Atoms may clash: nothing
is relaxed afterwards.

Shape key:  L residues   4 backbone atoms (N, CA, C, O)   P points   3 x, y, z in Å
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from protray.seq.keyed import generator

Kind = Literal["torsion", "shift", "noise"]
KINDS: tuple[Kind, ...] = get_args(Kind)

N, CA, C, O = range(4)  # noqa: E741  (the atom's name)
HINGES = 3  # at most, in a chain
LONGEST_SHIFT = 25  # residues
SMOOTH = 4.0  # residues over which smooth noise stays alike
ROUGH = 0.1  # of the noise that is of each residue by itself


@dataclass(frozen=True, kw_only=True)
class DecoyConfig:
    """How far decoys may be from their natives; the amount of each is drawn evenly in its logarithm."""

    torsion: tuple[float, float] = (0.5, 16.0)
    """Standard deviation of changes of phi and psi, degrees."""
    hinge: float = 6.0
    """Times as large at the hinges."""
    shift: tuple[float, float] = (15.0, 150.0)
    """Standard deviation of the angle by which stretches are swung, degrees."""
    noise: tuple[float, float] = (0.3, 8.0)
    """Standard deviation of moves, Å per coordinate."""

    def __post_init__(self) -> None:
        for name in KINDS:
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} is a range from above 0, got {low} to {high}")


@dataclass(frozen=True)
class Decoy:
    """A derived structure and how it came about."""

    kind: Kind
    amount: float  # degrees, or Å for noise
    backbone_L43: np.ndarray  # float32


def derive(id: str, number: int, backbone_L43: np.ndarray, config: DecoyConfig, seed: int = 0) -> Decoy:
    """Make decoy `number` of a native; all that is random follows from (seed, id, number).

    Kinds take turns, so a target with many decoys has as many of each.

    Raises
    ------
    ValueError
        If N, CA or C of a residue is missing.

    Examples
    --------
    >>> native_L43 = np.arange(60.0).reshape(5, 4, 3) ** 1.1
    >>> one, again = (derive("1abc", 2, native_L43, DecoyConfig()) for _ in range(2))
    >>> one.kind, bool((one.backbone_L43 == again.backbone_L43).all())
    ('noise', True)
    """
    if not np.isfinite(backbone_L43[:, :3]).all():
        raise ValueError(f"native {id!r} has residues without N, CA or C; decoys need whole backbones")
    rng = generator(seed, "decoy", id, number)
    kind = KINDS[number % len(KINDS)]
    low, high = getattr(config, kind)
    amount = float(low * (high / low) ** rng.random())
    made_L43 = backbone_L43.astype(np.float64)
    if kind == "torsion":
        made_L43 = turn_torsions(made_L43, draw_torsions(len(made_L43), np.radians(amount), config.hinge, rng))
    elif kind == "shift":
        made_L43 = swing_stretches(made_L43, np.radians(amount), rng)
    else:
        made_L43 = made_L43 + smooth_moves(len(made_L43), amount, rng)[:, None, :]
    return Decoy(kind, amount, made_L43.astype(np.float32))


def draw_torsions(length: int, sd: float, hinge: float, rng: np.random.Generator) -> np.ndarray:
    """Changes of phi and psi in radians, shape (L, 2); up to three residues are hinges."""
    change_L2 = rng.normal(0, sd, (length, 2))
    change_L2[rng.choice(length, min(length, int(rng.integers(HINGES + 1))), replace=False)] *= hinge
    return change_L2


def turn_torsions(backbone_L43: np.ndarray, change_L2: np.ndarray) -> np.ndarray:
    """Add to phi (about N-CA) and psi (about CA-C) of each residue; all that comes behind turns as one body.

    Every bond length and angle stays, and so do the other torsions: only the ends of a bond can tell that it turned.
    """
    made_L43 = backbone_L43.copy()
    middle = len(made_L43) // 2  # from the middle to both ends, so that neither end is far from where it was
    points_P3 = made_L43.reshape(-1, 3)
    for i in range(middle, len(made_L43)):
        _turn(points_P3, i, CA, change_L2[i, 0], N, 4 * i + C)
        _turn(points_P3, i, C, change_L2[i, 1], CA, 4 * i + O)
    for i in range(middle - 1, -1, -1):  # the same change of an angle, seen from its other side
        _turn_before(points_P3, i, CA, C, -change_L2[i, 1], 4 * i + CA)
        _turn_before(points_P3, i, N, CA, -change_L2[i, 0], 4 * i + N)
    return points_P3.reshape(-1, 4, 3)


def _turn(points_P3: np.ndarray, i: int, end: int, angle: float, start: int, first: int) -> None:
    """Turn the points from number `first` on about the bond from atom `start` to atom `end` of residue i."""
    points_P3[first:] = rotate(points_P3[first:], points_P3[4 * i + start], points_P3[4 * i + end], angle)


def _turn_before(points_P3: np.ndarray, i: int, start: int, end: int, angle: float, last: int) -> None:
    """Turn the points before number `last` about the same bond."""
    points_P3[:last] = rotate(points_P3[:last], points_P3[4 * i + start], points_P3[4 * i + end], angle)


def swing_stretches(backbone_L43: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Swing stretches of up to 25 residues about the axis through the C-alpha atoms at their ends.

    Only the angles at the two ends change, and nothing outside of the stretch.
    """
    made_L43 = backbone_L43.copy()
    length = len(made_L43)
    for _ in range(1 + int(rng.integers(max(1, length // 12)))):
        size = int(rng.integers(3, max(4, min(LONGEST_SHIFT, length - 1) + 1)))
        i = int(rng.integers(max(1, length - size)))
        j = min(i + size, length - 1)
        inside = slice(4 * i + C, 4 * j + CA)  # C and O of residue i ... N of residue j
        points_P3 = made_L43.reshape(-1, 3)
        points_P3[inside] = rotate(points_P3[inside], made_L43[i, CA], made_L43[j, CA], rng.normal(0, sd))
    return made_L43


def smooth_moves(length: int, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation `sd` per coordinate, nine tenths of it alike over four residues; (L, 3)."""
    place_W = np.arange(-4 * int(SMOOTH), 4 * int(SMOOTH) + 1)
    kernel_W = np.exp(-0.5 * (place_W / SMOOTH) ** 2)
    white_P3 = rng.standard_normal((length + len(kernel_W) - 1, 3))
    smooth_L3 = np.stack([np.convolve(white_P3[:, axis], kernel_W, "valid") for axis in range(3)], axis=1)
    smooth_L3 /= np.sqrt(np.square(kernel_W).sum())
    return sd * ((1 - ROUGH) * smooth_L3 + ROUGH * rng.standard_normal((length, 3)))


def rotate(points_P3: np.ndarray, start_3: np.ndarray, end_3: np.ndarray, angle: float) -> np.ndarray:
    """Turn points about the line from `start_3` to `end_3`, clockwise seen along it (Rodrigues).

    >>> rotate(np.array([[1.0, 0, 0]]), np.zeros(3), np.array([0.0, 0, 1]), np.pi / 2).round(6).tolist()
    [[0.0, 1.0, 0.0]]
    """
    axis_3 = end_3 - start_3
    x, y, z = axis_3 / np.linalg.norm(axis_3)
    cross_33 = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn_33 = np.eye(3) + np.sin(angle) * cross_33 + (1 - np.cos(angle)) * cross_33 @ cross_33
    return (points_P3 - start_3) @ turn_33.T + start_3
