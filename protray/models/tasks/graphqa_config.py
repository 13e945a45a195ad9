"""Settings of GraphQA.  Light: `--help` reads them and needs no torch."""

from dataclasses import dataclass

import numpy as np

LOCAL = ("lddt", "cad")  # scores of residues that it predicts
GLOBAL = ("tm", "gdt_ts", "gdt_ha", "lddt", "cad")  # of models


@dataclass(frozen=True, kw_only=True)
class GraphQaConfig:
    """Widths of edges, nodes and the whole protein, first and last; those between are even in their logarithm."""

    layers: int = 6
    """Rounds of message passing."""
    edges: tuple[int, int] = (32, 16)
    """The paper's network has 144 to 16."""
    nodes: tuple[int, int] = (64, 32)
    """256 to 64."""
    whole: tuple[int, int] = (64, 32)
    """Of the global features; 512 to 32."""
    dropout: float = 0.0
    """The paper's network has 0.2; on a CPU, drawing it for every edge makes a step half as long again."""
    norm: bool = True
    """Normalise what each layer gives (layer norm); the paper's network does not, and learns slower."""
    linear: bool = True
    """Start from a linear fit to the features of residues and of the whole, and learn what it lacks; the paper's
    network does not."""
    radius: float = 12.0
    """Å, between C-alpha atoms: residues that see one another."""
    hops: int = 5
    """Neighbours along the chain that see one another anyway."""

    def __post_init__(self) -> None:
        sizes = [size for pair in (self.edges, self.nodes, self.whole) for size in pair]
        if self.layers < 1 or min(sizes) < 1:
            raise ValueError(f"layers and widths must be at least 1, got {self.layers} and {sizes}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share and must lie in [0, 1), got {self.dropout}")
        if self.radius <= 0 or self.hops < 1:
            raise ValueError(f"radius must be above 0 and hops at least 1, got {self.radius} and {self.hops}")

    def sizes(self) -> list[tuple[int, int, int]]:
        """Widths of edges, nodes and the whole: of the encoder, then of each layer.

        >>> GraphQaConfig(layers=2, edges=(64, 16), nodes=(64, 64), whole=(8, 32)).sizes()
        [(64, 64, 8), (32, 64, 16), (16, 64, 32)]
        """
        ends = np.log2([self.edges, self.nodes, self.whole])
        between = 2 ** np.linspace(ends[:, 0], ends[:, 1], self.layers + 1)
        return [(int(e), int(n), int(w)) for e, n, w in between.round()]
