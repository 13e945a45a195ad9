"""A finished head as a folder: weights, settings and labels, read without running code from them."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from protray.data.location import Location
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig, Kind
from protray.training.tasks.folder import read_settings, save_net, with_weights

SETTINGS, JOBS = "head.json", "jobs/function.py or jobs/stability.py"
LANGUAGE_MODEL = "language_model"  # folder of a language model that was trained with it, if one was
MUTANTS = 2  # of `HeadFacts.mutants`
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
    mutants: int = 1  # how vectors of mutations are made: 2 where chains are told apart, and fusions read whole ones
    side_chains: bool = False  # whether there were any where it was trained; else it is shown backbones


def save_head(folder: Path, config: HeadConfig, facts: HeadFacts, weights: dict[str, Tensor]) -> None:
    """Write ``model.safetensors`` and ``head.json``; a score network is to be put beside them."""
    save_net(folder, SETTINGS, {"net": asdict(config), "head": asdict(facts)}, weights)


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
    return with_weights(net, folder, SETTINGS), facts


def _content(folder: Path | Location) -> dict:
    content = read_settings(folder, SETTINGS, JOBS)
    if not {"net", "head"} <= content.keys():
        raise ValueError(f"{Location(folder) / SETTINGS} is damaged: it lacks net or head; put it back")
    return content
