"""Settings of the encoder by frame attention.  Light: `--help` reads them and needs no torch."""

from dataclasses import dataclass
from typing import Literal

PairInput = Literal["rotation", "euler", "distance"]
LmInput = Literal["add", "replace"]


@dataclass(frozen=True, kw_only=True)
class FrameAttentionConfig:
    """Widths and depth, what the network sees of a pair of residues, and how a language model joins."""

    channels: int = 64
    """Of a residue."""
    heads: int = 4
    pair: int = 32
    """Channels of a pair of residues."""
    layers: int = 4
    neighbours: int = 20
    """Residues that each residue looks at, itself among them."""
    expansion: int = 2
    """Width of the feed-forward layers, in channels."""
    points: int = 0
    """Points in space that each head carries from residue to residue: more time, for no lower loss in small runs."""
    pair_input: PairInput = "rotation"
    """How the frames of a pair are turned: the nine numbers of their rotation, or the deck's Euler angles, whose first
    and third jump where the frames' z axes are parallel.  With `distance` the network sees nothing that tells a
    structure from its mirror image: for comparison alone."""
    lm_channels: int = 0
    """Width of the vectors of a language model that the network reads; 0 for none (serial fusion needs them)."""
    lm_input: LmInput = "add"
    """Whether these vectors are added to what is known of a residue, by weights that start at zero, or take the place
    of its type, as in the released code of ESM-GearNet."""
    all_layers: bool = False
    """Give the vectors of all layers side by side, as GearNet does, not the last alone."""
    dropout: float = 0.0
    """Of what each half of a layer adds."""

    def __post_init__(self) -> None:
        sizes = (self.channels, self.heads, self.pair, self.layers, self.neighbours, self.expansion)
        if min(sizes) < 1:
            raise ValueError(f"channels, heads, pair, layers, neighbours and expansion must be at least 1, got {sizes}")
        if self.channels % self.heads:
            raise ValueError(f"channels must be a multiple of heads, got {self.channels} and {self.heads}")
        if self.points < 0 or self.lm_channels < 0:
            raise ValueError(f"points and lm_channels must be at least 0, got {self.points} and {self.lm_channels}")
        if self.pair_input == "distance" and self.points:
            raise ValueError('points are seen from frames, which tell mirror images apart: "distance" goes without')
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share and must lie in [0, 1), got {self.dropout}")

    @property
    def width(self) -> int:
        """Numbers that the network gives for a residue.

        >>> PAPER.width
        3072
        """
        return self.channels * (self.layers if self.all_layers else 1)


SMALL = FrameAttentionConfig()
MEDIUM = FrameAttentionConfig(channels=256, heads=8, pair=64, layers=6, neighbours=32, expansion=4, points=2)
PAPER = FrameAttentionConfig(channels=512, heads=8, pair=64, layers=6, neighbours=32, expansion=4, all_layers=True)
