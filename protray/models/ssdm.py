"""SSDM's joint encoder: structure by frame attention, sequence by a language model, and how the two meet.

Shape key:  B proteins   L residues, padded   C channels
"""


from torch import nn

from protray.models.ssdm_config import SsdmConfig


class Ssdm(nn.Module):
    """Vectors of residues; `lm` gives those of a language model, (B, L, C), where there is a fusion."""

    def __init__(self, config: SsdmConfig, lm: nn.Module | None = None) -> None:
        super().__init__()
        self.config, self.lm = config, lm
        ...
