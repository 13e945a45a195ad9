"""A finished network for interaction sites as a folder: weights and settings, read without running code from them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from protray.data.location import Location
from protray.data.sites.batch import FeatureSet
from protray.models.tasks.site_config import SiteNetConfig
from protray.models.tasks.site_net import SiteNet
from protray.training.tasks.folder import read_settings, save_net, with_weights

SETTINGS, JOB = "sites.json", "jobs/sites.py"


@dataclass(frozen=True)
class SiteModel:
    """A network, what it reads, and the probability from which on a residue is called a site."""

    net: SiteNet
    wanted: FeatureSet
    threshold: float
    embeddings: dict  # ``lm``, the name of a language model; ``noise``, of the score network beside it; or nothing


def save_site_net(
    folder: Path, config: SiteNetConfig, weights: dict[str, Tensor], wanted: FeatureSet, threshold: float,
    embeddings: dict,
) -> None:  # fmt: skip
    """Write ``model.safetensors`` and ``sites.json``."""
    content = {"net": asdict(config), "wanted": asdict(wanted), "threshold": threshold, "embeddings": embeddings}
    save_net(folder, SETTINGS, content, weights)


def load_site_net(folder: Path | Location) -> SiteModel:
    """Read what `save_site_net` wrote, at a path or an address: on the CPU, in evaluation mode.

    Raises ValueError if the folder holds no such network, or not all of one.
    """
    content = read_settings(folder, SETTINGS, JOB)
    fields: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in content["net"].items()}
    wanted = FeatureSet(**content["wanted"])
    net = SiteNet(SiteNetConfig(**fields), wanted.width, wanted.channels)
    net = with_weights(net, folder, SETTINGS)
    return SiteModel(net, wanted, content["threshold"], content["embeddings"])
