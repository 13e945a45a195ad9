"""What the tests of jobs/distil.py and jobs/predict.py are given."""

from pathlib import Path

import pytest
from batch_here import use_no_ray
from distil_here import Inputs, make_inputs
from tiny import tiny_networks
from tiny_model import save_tiny_lm, save_tiny_model

from protray.data.location import Location


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    return make_inputs(Location(tmp_path_factory.mktemp("inputs")))


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr("protray.training.secondary.stages.SMALL", tiny_networks())


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> Path:
    return save_tiny_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def model(tmp_path_factory, lm) -> Location:
    return Location(save_tiny_model(tmp_path_factory.mktemp("job") / "model", lm))


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Names of the items that are worked on, in this process."""
    found: list[str] = []
    use_no_ray(monkeypatch, found.append)
    return found
