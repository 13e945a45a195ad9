"""Which residues see one another where a radius decides.

Shape key:  B proteins   L residues, padded   K neighbours   3 x, y, z in Å
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from protray.models.structure.neighbours import Neighbours, find_neighbours
from protray.models.tasks.graphqa import rows


@dataclass(frozen=True)
class Places:
    """Residues, or what they were averaged to, in space and along the chain; what is not real comes last."""

    place_BL3: Tensor  # Å
    index_BL: Tensor  # int64, place in the chain
    chain_BL: Tensor  # int64
    real_BL: Tensor  # bool


@torch.no_grad()
def within(places: Places, radius: float, most: int, neighbours: Neighbours | None = None) -> Neighbours:
    """Of the `most` neighbours of each residue (`find_neighbours`), or of those given, all within `radius`.

    Lists end where the fullest one does.

    Examples
    --------
    >>> number_BL = torch.tensor([[0, 10, 20]])
    >>> place_BL3 = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [5, 0, 0]]])
    >>> places = Places(place_BL3, number_BL, number_BL * 0, number_BL >= 0)
    >>> found = within(places, radius=4, most=9)
    >>> found.idx_BLK.tolist(), found.ok_BLK.tolist()
    ([[[0, 1, 2], [1, 2, 0], [2, 1, 0]]], [[[True, True, False], [True, True, True], [True, True, False]]])
    """
    if neighbours is None:
        at = places.place_BL3, places.index_BL, places.chain_BL, places.real_BL
        neighbours = find_neighbours(*at, k=most)
    place_V3 = places.place_BL3.flatten(0, 1)
    others_BLK3 = rows(place_V3, flat(neighbours.idx_BLK, neighbours.idx_BLK.shape[1]).flatten()).view(
        *neighbours.idx_BLK.shape, 3
    )
    near_BLK = (others_BLK3 - places.place_BL3[:, :, None]).norm(dim=3) <= radius
    ok_BLK = neighbours.ok_BLK & near_BLK
    used = ok_BLK.any(dim=0).any(dim=0).nonzero()
    fullest = int(used.amax()) + 1 if len(used) else 0
    return Neighbours(neighbours.idx_BLK[:, :, :fullest], ok_BLK[:, :, :fullest])


def flat(number_B: Tensor, width: int) -> Tensor:
    """Numbers of residues of each protein, (B, ...), as rows of a tensor that has `width` rows of each protein.

    >>> flat(torch.tensor([[0, 1], [0, 1]]), width=5).tolist()
    [[0, 1], [5, 6]]
    """
    first_B = torch.arange(len(number_B), device=number_B.device) * width
    return number_B + first_B.view(-1, *[1] * (number_B.ndim - 1))
