"""Draws of several crops as the tensors of a micro-batch.

Shape key:  B proteins   L residues, padded   A 14 atoms   N targets   S residues of a path   M pairs   V views   3 xyz
            5 chi_1 to chi_5
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from protray.data.structure.atom_batches import collate
from protray.models.structure.structure_batch import MASKED, StructureBatch
from protray.struct.residues.atom14 import CB
from protray.training.structure.ssdm_config import ObjectiveConfig
from protray.training.structure.ssdm_draws import PATHS, Draw, View, steps_of_paths


@dataclass(frozen=True)
class MicroBatch:
    """All that the objectives need; residues are counted through all proteins (b L + l), pairs are (b, i, j).

    What belongs to objectives that are not in use has no rows, or no views.
    """

    crops: StructureBatch  # clean
    asked_BL: Tensor  # bool: whether a residue may be a target
    masked_N: Tensor  # residues whose type is asked for
    paths_NS: Tensor
    removed_M3: Tensor  # edges that the paths go along
    views: tuple[StructureBatch, ...]  # two, of the contrast
    view_removed_M3: tuple[Tensor, ...]
    cluster_B: Tensor
    level_B: Tensor  # of the noise
    noise_VBLA3: Tensor
    shift_BLA3: Tensor | None
    turn_BL5: Tensor | None
    hidden_N: Tensor  # residues whose type SiamDiff hides
    counts: dict[str, int]  # summands of each term of the loss, for the mean over a whole step

    def to(self, device: str | torch.device) -> "MicroBatch":
        """The same on another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor | StructureBatch)}
        pairs = {name: tuple(part.to(device) for part in getattr(self, name)) for name in ("views", "view_removed_M3")}
        return replace(self, **moved, **pairs)


def hidden(batch: StructureBatch, residues_N: Tensor) -> StructureBatch:
    """The batch without the types of some residues, nor their side chains, whose atoms give the type away."""
    hidden_BL = torch.zeros_like(batch.real_BL)
    hidden_BL.view(-1)[residues_N] = True
    kept_BLA = batch.present_BLA.clone()
    kept_BLA[:, :, CB:] &= ~hidden_BL[..., None]
    return replace(
        batch,
        type_BL=batch.type_BL.masked_fill(hidden_BL, MASKED),
        atoms_BLA3=batch.atoms_BLA3 * kept_BLA[..., None],
        present_BLA=kept_BLA,
    )


def micro_batch(draws: Sequence[Draw], config: ObjectiveConfig) -> MicroBatch:
    """Put draws side by side, padded to the longest crop."""
    crops = collate([draw.crop for draw in draws])
    width = crops.type_BL.shape[1]

    def padded(arrays: list[np.ndarray], axis: int = 0) -> Tensor:
        before, (_, *after) = arrays[0].shape[:axis], arrays[0].shape[axis:]
        found = np.zeros((*before, len(arrays), width, *after), arrays[0].dtype)
        for row, array in enumerate(arrays):
            found[(slice(None),) * axis + (row, slice(array.shape[axis]))] = array
        return torch.from_numpy(found)

    def some(arrays: list[np.ndarray | None]) -> Tensor | None:
        known = [array for array in arrays if array is not None]
        return padded(known) if known else None

    def flat(places: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate([place + row * width for row, place in enumerate(places)]))

    masked_N, hidden_N = (
        flat([np.flatnonzero(mask_L) for mask_L in masks])
        for masks in ([draw.masked_L for draw in draws], [draw.hidden_L for draw in draws])
    )
    paths_NS = flat([draw.paths_NS for draw in draws])
    views = [view for draw in draws if draw.views for view in [draw.views]]
    counts = {term: len(draws) for term in ("contrast", "denoise", "siamdiff_structure")}
    counts |= {"residue": len(masked_N), "siamdiff_sequence": len(hidden_N)} | {term: len(paths_NS) for term in PATHS}
    sides: list[list[View]] = [list(side) for side in zip(*views, strict=True)]
    return MicroBatch(
        crops=crops,
        asked_BL=padded([draw.asked_L for draw in draws]),
        masked_N=masked_N,
        paths_NS=paths_NS,
        removed_M3=numbered([steps_of_paths(draw.paths_NS) for draw in draws]),
        views=tuple(collate([view.crop for view in side]) for side in sides),
        view_removed_M3=tuple(numbered([view.removed_M2 for view in side]) for side in sides),
        cluster_B=torch.tensor([draw.cluster for draw in draws]),
        level_B=torch.tensor([draw.level for draw in draws]),
        noise_VBLA3=padded([draw.noise_VLA3 for draw in draws], axis=1),
        shift_BLA3=some([draw.shift_LA3 for draw in draws]),
        turn_BL5=some([draw.turn_L5 for draw in draws]),
        hidden_N=hidden_N,
        counts={term: counts[term] for term in config.terms()},
    )


def numbered(pairs: list[np.ndarray]) -> Tensor:
    """Pairs (i, j) of each protein as (b, i, j); shape (M, 3)."""
    row_M = np.repeat(np.arange(len(pairs)), list(map(len, pairs)))
    return torch.from_numpy(np.column_stack([row_M, np.concatenate(pairs)]))
