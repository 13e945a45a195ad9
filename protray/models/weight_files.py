"""Files of weights: which ones a folder has, whether they are whole, and weights put into a network of ours.

A file is judged by its name, size and header; nothing in it is run.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from protray.seq.errors import first_of

if TYPE_CHECKING:
    from torch import Tensor, nn

SAFETENSORS, PYTORCH = "model.safetensors", "pytorch_model.bin"  # in the order in which Transformers looks for them
POINTER = b"version https://git-lfs"
OTHERS = ("*.safetensors", "*.bin", "*.h5", "*.msgpack", "*.pt", "*.pth", "*.ckpt", "*.onnx", "*.gguf")


def weight_files(folder: Path) -> list[Path]:
    """The files that a Hugging Face model is read from; ValueError if one that belongs to it is not there."""
    for name in (SAFETENSORS, PYTORCH):
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            return _shards(folder / f"{name}.index.json")
        if (folder / name).is_symlink():
            raise ValueError(f"{folder / name} is a link to a file that is not there; copy the file itself")
    found = sorted({file.name for pattern in OTHERS for file in folder.glob(pattern)})
    has = f"; it has {first_of(found)}" if found else ""
    if any("-of-" in name for name in found):
        raise ValueError(f"{folder} lacks the index of its weights ({SAFETENSORS}.index.json){has}; copy it, too")
    raise ValueError(f"{folder} has no weights ({SAFETENSORS} or {PYTORCH}){has}; save them with save_pretrained")


def _shards(index: Path) -> list[Path]:
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"{index} names no files (weight_map); download it again")
    files = [index.parent / name for name in sorted(set(places.values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ValueError(f"{index} names {len(missing)} of {len(files)} files that are not there: {first_of(missing)}")
    return files


def read_object(file: Path) -> dict:
    """A JSON object; ValueError naming the file if it is something else."""
    content = file.read_bytes()
    _check_start(file, content[:64])
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError(f"{file} is damaged: it is no JSON; download or copy it again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file} is damaged: it holds no JSON object")
    return found


def check_whole(file: Path) -> None:
    """Raise ValueError for what stands in a file's place, and for a file that ends too early or too late."""
    with file.open("rb") as opened:
        start = opened.read(64)
    _check_start(file, start)
    if file.suffix == ".safetensors":
        _check_safetensors(file)
    elif start[:2] == b"PK" and not zipfile.is_zipfile(file):
        raise ValueError(f"{file} is cut off: its end is missing; download or copy it again")


def _check_start(file: Path, start: bytes) -> None:
    if not start:
        raise ValueError(f"{file} is empty; download or copy it again")
    if start.startswith(POINTER):
        raise ValueError(f"{file} is a Git LFS pointer, not the file itself: run `git lfs pull` where it came from")
    if start.lstrip()[:5].lower() in (b"<!doc", b"<html"):
        raise ValueError(f"{file} is a web page, not the file itself; download it again")


def _check_safetensors(file: Path) -> None:
    """The header is a length in 8 bytes and as much JSON, which says where the last weight ends."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or 8 + length > size:
            what = "is cut off in its header" if opened.read(1) in (b"{", b"") else "is no safetensors file"
            raise ValueError(f"{file} {what}; download or copy it again")
        header = opened.read(length)
    try:
        ends = [entry["data_offsets"][1] for name, entry in json.loads(header).items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{file} is damaged: its header cannot be read; download or copy it again") from None
    if size != expected:
        what = "is cut off" if size < expected else "is damaged"
        raise ValueError(f"{file} {what}: {size:,} of {expected:,} bytes; download or copy it again")


def save_weights(weights: "Mapping[str, Tensor]", file: Path) -> None:
    """Write a safetensors file that others may read, too: `save_file` leaves it to its owner alone."""
    from safetensors.torch import save

    file.write_bytes(save({name: weight.contiguous() for name, weight in weights.items()}))


def load_weights(net: "nn.Module", file: Path) -> None:
    """Put the weights of a file into a network of ours; ValueError unless they are all of its weights and finite."""
    from safetensors.torch import load_file

    if not file.is_file():
        raise ValueError(f"{file} is not there; give the whole folder that the training has left")
    check_whole(file)
    try:
        found = load_file(file)
    except Exception as error:  # SafetensorError: a header that is JSON, but not that of weights
        raise ValueError(f"{file} is damaged: {first_line(error)}") from None
    wanted = net.state_dict()
    for reason, names in {
        "lacks weights that its settings ask for": [name for name in wanted if name not in found],
        "has weights that its settings do not ask for": [name for name in found if name not in wanted],
        "has weights of another shape than its settings say": [
            name for name in wanted if name in found and _differ(wanted, found, name)
        ],
    }.items():
        if names:
            raise ValueError(f"{file} {reason}: {first_of(names)}; is it a file of another model?")
    net.load_state_dict(found)
    check_finite(net, str(file))


def _differ(wanted: dict, found: dict, name: str) -> bool:
    return wanted[name].shape != found[name].shape


def check_finite(net: "nn.Module", where: str) -> None:
    """Raise ValueError for weights that are NaN or infinite."""
    import torch

    broken = [
        name
        for name, weight in net.named_parameters()
        if not torch.isfinite(weight.detach().sum(dtype=torch.float64))  # without a copy of the size of the weights
    ]
    if broken:
        raise ValueError(
            f"{where}: weights are not finite numbers: {first_of(broken)}; the training or the file is broken"
        )


def first_line(error: BaseException, most: int = 120) -> str:
    """What an error of a library says, in short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else type(error).__name__
    return text if len(text) <= most else text[: most - 3] + "..."
