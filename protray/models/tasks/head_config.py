"""Settings of a head on frozen embeddings.  Light: `--help` reads them and needs no torch."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["labels", "class", "value"]  # many labels, each there or not; one of many; or a number


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Three linear layers, or one."""

    hidden: int = 256
    """Width of the two layers between; 0 for none."""
    dropout: float = 0.5
    """Share of each layer's inputs that a training step leaves out, other than the embedding's own."""

    def __post_init__(self) -> None:
        if self.hidden < 0:
            raise ValueError(f"hidden must be at least 0, got {self.hidden}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share and must lie in [0, 1), got {self.dropout}")
