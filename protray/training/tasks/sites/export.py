"""A finished network for interaction sites as a folder: weights and settings, read without running code from them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from protray.data.location import Location
from protray.data.sites.batch import FeatureSet
from protray.models.tasks.site_config import SiteNetConfig
from protray.models.tasks.site_net import SiteNet
from protray.models.weight_files import load_weights

WEIGHTS, SETTINGS = "model.safetensors", "sites.json"
STRUCTURE_MODEL = "structure_model"  # folder of the score network whose embeddings it reads, if it does


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
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / WEIGHTS)
    content = {"net": asdict(config), "wanted": asdict(wanted), "threshold": threshold, "embeddings": embeddings}
    (folder / SETTINGS).write_text(json.dumps(content, indent=1) + "\n")


def load_site_net(folder: Path | Location) -> SiteModel:
    """Read what `save_site_net` wrote, at a path or an address: on the CPU, in evaluation mode.

    Raises ValueError if the folder holds no such network, or not all of one.
    """
    path = Location(folder) / SETTINGS
    if not path.is_file():
        raise ValueError(f"{folder} holds no {SETTINGS}; give a folder in `model` of a finished jobs/sites.py")
    content = path.read_json()
    fields: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in content["net"].items()}
    wanted = FeatureSet(**content["wanted"])
    net = SiteNet(SiteNetConfig(**fields), wanted.width, wanted.channels)
    weights = Location(folder).fetch() / WEIGHTS
    try:
        load_weights(net, weights)
    except ValueError as error:
        raise ValueError(f"{weights} does not fit {SETTINGS}: {error}") from None
    return SiteModel(net.eval(), wanted, content["threshold"], content["embeddings"])
