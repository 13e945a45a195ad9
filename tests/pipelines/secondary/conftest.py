"""What the tests of jobs/distil.py are given."""

import pytest
from distil_here import Inputs, make_inputs
from tiny import tiny_networks

from protray.data.location import Location


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    return make_inputs(Location(tmp_path_factory.mktemp("inputs")))


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr("protray.training.secondary.stages.SMALL", tiny_networks())
