"""A finished score network as a folder: weights and settings, read without running code from them."""

import json
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from protray.data.location import Location
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_net import ScoreNet
from protray.models.weight_files import first_line, load_weights, save_weights
from protray.struct.noise import NoiseConfig

WEIGHTS, SETTINGS = "model.safetensors", "score_net.json"


def save_score_net(folder: Path, config: ScoreNetConfig, weights: dict[str, Tensor]) -> None:
    """Write ``model.safetensors`` and ``score_net.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(weights, folder / WEIGHTS)
    (folder / SETTINGS).write_text(json.dumps(asdict(config), indent=1) + "\n")


def load_score_net(folder: Path | Location) -> ScoreNet:
    """Read what `save_score_net` wrote, at a path or an address: on the CPU, in evaluation mode.

    Raises ValueError if the folder holds no score network, or not all of one.
    """
    config = load_config(folder)
    try:
        net = ScoreNet(config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder}/{SETTINGS}: no network can have these settings: {first_line(error)}") from None
    load_weights(net, Location(folder).fetch() / WEIGHTS)
    return net.eval()


def load_config(folder: Path | Location) -> ScoreNetConfig:
    """Read the settings of a score network; ValueError if the folder holds none."""
    path = Location(folder) / SETTINGS
    if not path.is_file():
        within = Location(folder) / "model"
        what = f"holds no {SETTINGS}, nor ssdm.json" if Location(folder).is_dir() else "is no folder"
        usual = "the folder `model` in the --out of a finished jobs/score_net.py or jobs/ssdm.py"
        raise ValueError(f"{folder} {what}; give {within if within.is_dir() else usual}")
    try:
        return read_config(path.read_json())
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {first_line(error)}); put the file back"
        ) from None


def read_config(fields: dict) -> ScoreNetConfig:
    """The settings from their JSON form."""
    return ScoreNetConfig(**fields | {"noise": NoiseConfig(**fields["noise"]), "dilations": tuple(fields["dilations"])})
