"""The predictor of secondary structure in the package; the README.md in its folder says how good it is."""

from pathlib import Path

PREDICTOR = Path(__file__).with_name("predictor")
