"""A finished model on disk: settings as JSON, weights as safetensors; nothing in it can run code."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from protray.data.features import FeatureConfig
from protray.losses.distil import DistilWeights
from protray.models.enhance_net import EnhanceConfig, EnhanceNet
from protray.models.ss_classifier import ClassifierConfig, SsClassifier
from protray.plm.reading import Reading
from protray.training.secondary.steps import Distil

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is needed beside the weights to predict."""

    lm: str  # Hugging Face name or folder of the language model; "shipped" is the one in the package
    reading: Reading  # of the maps that it was trained on
    features: FeatureConfig
    classifier: ClassifierConfig  # of F_s
    teacher: ClassifierConfig  # of F_t
    enhance: EnhanceConfig


def save_model(folder: Path, card: ModelCard, weights: dict[str, Tensor]) -> None:
    """Write ``config.json`` and one safetensors file each for F_e, F_s and F_t."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("enhancer", "student", "teacher"):
        own = {key.removeprefix(name + "."): value for key, value in weights.items() if key.startswith(name + ".")}
        save_file(own, folder / f"{name}.safetensors")
    partial = folder / ".config.json.partial"
    partial.write_text(json.dumps({"format": FORMAT} | asdict(card), indent=1))
    os.replace(partial, folder / "config.json")


def load_model(folder: Path) -> tuple[ModelCard, Distil]:
    """Read what `save_model` wrote."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no config.json in it; give the folder `model` of a finished jobs/distil.py run")
    stored = json.loads(path.read_text())
    if stored.pop("format", None) != FORMAT:
        raise ValueError(f"{path}: not a model of format {FORMAT}; it was written by another version of protray")
    enhance = stored["enhance"] | {"kernels": tuple(stored["enhance"]["kernels"])}
    card = ModelCard(
        lm=stored["lm"],
        reading=_reading(stored),
        features=FeatureConfig(**stored["features"]),
        classifier=ClassifierConfig(**stored["classifier"]),
        teacher=ClassifierConfig(**stored["teacher"]),
        enhance=EnhanceConfig(**enhance),
    )
    step = Distil(EnhanceNet(card.enhance), SsClassifier(card.classifier), SsClassifier(card.teacher), DistilWeights())
    for name in ("enhancer", "student", "teacher"):
        getattr(step, name).load_state_dict(load_file(folder / f"{name}.safetensors"))
    return card, step.eval()


def _reading(stored: dict) -> Reading:
    """How maps are read for this model; older ones knew their precision alone, and exact passes."""
    if "reading" in stored:
        return Reading(**stored["reading"])
    return Reading("bfloat16" if stored["bf16"] else "float32")
