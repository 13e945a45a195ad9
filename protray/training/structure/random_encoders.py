"""Joint encoders with random weights: ours and two of others, with which what training has added is compared."""

import torch

from protray.models.joint.shipped import ENCODER
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import EncoderKind, FusionKind, RivalConfig, SsdmConfig
from protray.models.structure.cdconv_config import CdConvConfig
from protray.models.structure.gvp_config import GvpConfig
from protray.plm.sequence_encoder import SequenceEncoder
from protray.seq.keyed import key
from protray.training.structure.ssdm_export import SsdmCard, load_card


def random_config(name: EncoderKind, fusion: FusionKind = "none", lm: str | None = None) -> SsdmConfig | RivalConfig:
    """Its settings: ours is as large as the encoder in the package, the others are for two CPU cores."""
    if name == "ours":
        return SsdmConfig(net=load_card(ENCODER).config.net, fusion=fusion, lm=lm)  # type: ignore[arg-type]
    return RivalConfig(net=GvpConfig() if name == "gvp" else CdConvConfig(), fusion=fusion, lm=lm)


def random_encoder(
    name: EncoderKind, seed: int, fusion: FusionKind = "none", lm: str | None = None
) -> tuple[SsdmCard, Ssdm]:
    """As `load_ssdm`, with weights that follow from the seed, but for those of a language model `lm` in a fusion."""
    config = random_config(name, fusion, lm)
    read = SequenceEncoder(lm, trained=False) if lm else None
    torch.manual_seed(key(seed, "random encoder", name))
    net = Ssdm(config, read, read.channels if read else 0)
    return SsdmCard(config, side_chains=True, objectives=(), seed=seed), net.eval()
