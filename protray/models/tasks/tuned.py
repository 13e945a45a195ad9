"""An encoder of structures, or a language model, with a linear head, of which both learn.

Shape key:  B proteins   M mutations   L residues, padded   C channels of the encoder   T labels, classes, or 1
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from protray.models.joint.alone import Alone
from protray.models.joint.ssdm import Ssdm
from protray.models.layers import Noise
from protray.models.structure.structure_batch import StructureBatch, mean_of_real
from protray.models.tasks.head import Head

SMALLEST = 1e-12  # of a variance, whose root has a gradient
Read = Callable[[Tensor, Tensor], Tensor]  # vectors of residues (B, L, C), and which are real -> what a head reads


class Tuned(nn.Module):
    """Structures -> what `head` makes of the numbers that linear read-outs of frozen vectors see, too.

    Of proteins `statistics` (`protray.inference.embeddings.residues.statistics_of`), of mutations `changes`
    (`protray.inference.tasks.mutants`).
    """

    def __init__(
        self, encoder: Ssdm | Alone, head: Head, *, side_chains: bool = True, lm_lr_ratio: float = 0.0
    ) -> None:
        """`side_chains`: whether it is to be shown any; `lm_lr_ratio` above 0: the language model learns, too."""
        super().__init__()
        self.encoder, self.head, self.side_chains, self.lm_lr_ratio = encoder, head, side_chains, lm_lr_ratio
        if encoder.lm is not None:
            encoder.lm.requires_grad_(lm_lr_ratio > 0)
            encoder.lm.trained = lm_lr_ratio > 0  # type: ignore[assignment]  (of `SequenceEncoder`)

    def forward(self, batch: StructureBatch, read: Read, noise: Noise | None = None) -> Tensor:
        """As `Head.forward`, of what `read` makes of the batch."""
        z_BLC = self.encoder.encode(batch, noise=noise).residue_BLC
        return self.head(read(z_BLC, batch.real_BL))

    def learnt(self) -> dict[str, Tensor]:
        """All weights but those of a language model that stays as it is."""
        fixed = None if self.lm_lr_ratio else "encoder.lm."
        return {name: weight for name, weight in self.state_dict().items() if not fixed or not name.startswith(fixed)}


def statistics(z_BLC: Tensor, real_BL: Tensor, length_B: Tensor) -> Tensor:
    """Mean and standard deviation over real residues, and the logarithm of a length; shape (B, 2 C + 1).

    `length_B` are the residues of the whole proteins, of which a batch may hold parts.
    """
    mean_BC = mean_of_real(z_BLC, real_BL)
    variance_BC = mean_of_real((z_BLC - mean_BC[:, None]).square(), real_BL)
    return torch.cat([mean_BC, variance_BC.clamp(min=SMALLEST).sqrt(), length_B.to(z_BLC).log()[:, None]], dim=1)


def changes(z_BLC: Tensor, real_BL: Tensor, sites: Sequence[Sequence[int]]) -> Tensor:
    """Means over the sites of each mutation: of the wild type's vectors, and of what it changes; shape (M, 2 C).

    `z_BLC` has M wild types, then their mutants.
    """
    before_MLC, after_MLC = z_BLC.chunk(2)
    rows = [
        torch.cat([before_LC[places].mean(dim=0), (after_LC - before_LC)[places].mean(dim=0)])
        for before_LC, after_LC, places in zip(before_MLC, after_MLC, map(list, sites), strict=True)
    ]
    return torch.stack(rows)
