"""Twenty steps of the Distil stage, the score network and SSDM against stored curves; see tests/golden/README.md."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "golden"
ALIKE = 8  # steps in which no CPU puts a unit on the other side of a kink
JUMP = ("train/gradient_norm", "train/active_hinges")  # at a kink, where the losses bend


def maker(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"make_{name}", FOLDER / f"make_{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "falls"),
    [("distil_loss", "train/loss"), ("score_loss", "validation/loss"), ("ssdm_loss", "validation/loss")],
)
def test_losses_of_20_steps_are_the_stored_ones(name, falls) -> None:
    stored = json.loads((FOLDER / f"{name}.json").read_text())["losses"]
    found = maker(name).losses()
    assert found.keys() == stored.keys()
    for metric, curve in stored.items():
        assert len(curve) == 20
        assert found[metric][:ALIKE] == pytest.approx(curve[:ALIKE], rel=2e-5), metric
        if metric not in JUMP:
            assert found[metric] == pytest.approx(curve, rel=1e-3), metric
    assert stored[falls][-1] < stored[falls][0]
