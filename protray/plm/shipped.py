"""The small language model in the package; README.md in its folder says how it was trained and how good it is."""

import hashlib
from pathlib import Path

from protray.models.weight_files import SAFETENSORS, weight_files

SHIPPED = "shipped"  # what `--lm` is by default
NO_LM = "none"  # in place of a language model: what it would tell is left out
FLOPS = 1e11  # floating-point operations of a core in a second, about
HASHED = ("*.json", "*.safetensors", "pytorch_model*.bin", "vocab.txt", "merges.txt", "*.model")


def absolute(name: str) -> str:
    """The name of a model as any process understands it, whatever its working directory."""
    return str(Path(name).resolve()) if name != SHIPPED and Path(name).is_dir() else name


def resolve(name: str) -> str:
    """The folder of the shipped model on this machine, or the Hugging Face name or folder that was given."""
    return str(Path(__file__).with_name("tiny")) if name == SHIPPED else name


def fingerprint(name: str) -> str:
    """Hash of a model folder's configuration, vocabulary and weights; a hub name stands for itself."""
    folder = Path(resolve(name))
    if not folder.is_dir():
        return name
    digest = hashlib.sha256()
    for file in sorted({file for pattern in HASHED for file in folder.glob(pattern)}):
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()[:16]


def weight_bytes(name: str) -> int:
    """Size of a model's weights; 0 for one on the hub that is not on this machine yet."""
    folder = Path(resolve(name))
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(name, SAFETENSORS)
        return Path(found).stat().st_size if isinstance(found, str) else 0
    return sum(file.stat().st_size for file in weight_files(folder))


def seconds_per_token(lm: str) -> float:
    """Of a core, about: two operations for each weight of four bytes."""
    return 2 * max(weight_bytes(lm), 1 << 20) / 4 / FLOPS
