"""Settings of CDConv.  Light: `--help` reads them and needs no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CdConvConfig:
    """Widths and radii, one of each for a stage; the defaults are for two CPU cores, `PAPER` is the paper's network."""

    embedding: int = 32
    """Channels of the residue types."""
    widths: tuple[int, ...] = (64, 64, 128, 128)
    """Of the stages; between two stages, neighbours along the chain are averaged in pairs."""
    radii: tuple[float, ...] = (8.0, 12.0, 16.0, 20.0)
    """Å, around the C-alpha atom of a residue, or the mean of those that were averaged."""
    blocks: int = 2
    """In a stage."""
    kernel: int = 16
    """Channels of the kernel."""
    neighbours: int = 32
    """That a residue sees at most, itself among them; the nearest."""
    dropout: float = 0.0
    """Share of the channels that is zeroed before each linear layer."""
    residue: Literal["stages", "paper"] = "stages"
    """Vector of a residue: what each stage has at its place, side by side, or the vector of the whole protein."""
    lm_channels: int = 0
    """Width of the vectors of a language model that the network reads; 0 for none."""
    lm_input: Literal["add", "replace"] = "add"
    """Whether these are added to the types of residues, by weights that start at zero, or take their place."""

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.radii):
            raise ValueError(f"each stage has a width and a radius, got {self.widths} and {self.radii}")
        if min(self.widths) < 4 or any(width % 4 for width in self.widths):
            raise ValueError(f"widths must be multiples of 4, got {self.widths}")
        if not min(self.radii) > 0:
            raise ValueError(f"radii must be positive, got {self.radii}")
        for name in ("embedding", "blocks", "kernel", "neighbours"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1 or self.lm_channels < 0:
            raise ValueError(
                f"dropout must lie in [0, 1) and lm_channels be at least 0, got {self.dropout}, {self.lm_channels}"
            )
        if self.lm_input == "replace" and not self.lm_channels:
            raise ValueError("only vectors of a language model can take the place of the type: lm_channels is 0")

    @property
    def width(self) -> int:
        """Numbers that the network gives for a residue."""
        return sum(self.widths) if self.residue == "stages" else self.widths[-1]


SMALL = CdConvConfig()
PAPER = CdConvConfig(
    embedding=16, widths=(256, 512, 1024, 2048), kernel=32, neighbours=128, dropout=0.2, residue="paper"
)
