"""Layers that give the same numbers for any padding, batch composition and number of workers.

Shape key:  B proteins   L residues, padded   C channels
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from protray.seq.keyed import key


def real_residues(lengths_B: Tensor, width: int) -> Tensor:
    """Mask of real residues, bool, shape (B, L)."""
    return torch.arange(width, device=lengths_B.device)[None] < lengths_B[:, None]


@dataclass(frozen=True)
class Noise:
    """Where dropout takes its randomness from: one key per protein, such as hash(seed, epoch, id)."""

    keys_B: list[int]
    lengths_B: list[int]

    def keep(self, layer: str, shape: torch.Size, share: float, device: torch.device) -> Tensor:
        """Draw which activations stay; shape (B, L, C), scaled so that the expectation is 1."""
        kept_BLC = torch.zeros(shape, device=device)
        source = torch.Generator(device)
        for row, (protein, length) in enumerate(zip(self.keys_B, self.lengths_B, strict=True)):
            source.manual_seed(key(protein, layer))
            drawn_LC = torch.rand(length, shape[2], generator=source, device=device)
            kept_BLC[row, :length] = drawn_LC >= share
        return kept_BLC / (1 - share)


def dropout(x_BLC: Tensor, share: float, noise: Noise | None, layer: str) -> Tensor:
    """Zero a share of the activations; does nothing without `noise` (evaluation)."""
    if noise is None or share == 0:
        return x_BLC
    return x_BLC * noise.keep(layer, x_BLC.shape, share, x_BLC.device)


class BiLstm(nn.Module):
    """Stacked bidirectional LSTM over padded proteins; output (B, L, 2 x hidden), zero at padding.

    The backward direction runs over each protein flipped within its own length, so padding always comes last.  That
    is exact without packing, and about four times as fast as packed sequences on a CPU.
    """

    def __init__(self, inputs: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        widths = [inputs] + [2 * hidden] * (layers - 1)
        self.ahead = nn.ModuleList(nn.LSTM(width, hidden, batch_first=True) for width in widths)
        self.back = nn.ModuleList(nn.LSTM(width, hidden, batch_first=True) for width in widths)
        self.dropout = dropout

    def forward(self, x_BLC: Tensor, lengths_B: Tensor, noise: Noise | None = None, name: str = "lstm") -> Tensor:
        mask_BL = real_residues(lengths_B, x_BLC.shape[1])
        positions_L = torch.arange(x_BLC.shape[1], device=x_BLC.device)
        flipped_BL = torch.where(mask_BL, lengths_B[:, None] - 1 - positions_L, positions_L)

        def flip(y_BLC: Tensor) -> Tensor:
            return y_BLC.gather(1, flipped_BL[:, :, None].expand_as(y_BLC))

        for number, (ahead, back) in enumerate(zip(self.ahead, self.back, strict=True)):
            if number:
                x_BLC = dropout(x_BLC, self.dropout, noise, f"{name}.{number}")
            x_BLC = torch.cat([ahead(x_BLC)[0], flip(back(flip(x_BLC))[0])], dim=-1)
        return x_BLC * mask_BL[:, :, None]
