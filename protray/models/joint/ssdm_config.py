"""Settings of SSDM's joint encoder.  Light: `--help` reads them and needs no torch."""

from dataclasses import dataclass, field
from typing import Literal

from protray.models.joint.fusion_config import FusionConfig
from protray.models.structure.cdconv_config import CdConvConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.models.structure.gvp_config import GvpConfig

EncoderKind = Literal["ours", "gvp", "cdconv"]
FusionKind = Literal["none", "serial", "parallel", "cross"]
ENCODER_NAMES: dict[EncoderKind, str] = {"ours": "frame attention", "gvp": "GVP", "cdconv": "CDConv"}


@dataclass(frozen=True, kw_only=True)
class JointConfig:
    """How a structure encoder is joined with a language model."""

    fusion: FusionKind = "none"
    """serial: the encoder reads the language model's vectors.  parallel: both read apart and stand side by side.
    cross: the residues of both look at one another."""
    fuse: FusionConfig = field(default_factory=FusionConfig)
    lm: str | None = None
    """Of the fusion: a Hugging Face name, a folder, or `shipped`."""
    lm_lr_ratio: float = 0.1
    """Learning rate of the language model over that of the rest; 0 leaves it as it is."""

    def __post_init__(self) -> None:
        if (self.fusion == "none") != (self.lm is None):
            raise ValueError(
                f"--fusion and --lm go together, got fusion {self.fusion} and language model {self.lm}; "
                "the one in the package is --lm shipped"
            )
        if not 0 <= self.lm_lr_ratio <= 1:
            raise ValueError(f"lm_lr_ratio must lie in [0, 1], got {self.lm_lr_ratio}")


@dataclass(frozen=True, kw_only=True)
class SsdmConfig(JointConfig):
    """SSDM's own encoder, by frame attention."""

    net: FrameAttentionConfig = field(default_factory=FrameAttentionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.net.lm_input == "replace" and self.fusion != "serial":
            raise ValueError(f"--net.lm-input replace needs --fusion serial, got {self.fusion}")


@dataclass(frozen=True, kw_only=True)
class RivalConfig(JointConfig):
    """An encoder of others in its place."""

    net: GvpConfig | CdConvConfig
