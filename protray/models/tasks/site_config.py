"""Settings of the network for interaction sites.  Light: `--help` reads them and needs no torch."""

from dataclasses import dataclass

N_DSSP = 9  # classes of DSSP's states in the data of DeepPPISP


@dataclass(frozen=True, kw_only=True)
class SiteNetConfig:
    """Windows around a residue, a text CNN over its protein, and the layers that read both."""

    window: int = 7
    """Residues of the local features, with the residue in the middle."""
    kernels: tuple[int, int, int] = (13, 15, 17)
    """Residues that the filters of the text CNN see."""
    ratio: float = 2.0
    """Global features for each local one, without embeddings."""
    hidden: tuple[int, int] = (256, 64)
    """Widths of the two layers above; the released network has 1024 and 256."""
    dropout: float = 0.3
    """Of the first of them; the released network has none."""
    embedded: int = 16
    """Channels to which embeddings are projected, of residues and of proteins each; 0 joins them as they are, as Guo et
    al. do: with few proteins that learns them by heart."""
    embedding_dropout: float = 0.3
    """Of the channels of an embedding, each for a whole protein."""
    faithful: bool = False
    """The global features as released: the first 500 residues alone, and a layer of 100 million weights on them."""

    def __post_init__(self) -> None:
        for size in (self.window, *self.kernels):
            if size < 1 or size % 2 == 0:
                raise ValueError(
                    f"window and kernels are odd numbers of residues, got {self.window} and {self.kernels}"
                )
        if not self.ratio > 0 or min(self.hidden) < 1:
            raise ValueError(f"ratio and hidden must be positive, got {self.ratio} and {self.hidden}")
        if not (0 <= self.dropout < 1 and 0 <= self.embedding_dropout < 1):
            shares = f"{self.dropout} and {self.embedding_dropout}"
            raise ValueError(f"dropout is a share and must lie in [0, 1), got {shares}")
        if self.embedded < 0:
            raise ValueError(f"embedded must be at least 0, got {self.embedded}")

    def filters(self, features: int) -> int:
        """Filters of each kernel for so many features of a residue.

        >>> SiteNetConfig().filters(20 + 20 + 9)  # 3 x 228 global features beside 7 x 49 local ones
        228
        """
        return max(1, int(self.ratio * self.window * features / len(self.kernels)))
