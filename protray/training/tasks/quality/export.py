"""A finished GraphQA as a folder: weights and settings, read without running code from them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from protray.data.decoys.graphs import Widths
from protray.data.location import Location
from protray.models.tasks.graphqa import GraphQa
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.models.weight_files import load_weights

WEIGHTS, SETTINGS = "model.safetensors", "graphqa.json"
STRUCTURE_MODEL = "structure_model"  # folder of the score network whose embeddings it reads, if it does


def save_graphqa(
    folder: Path, config: GraphQaConfig, widths: Widths, weights: dict[str, Tensor], embeddings: dict
) -> None:
    """Write ``model.safetensors`` and ``graphqa.json``.

    `embeddings` says which it reads: ``lm``, the name of a language model, or ``noise``, of the score network that is
    to be put beside it; or nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / WEIGHTS)
    content = {"net": asdict(config), "widths": asdict(widths), "embeddings": embeddings}
    (folder / SETTINGS).write_text(json.dumps(content, indent=1) + "\n")


def load_graphqa(folder: Path | Location) -> GraphQa:
    """Read what `save_graphqa` wrote, at a path or an address: on the CPU, in evaluation mode.

    Raises ValueError if the folder holds no such network, or not all of one.
    """
    content = _read(folder)
    fields: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in content["net"].items()}
    net = GraphQa(GraphQaConfig(**fields), content["widths"]["residue"], content["widths"]["pair"])
    weights = Location(folder).fetch() / WEIGHTS
    try:
        load_weights(net, weights)
    except ValueError as error:
        raise ValueError(f"{weights} does not fit {SETTINGS}: {error}") from None
    return net.eval()


def read_embeddings(folder: Path | Location) -> dict:
    """Which embeddings a network reads; see `save_graphqa`."""
    return _read(folder)["embeddings"]


def _read(folder: Path | Location) -> dict:
    path = Location(folder) / SETTINGS
    if not path.is_file():
        raise ValueError(f"{folder} holds no {SETTINGS}; give a folder in `model` of a finished jobs/quality.py")
    return path.read_json()
