"""Settings of joining a structure encoder with a language model.  Light: `--help` reads them and needs no torch."""

from dataclasses import dataclass
from typing import Literal

FusionKind = Literal["serial", "parallel", "cross"]


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """How vectors of residues of both models become those of the whole."""

    readout: Literal["mean", "sum"] = "mean"
    """How a protein's vector comes from those of its residues.  The released code adds up, but for the language model's
    half of serial and parallel fusion: that makes the other half some 300 times as large."""
    paper: bool = False
    """As in the released code of ESM-GearNet: neither normalised before they are joined, nor residual."""
    channels: int = 512
    """Width of each half in cross fusion."""
    heads: int = 8
    """Of its attention."""
    dropout: float = 0.1
    """Of what its attention adds."""

    def __post_init__(self) -> None:
        if self.channels < 1 or self.heads < 1 or self.channels % self.heads:
            raise ValueError(f"channels must be a multiple of heads, got {self.channels} and {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share and must lie in [0, 1), got {self.dropout}")
