"""A finished head as a folder: weights, settings and labels, read without running code from them."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from safetensors.torch import save_file
from torch import Tensor

from protray.data.location import Location
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig, Kind
from protray.models.weight_files import load_weights

WEIGHTS, SETTINGS = "model.safetensors", "head.json"
STRUCTURE_MODEL = "structure_model"  # folder of the score network whose embeddings it reads, if it does
LANGUAGE_MODEL = "language_model"  # folder of a language model that was trained with it, if one was
OF_MUTATIONS = ("ddg", "msp")  # tasks whose heads read vectors of mutations, and not of whole proteins


@dataclass(frozen=True, kw_only=True)
class HeadFacts:
    """What a head reads and predicts."""

    task: str
    kind: Kind
    channels: int
    labels: list[str]  # of the outputs; of a number, its name
    names: dict[str, str]  # of labels, where they have some
    threshold: float | None  # probability above which a label is predicted, from the validation split
    lm: str | None  # the language model whose embeddings it reads; LANGUAGE_MODEL is the one in its folder
    noise: float | None  # Å, of the score network in the folder beside it; a joint encoder is told none
    reads: Literal["mean", "statistics"] = "mean"  # over residues of whole proteins


def save_head(folder: Path, config: HeadConfig, facts: HeadFacts, weights: dict[str, Tensor]) -> None:
    """Write ``model.safetensors`` and ``head.json``; a score network is to be put beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / WEIGHTS)
    (folder / SETTINGS).write_text(json.dumps({"net": asdict(config), "head": asdict(facts)}, indent=1) + "\n")


def load_facts(folder: Path | Location) -> HeadFacts:
    """Read what a head reads and predicts, without its weights; ValueError if the folder holds no head."""
    facts = HeadFacts(**_content(folder)["head"])
    if facts.lm == LANGUAGE_MODEL:
        return replace(facts, lm=str(Location(folder).fetch() / LANGUAGE_MODEL))
    return facts


def load_head(folder: Path | Location) -> tuple[Head, HeadFacts]:
    """Read what `save_head` wrote, at a path or an address: on the CPU, in evaluation mode.

    Raises ValueError if the folder holds no such head, or not all of one.
    """
    facts = load_facts(folder)
    net = Head(HeadConfig(**_content(folder)["net"]), facts.kind, facts.channels, len(facts.labels))
    weights = Location(folder).fetch() / WEIGHTS
    try:
        load_weights(net, weights)
    except ValueError as error:
        raise ValueError(f"{weights} does not fit {SETTINGS}: {error}") from None
    return net.eval(), facts


def _content(folder: Path | Location) -> dict:
    path = Location(folder) / SETTINGS
    if not path.is_file():
        raise ValueError(f"{folder} holds no {SETTINGS}; give a folder in `model` of a finished jobs/function.py or "
                         "jobs/stability.py")  # fmt: skip
    content = path.read_json()
    if not {"net", "head"} <= content.keys():
        raise ValueError(f"{path} is damaged: it lacks net or head; put it back")
    return content
