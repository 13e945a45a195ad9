"""The folder of a finished network of a task: weights, settings, and beside them a model whose embeddings it reads."""

import json
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from protray.data.location import Location
from protray.models.weight_files import load_weights, save_weights

WEIGHTS = "model.safetensors"
STRUCTURE_MODEL = "structure_model"  # folder of the score network or joint encoder that it reads, if it does

Net = TypeVar("Net", bound=nn.Module)


def save_net(folder: Path, settings: str, content: dict, weights: dict[str, Tensor]) -> None:
    """Write ``model.safetensors``, and `content` under the name `settings`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(weights, folder / WEIGHTS)
    (folder / settings).write_text(json.dumps(content, indent=1) + "\n")


def read_settings(folder: Path | Location, settings: str, jobs: str) -> dict:
    """What `save_net` wrote, at a path or an address; ValueError, with the `jobs` that write it, if it is not there."""
    path = Location(folder) / settings
    if not path.is_file():
        inside = ", ".join(sorted(file.parent.name for file in Location(folder).files(settings)))
        there = f"; in it are {inside}" if inside else f"; give a folder in `model` of a finished {jobs}"
        raise ValueError(f"{folder} holds no {settings}{there}")
    return path.read_json()


def with_weights(net: Net, folder: Path | Location, settings: str) -> Net:
    """`net` with the weights in `folder`, in evaluation mode; ValueError if they do not fit its settings."""
    weights = Location(folder).fetch() / WEIGHTS
    try:
        load_weights(net, weights)
    except ValueError as error:
        raise ValueError(f"{weights} does not fit {settings}: {error}") from None
    return net.eval()
