"""Draws of made-up chains, and small networks, for tests of SSDM's losses."""

from dataclasses import replace
from typing import Any

import torch
from ssdm_here import SmallEncoder, atom_chain
from torch import Tensor, nn

from protray.models.joint.objective_heads import ObjectiveHeads
from protray.models.structure.neighbours import Neighbours
from protray.models.structure.structure_batch import StructureBatch
from protray.training.structure.ssdm_batches import MicroBatch
from protray.training.structure.ssdm_config import Objective, ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_draws import Draw, Visit, draw

K = 12  # neighbours
LENGTHS = (90, 75, 160, 88)


def draws(config: ObjectiveConfig, lengths: tuple[int, ...] = LENGTHS, epoch: int = 0, **fit: Any) -> list[Draw]:
    settings = SsdmFitConfig(**fit)
    return [
        draw(atom_chain(length, seed=row, id=f"chain {row}"), Visit(row, epoch, row % 5), settings, config, K)
        for row, length in enumerate(lengths)
    ]


def only(*objectives: Objective, **settings: Any) -> ObjectiveConfig:
    return ObjectiveConfig(objective=objectives, **settings)


def networks(config: ObjectiveConfig, silent: bool = False) -> tuple[SmallEncoder, ObjectiveHeads]:
    """The same weights in every call; `silent` heads answer 0."""
    torch.manual_seed(0)
    encoder = SmallEncoder()
    heads = ObjectiveHeads(16, config.terms(), config.angle_bins, config.dihedral_bins)
    for parameter in heads.parameters() if silent else ():
        nn.init.zeros_(parameter)
    return encoder, heads


def double(batch: MicroBatch) -> MicroBatch:
    """Coordinates and noise in float64."""

    def of(structures: StructureBatch) -> StructureBatch:
        return replace(structures, atoms_BLA3=structures.atoms_BLA3.double())

    shift, turn = (None if drawn is None else drawn.double() for drawn in (batch.shift_BLA3, batch.turn_BL5))
    return replace(
        batch, crops=of(batch.crops), views=tuple(map(of, batch.views)), noise_VBLA3=batch.noise_VBLA3.double(),
        shift_BLA3=shift, turn_BL5=turn,
    )  # fmt: skip


class Spy(SmallEncoder):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[StructureBatch, Neighbours]] = []

    def forward(self, batch: StructureBatch, neighbours: Neighbours | None) -> Tensor:
        assert neighbours is not None
        self.seen.append((batch, neighbours))
        return super().forward(batch, neighbours)
