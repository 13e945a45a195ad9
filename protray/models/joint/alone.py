"""A language model where a joint encoder is expected: it reads sequences, and looks at no structure.

Shape key:  B proteins   L residues, padded   C channels
"""

from torch import nn

from protray.models.joint.fusion import Fused
from protray.models.layers import Noise
from protray.models.structure.structure_batch import StructureBatch, mean_of_real


class Alone(nn.Module):
    """What is trained on of an `Ssdm`: the language model; its other parts are empty."""

    fusion = None

    def __init__(self, lm: nn.Module, channels: int) -> None:
        """`lm` gives vectors of `channels` for the residues of a batch, (B, L, C)."""
        super().__init__()
        self.lm, self.channels = lm, channels
        self.encoder = nn.Identity()

    def encode(self, batch: StructureBatch, noise: Noise | None = None) -> Fused:
        """Vectors of residues and of proteins."""
        z_BLC = self.lm(batch)
        return Fused(z_BLC, mean_of_real(z_BLC, batch.real_BL))
