"""The small language model in the package; README.md in its folder says how it was trained and how good it is."""

import hashlib
from pathlib import Path

SHIPPED = "shipped"  # what `--lm` is by default


def absolute(name: str) -> str:
    """The name of a model as any process understands it, whatever its working directory."""
    return str(Path(name).resolve()) if name != SHIPPED and Path(name).is_dir() else name


def resolve(name: str) -> str:
    """The folder of the shipped model on this machine, or the Hugging Face name or folder that was given."""
    return str(Path(__file__).with_name("tiny")) if name == SHIPPED else name


def check_present(name: str) -> None:
    """Raise ValueError if there is no such model; actors would say so in 100 lines each."""
    path = Path(resolve(name))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(f"language model {path}: it has no config.json, so it is no model folder")
        return
    if path.is_absolute() or len(path.parts) > 2 or name.startswith("."):  # on the hub: `name` or `owner/name`
        raise ValueError(f"language model {path}: there is no such folder")
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"language model {name!r} cannot be loaded: {reason} Without a connection, give a folder, or a name that "
            "is in the cache of Hugging Face"
        ) from None


def fingerprint(name: str) -> str:
    """Hash of a model folder's configuration and weights; a hub name stands for itself."""
    folder = Path(resolve(name))
    if not folder.is_dir():
        return name
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def weight_bytes(name: str) -> int:
    """Size of a model's weights; 0 for one on the hub that is not on this machine yet."""
    folder = Path(resolve(name))
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(name, "model.safetensors")
        return Path(found).stat().st_size if isinstance(found, str) else 0
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
