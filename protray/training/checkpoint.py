"""Training states on disk: written whole or not at all, checked when read, and read without running code from them."""

import errno
import os
import zipfile
from pathlib import Path

import torch

STATE = "state.pt"


class DamagedCheckpointError(ValueError):
    """A state that is missing, cut short, or not what was written; names the file."""


def save_state(folder: Path, state: dict) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts) to ``folder/state.pt`` atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{STATE}.partial"
    torch.save(state, partial)
    os.replace(partial, folder / STATE)


def load_state(folder: Path) -> dict:
    """Read what `save_state` wrote, on the CPU; raises DamagedCheckpointError if that is not what the file holds.

    torch.save writes a ZIP file with a CRC-32 of every tensor, but torch.load does not look at them.
    """
    path = folder / STATE
    try:
        with zipfile.ZipFile(path) as records:
            damaged = records.testzip()
    except Exception as error:  # a changed byte may come up as any
        if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.EINVAL):
            raise  # the storage does not answer
        raise DamagedCheckpointError(f"{path}: {error}") from None
    if damaged:
        raise DamagedCheckpointError(f"{path}: the checksum of {damaged} is wrong")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # code in the file is its own error
    except RuntimeError as error:  # torch's reader of ZIP files looks at other fields
        raise DamagedCheckpointError(f"{path}: {error}") from None
