import numpy as np
import pytest

from protray.plm import quality
from protray.plm.reading import Reading
from protray.seq.alphabet import encode


def test_map_quality_by_hand(monkeypatch) -> None:
    """True residues got 1/2 and 1/8: perplexity exp(mean(ln 2, ln 8)) = 4; one of the two got most; X is skipped."""

    def fixed(lm: object, codes_L: np.ndarray, reading: Reading) -> np.ndarray:
        prob_LA = np.full((3, 20), 0.01)
        prob_LA[0, 0], prob_LA[1, 1], prob_LA[1, 2] = 0.5, 0.125, 0.4
        return prob_LA

    monkeypatch.setattr(quality, "probability_map", fixed)
    found = quality.map_quality(None, [encode("ARX")], Reading())  # type: ignore[arg-type]
    assert (found.perplexity, found.top1) == (pytest.approx(4.0), 0.5)
    assert (found.residues, found.proteins) == (2, 1)


def test_no_protein() -> None:
    with pytest.raises(ValueError, match="there is no protein to score"):
        quality.map_quality(None, [], Reading())  # type: ignore[arg-type]
