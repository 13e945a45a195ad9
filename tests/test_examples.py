"""The examples in the docstrings of three rooms are true."""

import doctest
import importlib
from pathlib import Path

import pytest

import protray

PACKAGE = Path(protray.__file__).parent
ROOMS = ("seq", "struct", "evaluation")
MODULES = [f"protray.{room}.{path.stem}" for room in ROOMS for path in sorted((PACKAGE / room).glob("*.py"))]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    found = [test for name in MODULES for test in doctest.DocTestFinder().find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) > 30
