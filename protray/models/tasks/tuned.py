"""An encoder of structures, or a language model, with a linear head, of which both learn.

Shape key:  B proteins   L residues, padded   C channels of the encoder   F = 2 C + 1   T labels, classes, or 1
"""

import torch
from torch import Tensor, nn

from protray.models.joint.alone import Alone
from protray.models.joint.ssdm import Ssdm
from protray.models.layers import Noise
from protray.models.structure.structure_batch import StructureBatch, mean_of_real
from protray.models.tasks.head import Head

SMALLEST = 1e-12  # of a variance, whose root has a gradient


class Tuned(nn.Module):
    """Structures -> what `head` makes of the mean and deviation over residues, and of the logarithm of their number.

    These are the numbers that linear read-outs of frozen vectors see
    (`protray.inference.residue_embeddings.statistics_of`).
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

    def forward(self, batch: StructureBatch, length_B: Tensor, noise: Noise | None = None) -> Tensor:
        """As `Head.forward`; `length_B` are the residues of the whole proteins, of which a batch may hold parts."""
        z_BLC = self.encoder.encode(batch, noise=noise).residue_BLC
        return self.head(statistics(z_BLC, batch.real_BL, length_B))

    def learnt(self) -> dict[str, Tensor]:
        """All weights but those of a language model that stays as it is."""
        fixed = None if self.lm_lr_ratio else "encoder.lm."
        return {name: weight for name, weight in self.state_dict().items() if not fixed or not name.startswith(fixed)}


def statistics(z_BLC: Tensor, real_BL: Tensor, length_B: Tensor) -> Tensor:
    """Mean and standard deviation over real residues, and the logarithm of a length; shape (B, 2 C + 1)."""
    mean_BC = mean_of_real(z_BLC, real_BL)
    variance_BC = mean_of_real((z_BLC - mean_BC[:, None]).square(), real_BL)
    return torch.cat([mean_BC, variance_BC.clamp(min=SMALLEST).sqrt(), length_B.to(z_BLC.dtype).log()[:, None]], dim=1)
