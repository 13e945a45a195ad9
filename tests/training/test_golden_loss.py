"""Twenty steps of the Distil stage against the stored curve; see tests/golden/README.md."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "golden"


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_distil_loss", FOLDER / "make_distil_loss.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_losses_of_20_steps_are_the_stored_ones() -> None:
    stored = json.loads((FOLDER / "distil_loss.json").read_text())["losses"]
    found = maker().losses()
    assert found.keys() == stored.keys()
    for name, curve in stored.items():
        assert len(curve) == 20
        assert found[name] == pytest.approx(curve, rel=1e-3), name
    assert stored["train/loss"][-1] < stored["train/loss"][0]
