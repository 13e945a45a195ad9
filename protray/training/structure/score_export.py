"""A finished score network as a folder: weights and settings, read without running code from them."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from protray.data.location import Location
from protray.models.score_config import ScoreNetConfig
from protray.models.score_net import ScoreNet
from protray.struct.noise import NoiseConfig

WEIGHTS, SETTINGS = "model.safetensors", "score_net.json"


def save_score_net(folder: Path, config: ScoreNetConfig, weights: dict[str, Tensor]) -> None:
    """Write ``model.safetensors`` and ``score_net.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / WEIGHTS)
    (folder / SETTINGS).write_text(json.dumps(asdict(config), indent=1) + "\n")


def load_score_net(folder: Path | Location) -> ScoreNet:
    """Read what `save_score_net` wrote, at a path or an address: on the CPU, in evaluation mode.

    Raises ValueError if the folder holds no score network, or not all of one.
    """
    net = ScoreNet(load_config(folder))
    weights = Location(folder).fetch() / WEIGHTS
    try:
        net.load_state_dict(load_file(weights))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{weights} does not fit {SETTINGS}: {error}") from None
    return net.eval()


def load_config(folder: Path | Location) -> ScoreNetConfig:
    """Read the settings of a score network; ValueError if the folder holds none."""
    path = Location(folder) / SETTINGS
    if not path.is_file():
        raise ValueError(
            f"{folder} holds no {SETTINGS}; give the folder `model` in the --out of a finished jobs/score_net.py"
        )
    return read_config(path.read_json())


def read_config(fields: dict) -> ScoreNetConfig:
    """The settings from their JSON form."""
    return ScoreNetConfig(**fields | {"noise": NoiseConfig(**fields["noise"]), "dilations": tuple(fields["dilations"])})
