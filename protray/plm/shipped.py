"""The small language model in the package; README.md in its folder says how it was trained and how good it is."""

import hashlib
from pathlib import Path

from protray.models.weight_files import PYTORCH, SAFETENSORS, read_object, weight_files

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
    """Size of a model's weights.

    The hub is never asked.  Of a model whose weights are not in this machine's cache, it is the size that the cached
    index of its files says; without one a guess from its cached config.json; and 0 where none of these is here, or
    where config.json has other names for its sizes.
    """
    folder = Path(resolve(name))
    if folder.is_dir():
        return sum(file.stat().st_size for file in weight_files(folder))
    for file in (SAFETENSORS, PYTORCH):
        if weights := _cached(name, file):
            return weights.stat().st_size
        if index := _cached(name, f"{file}.index.json"):
            return int(read_object(index).get("metadata", {}).get("total_size", 0))
    config = _cached(name, "config.json")
    return _guessed_bytes(read_object(config)) if config else 0


def _cached(name: str, file: str) -> Path | None:
    """A file of a model on the hub, in this machine's cache."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, file)
    return Path(found) if isinstance(found, str) else None


def _guessed_bytes(config: dict) -> int:
    """Four bytes for each weight of the embeddings, and in each layer of attention (4 H^2) and the two products after
    it (2 H I); of ESM-2 650M 0.3 % too little."""
    names = "hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size"
    sizes = [size for name in names if isinstance(size := config.get(name), int)]
    if len(sizes) < len(names):
        return 0
    hidden, layers, inner, letters = sizes
    return 4 * (letters * hidden + layers * (4 * hidden**2 + 2 * hidden * inner))


def seconds_per_token(lm: str) -> float:
    """Of a core, about: two operations for each weight of four bytes."""
    return 2 * max(weight_bytes(lm), 1 << 20) / 4 / FLOPS
