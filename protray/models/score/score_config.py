"""Settings of the score network.  Light: `--help` reads them and needs no torch."""

from dataclasses import dataclass, field

from protray.struct.noise import NoiseConfig


@dataclass(frozen=True, kw_only=True)
class ScoreNetConfig:
    """Width and depth; the defaults train on two CPU cores within minutes, `paper()` is the paper's network."""

    blocks: int = 8
    """Residual blocks."""
    channels: int = 64
    """C: of the feature maps, and of the embeddings."""
    bottleneck: int = 32
    """Channels of the dilated convolution within a block: a multiple of 16, or fewer."""
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    """Of the blocks, in turn; a quarter of the crop at most, or the convolution sees mostly its own padding."""
    positional: int = 24
    """Sines and cosines of the residue's place in the chain; d_model of the paper."""
    distances: int = 24
    """Gaussians that a distance is spread over, beside its logarithm; 0 leaves the logarithm alone."""
    noise: NoiseConfig = field(default_factory=NoiseConfig)

    def __post_init__(self) -> None:
        for name in ("blocks", "channels", "bottleneck", "positional"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.bottleneck > 16 and self.bottleneck % 16:  # seen with PyTorch 2.13 on CPUs with AVX-512 bfloat16
            raise ValueError(
                f"bottleneck must be a multiple of 16, or less than 16, got {self.bottleneck}: with other numbers, "
                "dilated bfloat16 convolutions of oneDNN give gradients of their weights that are wrong or NaN"
            )
        if self.positional % 2 or self.distances < 0 or min(self.dilations, default=0) < 1:
            raise ValueError(
                f"positional must be even, distances at least 0, dilations a list of numbers from 1, got "
                f"{self.positional}, {self.distances}, {self.dilations}"
            )
