"""The predictor of secondary structure in the package; how it was made, and how good it is, says README.md beside it."""

from pathlib import Path

PREDICTOR = Path(__file__).with_name("predictor")
