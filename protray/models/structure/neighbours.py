"""Which residues each residue looks at: those next to it in the chain, and the nearest in space.

Shape key:  B proteins   L residues, padded   K neighbours   R residues whose neighbours are searched together
            M pairs of residues   3 x, y, z in Å   5 steps along the chain, -2 to 2
"""

from dataclasses import dataclass

import torch
from torch import Tensor

HOPS = 2  # neighbours along the chain that come before all others
AWAY = 1e9  # Å: where padding is put
FAR = 1e16  # Å^2, beyond all real pairs; padding and removed pairs are further
WORK = {"cpu": 2**18, "cuda": 2**25}  # distances at a time: what a cache holds, what keeps a GPU busy


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of each residue, itself the first, then those along the chain, then by distance."""

    idx_BLK: Tensor  # int64, residues of the same protein
    ok_BLK: Tensor  # bool; False where there are fewer than K, and at padding


@torch.no_grad()
def find_neighbours(
    ca_BL3: Tensor,
    index_BL: Tensor,
    chain_BL: Tensor,
    real_BL: Tensor,
    k: int,
    removed_M3: Tensor | None = None,
    dense: bool = False,
) -> Neighbours:
    """The K = min(k, L) neighbours of each residue.

    Distances are squares of differences, for products would lose the digits of short ones; a block of rows at a time,
    so that memory grows with L alone.

    Parameters
    ----------
    ca_BL3 : Tensor
        C-alpha atoms, Å.  Two pairs at the same distance are in no certain order.
    index_BL, chain_BL : Tensor
        Place in the chain, increasing, and number of the chain.
    real_BL : Tensor
        Bool: residues that are not padding.
    removed_M3 : Tensor, optional
        Pairs that are not to be neighbours, as rows (protein, residue, residue), in whatever order of the two.
    dense : bool, default: False
        All residues are neighbours, in the order of the chain.
    """
    size = ca_BL3.shape[1]
    k = min(k, size)
    removed = None if removed_M3 is None or not len(removed_M3) else _both_ways(removed_M3)
    if dense:
        idx_BLK = torch.arange(size, device=ca_BL3.device).expand(*real_BL.shape, size)
        ok_BLK = real_BL[:, :, None] & real_BL[:, None, :]
        if removed is not None:
            ok_BLK[removed.unbind(dim=1)] = False
        return Neighbours(idx_BLK, ok_BLK)
    place_3BL = torch.where(real_BL[..., None], ca_BL3, AWAY).permute(2, 0, 1).contiguous()
    along_BL5, place_BL5 = _along_the_chain(index_BL, chain_BL, real_BL, ca_BL3.dtype)
    rows = max(1, WORK["cpu" if ca_BL3.device.type == "cpu" else "cuda"] // max(real_BL.numel(), 1))
    found = []
    for first in range(0, size, rows):
        some = slice(first, first + rows)
        # columns begin with these rows and go round: topk is several times as fast where the nearest come early
        key_BRL = _squares(place_3BL[:, :, some], place_3BL.roll(-first, dims=2))
        key_BRL.scatter_reduce_(2, (place_BL5[:, some] - first) % size, along_BL5[:, some], "amin")
        if removed is not None:
            row, i, j = removed[(removed[:, 1] >= first) & (removed[:, 1] < first + rows)].unbind(dim=1)
            key_BRL[row, i - first, (j - first) % size] = torch.inf
        key_BRK, column_BRK = key_BRL.topk(k, dim=2, largest=False)
        found.append((key_BRK, (column_BRK + first) % size))
    key_BLK, idx_BLK = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
    return Neighbours(idx_BLK, (key_BLK < FAR) & real_BL[:, :, None])


def _both_ways(removed_M3: Tensor) -> Tensor:
    return torch.cat([removed_M3, removed_M3[:, [0, 2, 1]]])


def _squares(rows_3BR: Tensor, all_3BL: Tensor) -> Tensor:
    """Squared distances, shape (B, R, L)."""
    key_BRL = None
    for rows_BR, all_BL in zip(rows_3BR, all_3BL, strict=True):
        step_BRL = rows_BR[:, :, None] - all_BL[:, None, :]
        key_BRL = step_BRL.square_() if key_BRL is None else key_BRL.addcmul_(step_BRL, step_BRL)
    assert key_BRL is not None
    return key_BRL


def _along_the_chain(index_BL: Tensor, chain_BL: Tensor, real_BL: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Keys that come before all distances, infinite where there is no such residue, and its number; (B, L, 5)."""
    size = real_BL.shape[1]
    place_L5 = torch.arange(size, device=index_BL.device)[:, None] + torch.arange(-HOPS, HOPS + 1).to(index_BL.device)
    inside_L5, place_L5 = (place_L5 >= 0) & (place_L5 < size), place_L5.clamp(0, size - 1)
    apart_BL5 = (index_BL[:, place_L5] - index_BL[:, :, None]).abs()
    near_BL5 = inside_L5 & (apart_BL5 <= HOPS) & (chain_BL[:, place_L5] == chain_BL[:, :, None])
    near_BL5 &= real_BL[:, place_L5] & real_BL[:, :, None]
    key_BL5 = torch.where(near_BL5, -1 + 0.001 * apart_BL5.to(dtype), torch.inf)
    key_BL5[:, :, HOPS] = -2
    return key_BL5, place_L5.expand_as(key_BL5)
