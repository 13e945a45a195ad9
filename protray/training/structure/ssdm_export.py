"""A finished joint encoder as a folder: weights and settings, read without running code from them.

``ssdm.json``            settings, and whether training saw side chains
``model.safetensors``    the encoder, and the fusion where there is one
``heads.safetensors``    what answered the objectives; nothing else needs it
``language_model/``      of a fusion, as Transformers saves it
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from protray.data.location import Location
from protray.models.joint.fusion_config import FusionConfig
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import RivalConfig, SsdmConfig
from protray.models.structure.cdconv_config import CdConvConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.models.structure.gvp_config import GvpConfig
from protray.models.weight_files import first_line, load_weights, save_weights
from protray.plm.sequence_encoder import SequenceEncoder

WEIGHTS, HEADS, SETTINGS, LANGUAGE_MODEL = "model.safetensors", "heads.safetensors", "ssdm.json", "language_model"
RIVALS = {"gvp": GvpConfig, "cdconv": CdConvConfig}  # by what stands in ssdm.json as the encoder


@dataclass(frozen=True)
class SsdmCard:
    """What a folder says of its encoder."""

    config: SsdmConfig | RivalConfig
    side_chains: bool  # whether training saw any; an encoder that did not is not shown them
    objectives: tuple[str, ...]
    seed: int


def save_ssdm(folder: Path, card: SsdmCard, weights: dict[str, Tensor]) -> None:
    """Write the weights of `protray.training.structure.ssdm.Pretrained`, as those of three parts.

    Without those of its language model (`Pretrained.learnt`), that is written as it was before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, dict[str, Tensor]] = {"model.": {}, "heads.": {}, "model.lm.": {}}
    for name, weight in weights.items():
        part = max((start for start in parts if name.startswith(start)), key=len)
        parts[part][name.removeprefix(part)] = weight
    save_weights(parts["model."], folder / WEIGHTS)
    save_weights(parts["heads."], folder / HEADS)
    if card.config.lm is not None:
        lm = SequenceEncoder(card.config.lm, trained=False)
        if parts["model.lm."]:
            lm.load_state_dict(parts["model.lm."])
        lm.save(folder / LANGUAGE_MODEL)
    content = asdict(card)
    if rival := next((name for name, kind in RIVALS.items() if isinstance(card.config.net, kind)), None):
        content["encoder"] = rival
    (folder / SETTINGS).write_text(json.dumps(content, indent=1) + "\n")


def load_ssdm(folder: Path | Location) -> tuple[SsdmCard, Ssdm]:
    """Read what `save_ssdm` wrote, at a path or an address: on the CPU, in evaluation mode.

    Raises ValueError if the folder holds no such encoder, or not all of one.
    """
    card = load_card(folder)
    local = Location(folder).fetch()
    if card.config.lm and not (local / LANGUAGE_MODEL).is_dir():
        raise ValueError(f"{folder} has no {LANGUAGE_MODEL}, which its fusion reads; give the whole folder")
    lm = SequenceEncoder(str(local / LANGUAGE_MODEL), trained=False) if card.config.lm else None
    try:
        net = Ssdm(card.config, lm, lm.channels if lm else 0)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder}/{SETTINGS}: no network can have these settings: {first_line(error)}") from None
    net.lm = None  # its weights are in a folder of their own
    load_weights(net, local / WEIGHTS)
    net.lm = lm
    return card, net.eval()


def load_card(folder: Path | Location) -> SsdmCard:
    """Read the settings of an encoder; ValueError if the folder holds none."""
    path = Location(folder) / SETTINGS
    if not path.is_file():
        raise ValueError(f"{folder} holds no {SETTINGS}; give the folder `model` in the --out of jobs/ssdm.py")
    content = path.read_json()
    try:
        joint = content["config"]
        parts, rival = {"fuse": FusionConfig(**joint["fuse"])}, content.get("encoder")
        if rival:
            net = {name: tuple(value) if isinstance(value, list) else value for name, value in joint["net"].items()}
            config = RivalConfig(**joint | parts | {"net": RIVALS[rival](**net)})
        else:
            config = SsdmConfig(**joint | parts | {"net": FrameAttentionConfig(**joint["net"])})
        return SsdmCard(config, content["side_chains"], tuple(content["objectives"]), content["seed"])
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {first_line(error)}); put it back") from None


def is_fused(folder: Path | Location) -> bool:
    """Whether a folder of a model holds a joint encoder that reads a language model."""
    return is_ssdm(folder) and load_card(folder).config.fusion != "none"


def fused_lm(folder: Path | Location) -> str | None:
    """The folder on this machine of the language model that a joint encoder reads; None if it reads none."""
    return str(Location(folder).fetch() / LANGUAGE_MODEL) if is_fused(folder) else None


def is_ssdm(folder: Path | Location) -> bool:
    """Whether a folder of a model holds a joint encoder."""
    return (Location(folder) / SETTINGS).is_file()
