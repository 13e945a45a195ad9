"""Training states on disk: written whole or not at all, read without running code from them."""

import os
from pathlib import Path

import torch

STATE = "state.pt"


def save_state(folder: Path, state: dict) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts) to ``folder/state.pt`` atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{STATE}.partial"
    torch.save(state, partial)
    os.replace(partial, folder / STATE)


def load_state(folder: Path) -> dict:
    """Read what `save_state` wrote, on the CPU."""
    return torch.load(folder / STATE, map_location="cpu", weights_only=True)
