"""Settings of GVP.  Light: `--help` reads them and needs no torch."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class GvpConfig:
    """Widths, depth and the graph; the defaults train on two CPU cores, `PAPER` is the network of ESM-GVP."""

    inputs: Literal["gvp", "esm-gvp"] = "gvp"
    """Geometry that is read: the whole backbone and places in the chain, as GVP's own code does, or C-alpha distances
    and displacements alone, which cannot tell a structure from its mirror image."""
    node_scalars: int = 64
    node_vectors: int = 8
    edge_scalars: int = 32
    edge_vectors: int = 1
    layers: int = 3
    """Rounds of message passing."""
    radius: float = math.inf
    """Å, between C-alpha atoms: residues farther apart do not see one another; inf sets no limit."""
    neighbours: int = 12
    """That a residue sees at most; the nearest."""
    dropout: float = 0.0
    """Share of the channels that is zeroed before each sum; vectors as a whole."""
    lm_channels: int = 0
    """Width of the vectors of a language model that the network reads; 0 for none."""
    lm_input: Literal["add", "replace"] = "add"
    """Whether these are added to what is known of a residue, by weights that start at zero, or take the place of its
    type, as in ESM-GVP."""

    def __post_init__(self) -> None:
        for name in ("node_scalars", "node_vectors", "edge_scalars", "edge_vectors", "layers", "neighbours"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.radius > 0:
            raise ValueError(f"radius must be positive, got {self.radius}")
        if not 0 <= self.dropout < 1 or self.lm_channels < 0:
            raise ValueError(
                f"dropout must lie in [0, 1) and lm_channels be at least 0, got {self.dropout}, {self.lm_channels}"
            )
        if self.lm_input == "replace" and not self.lm_channels:
            raise ValueError("only vectors of a language model can take the place of the type: lm_channels is 0")

    @property
    def width(self) -> int:
        """Numbers that the network gives for a residue."""
        return self.node_scalars


SMALL = GvpConfig()
PAPER = GvpConfig(
    inputs="esm-gvp",
    node_scalars=256,
    node_vectors=16,
    edge_scalars=64,
    layers=5,
    radius=10.0,
    neighbours=64,  # more C-alpha atoms than a sphere of 10 Å holds
    dropout=0.1,
)
