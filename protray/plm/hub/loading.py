"""A masked language model of Transformers, whole: what its files lack is an error, never made up.

Transformers draws weights that are missing at random, and says so in a log that jobs do not show.
"""

import re
from pathlib import Path
from typing import Any  # models of Transformers, whose attributes no type checker knows

import torch

from protray.models.weight_files import check_finite, first_line
from protray.plm.shipped import resolve
from protray.seq.errors import first_of

# not used for maps, or computed from the configuration
UNUSED = re.compile(r"(^|\.)(pooler|contact_head)\.|\.(inv_freq|position_ids)$")
TIED = 2  # weights of a head that may be those of the embeddings, or of the head itself, under another name
IN_A_LAYER = re.compile(r"\.\d+\.")


def read_config(name: str) -> Any:
    """The configuration of a masked language model by hub name or folder, or of the shipped one.

    Raises ValueError if there is none, or if it is of a model of another kind.
    """
    from transformers import AutoConfig, AutoModelForMaskedLM

    with refused_in_one_line(name):
        config = AutoConfig.from_pretrained(resolve(name), trust_remote_code=False)
    if type(config) not in AutoModelForMaskedLM._model_mapping or config.is_encoder_decoder:
        raise ValueError(
            f"language model {name}: architecture {config.model_type!r} has no masked-LM head in Transformers, which "
            "maps need; give a model such as ESM-2 or ProtBert"
        )
    if getattr(config, "is_decoder", False):
        raise ValueError(
            f"language model {name}: it reads from left to right (is_decoder in config.json); maps need both sides"
        )
    return config


def read_model(name: str, config: Any, dtype: torch.dtype) -> Any:
    """The model with all of its weights, in evaluation mode on the CPU; ValueError naming what is wrong with them."""
    from transformers import AutoModelForMaskedLM

    with refused_in_one_line(name):
        model, info = AutoModelForMaskedLM.from_pretrained(
            resolve(name), config=config, trust_remote_code=False, weights_only=True, dtype=dtype,
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    _check_shapes(name, sorted(info["mismatched_keys"]))
    order = {key: number for number, key in enumerate(model.state_dict())}
    missing = sorted((key for key in info["missing_keys"] if not UNUSED.search(key)), key=lambda key: order.get(key, 0))
    unexpected = sorted(key for key in info["unexpected_keys"] if not UNUSED.search(key))
    if missing:
        why = _why_missing(model, config, missing, unexpected)
        count = f"{len(missing)} of {len(order)}"
        raise ValueError(f"language model {name}: its files lack {count} weights: {first_of(missing)}; {why}")
    too_many = [key for key in unexpected if key.startswith(model.base_model_prefix + ".") and IN_A_LAYER.search(key)]
    if too_many:
        raise ValueError(
            f"language model {name}: config.json has no place for {len(too_many)} weights of its files: "
            f"{first_of(too_many)}; is it the config.json of another model?"
        )
    if info["error_msgs"]:
        raise ValueError(f"language model {name}: {first_line(ValueError(info['error_msgs'][0]))}")
    check_finite(model, f"language model {name}")
    return model.eval()


def _check_shapes(name: str, mismatched: list[tuple]) -> None:
    if mismatched:
        key, found, wanted = mismatched[0]
        more = f" (and {len(mismatched) - 1} more)" if len(mismatched) > 1 else ""
        raise ValueError(
            f"language model {name}: {key} is {_product(found)} in its files and {_product(wanted)} by its "
            f"config.json{more}; they are of two models"
        )


def _product(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _why_missing(model: Any, config: Any, missing: list[str], unexpected: list[str]) -> str:
    prefix = _prefix(missing, unexpected)
    if prefix:
        return f"there they begin with {prefix!r}; save the model without that"
    head = [key for key in model.state_dict() if not key.startswith(model.base_model_prefix + ".")]
    if set(missing) <= set(head):
        saved_as = next(iter(config.architectures or ()), "an encoder")
        lacks = "it has no masked-LM head" if len(missing) >= len(head) - TIED else "its masked-LM head is not whole"
        return f"{lacks} (saved as {saved_as}), and maps would be random"
    return "are all of its files there, and of one model?"


def _prefix(missing: list[str], unexpected: list[str]) -> str:
    """What stands before the names of most missing weights in the file; empty if nothing does."""
    for key in unexpected:
        for wanted in missing:
            if key.endswith("." + wanted):
                prefix = key.removesuffix(wanted)
                found = sum(prefix + name in unexpected for name in missing)
                return prefix if 2 * found >= len(missing) else ""
    return ""


class refused_in_one_line:  # noqa: N801  # reads as a sentence behind `with`
    """Turn what Transformers raises, of many types and lines, into a ValueError of one line."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, MemoryError):
            return
        if "DefaultCPUAllocator" in str(error) or (isinstance(error, OSError) and error.errno):
            return  # of the machine, which may do better the next time
        text = str(error)
        if "trust_remote_code" in text or "does not recognize this architecture" in text:
            kind_of = re.search(r"model type `([^`]*)`", text)
            named = f" {kind_of[1]!r}" if kind_of else ""
            reason = f"its architecture{named} is not part of Transformers, and protray runs no code of model folders"
        elif "Weights only load failed" in text:
            reason = "its weights hold Python objects, which protray does not run; save them as safetensors"
        elif isinstance(error, ImportError):
            reason = f"it needs a package that is not installed: {first_line(error)}"
        else:
            reason = f"it cannot be loaded: {type(error).__name__}: {first_line(error)}"
            if not Path(resolve(self.name)).is_dir():
                reason += " Without a connection, give a folder, or a name that is in the cache of Hugging Face"
        raise ValueError(f"language model {self.name}: {reason}") from None
