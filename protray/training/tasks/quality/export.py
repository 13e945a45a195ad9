"""A finished GraphQA as a folder: weights and settings, read without running code from them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from protray.data.decoys.graphs import Widths
from protray.data.location import Location
from protray.models.tasks.graphqa import GraphQa
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.training.tasks.folder import read_settings, save_net, with_weights

SETTINGS, JOB = "graphqa.json", "jobs/quality.py"


def save_graphqa(
    folder: Path, config: GraphQaConfig, widths: Widths, weights: dict[str, Tensor], embeddings: dict
) -> None:
    """Write ``model.safetensors`` and ``graphqa.json``.

    `embeddings` says which it reads: ``lm``, the name of a language model, or ``noise``, of the score network that is
    to be put beside it; or nothing.
    """
    content = {"net": asdict(config), "widths": asdict(widths), "embeddings": embeddings}
    save_net(folder, SETTINGS, content, weights)


def load_graphqa(folder: Path | Location) -> GraphQa:
    """Read what `save_graphqa` wrote, at a path or an address: on the CPU, in evaluation mode.

    Raises ValueError if the folder holds no such network, or not all of one.
    """
    content = read_settings(folder, SETTINGS, JOB)
    fields: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in content["net"].items()}
    net = GraphQa(GraphQaConfig(**fields), content["widths"]["residue"], content["widths"]["pair"])
    return with_weights(net, folder, SETTINGS)


def read_embeddings(folder: Path | Location) -> dict:
    """Which embeddings a network reads; see `save_graphqa`."""
    return read_settings(folder, SETTINGS, JOB)["embeddings"]
