"""The joint encoder in the package; README.md in its folder says how it was trained and what it is worth."""

from pathlib import Path

ENCODER = Path(__file__).with_name("encoder")
