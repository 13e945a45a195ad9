"""A small joint encoder with random weights, as a folder."""

from pathlib import Path

from protray.data.location import Location
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.training.structure.ssdm import fresh
from protray.training.structure.ssdm_config import ObjectiveConfig
from protray.training.structure.ssdm_export import SsdmCard, save_ssdm

NET = FrameAttentionConfig(channels=8, heads=2, pair=4, layers=1, neighbours=6)


def save_random_joint(folder: Path, lm: Path | None = None, side_chains: bool = True) -> Location:
    """With a language model in serial fusion where one is given."""
    config = SsdmConfig(net=NET, fusion="serial" if lm else "none", lm=str(lm) if lm else None)
    card = SsdmCard(config, side_chains, ("residue",), 0)
    save_ssdm(folder, card, fresh(config, ObjectiveConfig(), 0).learnt())
    return Location(folder)
