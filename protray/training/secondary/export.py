"""A finished model on disk: settings as JSON, weights as safetensors; nothing in it can run code."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from protray.data.location import Location
from protray.data.secondary.features import FeatureConfig
from protray.losses.distil import DistilWeights
from protray.models.secondary.enhance_net import EnhanceConfig, EnhanceNet
from protray.models.secondary.ss_classifier import ClassifierConfig, SsClassifier
from protray.models.weight_files import first_line, load_weights, save_weights
from protray.plm.reading import Reading
from protray.training.secondary.steps import Distil

FORMAT = 2
NETWORKS = ("enhancer", "student", "teacher")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is needed beside the weights to predict."""

    lm: str  # Hugging Face name or folder of the language model; "shipped" is the one in the package, "none" is none
    reading: Reading  # how `lm` read the proteins of the training, and reads those to predict
    features: FeatureConfig
    classifier: ClassifierConfig  # of F_s
    teacher: ClassifierConfig  # of F_t
    enhance: EnhanceConfig

    @property
    def reads_lm(self) -> bool:
        """Whether the networks read anything of the language model."""
        return self.enhance.reads_lm


def save_model(folder: Path, card: ModelCard, weights: dict[str, Tensor]) -> None:
    """Write ``config.json`` and one safetensors file each for F_e, F_s and F_t."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        own = {key.removeprefix(name + "."): value for key, value in weights.items() if key.startswith(name + ".")}
        save_weights(own, folder / f"{name}.safetensors")
    partial = folder / ".config.json.partial"
    partial.write_text(json.dumps({"format": FORMAT} | asdict(card), indent=1))
    os.replace(partial, folder / "config.json")


def read_card(folder: Path | Location) -> ModelCard:
    """Read the settings of a model folder, at a path or an address."""
    path = Location(folder) / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no config.json in it; give the folder `model` of a finished jobs/distil.py run")
    stored = path.read_json()
    if not isinstance(stored, dict) or "model_type" in stored:
        what = "it is a language model" if "model_type" in stored else "it holds no settings"
        raise ValueError(f"{path}: {what}; give the folder `model` of a finished jobs/distil.py run")
    known = stored.pop("format", None)
    if known not in (1, FORMAT):
        raise ValueError(f"{path}: not a model of format {FORMAT}; it was written by another version of protray")
    try:
        return _card(stored, known)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {first_line(error)}); put the file back"
        ) from None


def _card(stored: dict[str, Any], known: int) -> ModelCard:
    reading: Any = stored.get("reading")
    if known == 1:  # maps were exact then, of whole proteins
        reading = {"precision": "bfloat16" if stored["bf16"] else "float32"}
    enhance = stored["enhance"] | {"kernels": tuple(stored["enhance"]["kernels"])}
    return ModelCard(
        lm=stored["lm"],
        reading=Reading(**reading),
        features=FeatureConfig(**stored["features"]),
        classifier=ClassifierConfig(**stored["classifier"]),
        teacher=ClassifierConfig(**stored["teacher"]),
        enhance=EnhanceConfig(**enhance),
    )


def load_model(folder: Path | Location) -> tuple[ModelCard, Distil]:
    """Read what `save_model` wrote, at a path or an address; ValueError naming the file that is damaged.

    The teacher's file may be missing, as in the package: predictions do not need it.
    """
    card, place = read_card(folder), Location(folder).fetch()
    taught = (place / "teacher.safetensors").is_file()
    try:
        enhancer, student = EnhanceNet(card.enhance), SsClassifier(card.classifier)
        teacher = SsClassifier(card.teacher) if taught else None
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder}/config.json: no network can have these settings: {first_line(error)}") from None
    for name, network in zip(NETWORKS, (enhancer, student, teacher), strict=True):
        if network is not None:
            load_weights(network, place / f"{name}.safetensors")
    return card, Distil(enhancer, student, teacher, DistilWeights()).eval()
