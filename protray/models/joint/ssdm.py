"""SSDM's joint encoder: structure by frame attention, sequence by a language model, and how the two meet.

GVP or CDConv can take the place of frame attention, to be compared with it.

Shape key:  B proteins   L residues, padded   C channels
"""

from dataclasses import replace

from torch import Tensor, nn

from protray.models.joint.fusion import Fused, Fusion
from protray.models.joint.ssdm_config import RivalConfig, SsdmConfig
from protray.models.layers import Noise
from protray.models.structure.cdconv import CdConv
from protray.models.structure.cdconv_config import CdConvConfig
from protray.models.structure.frame_attention import FrameAttention
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.models.structure.gvp import Gvp
from protray.models.structure.gvp_config import GvpConfig
from protray.models.structure.neighbours import Neighbours
from protray.models.structure.structure_batch import StructureBatch, mean_of_real


class Ssdm(nn.Module):
    """Structures, and their sequences where there is a fusion -> vectors of residues, (B, L, C), 0 at padding."""

    def __init__(self, config: SsdmConfig | RivalConfig, lm: nn.Module | None = None, lm_channels: int = 0) -> None:
        """`lm` gives vectors of `lm_channels` for the residues of a batch, (B, L, lm_channels)."""
        super().__init__()
        self.config, self.lm = config, lm
        serial = config.fusion == "serial"
        self.encoder = structure_encoder(replace(config.net, lm_channels=lm_channels if serial else 0))
        self.fusion = None
        if config.fusion != "none":
            self.fusion = Fusion(config.fusion, config.fuse, lm_channels, config.net.width)
        self.channels = config.net.width if self.fusion is None else self.fusion.width

    def forward(self, batch: StructureBatch, neighbours: Neighbours | None = None) -> Tensor:
        """Vectors of residues; see `encode`."""
        return self.encode(batch, neighbours).residue_BLC

    def encode(self, batch: StructureBatch, neighbours: Neighbours | None = None, noise: Noise | None = None) -> Fused:
        """Vectors of residues and of proteins; as `FrameAttention` reads the arguments.

        A batch that has no vectors of the language model gets them from it.
        """
        if self.fusion is not None and batch.lm_BLC is None:
            assert self.lm is not None, "a fusion reads a language model"
            batch = replace(batch, lm_BLC=self.lm(batch))
        z_BLC = self.encoder(batch, neighbours, noise)
        if self.fusion is None:
            return Fused(z_BLC, mean_of_real(z_BLC, batch.real_BL))
        assert batch.lm_BLC is not None
        return self.fusion(batch.lm_BLC, z_BLC, batch.real_BL, noise)


def structure_encoder(config: FrameAttentionConfig | GvpConfig | CdConvConfig) -> FrameAttention | Gvp | CdConv:
    """The network of its settings."""
    if isinstance(config, GvpConfig):
        return Gvp(config)
    return CdConv(config) if isinstance(config, CdConvConfig) else FrameAttention(config)
