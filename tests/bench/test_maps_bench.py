"""The benchmark of the maps measures the same thing twice; what it measures is not tested."""

import pytest

from protray.bench import maps
from protray.plm import pretraining


def test_ours_and_the_plain_loop_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "LENGTHS", (12,))
    monkeypatch.setitem(pretraining.SIZES, "8m", (32, 2, 4))
    monkeypatch.setattr(maps, "matrix_rate", lambda *_, **__: 1e9)
    [case], differences = maps.bench(repeats=1)
    assert case.name == "L = 12"
    # 2 layers of 12 x 32^2 weights, 9 x 32 biases and 4 x 32 of layer norms, times 2 x 12 x 14
    assert case.rate == pytest.approx(2 * 2 * (12 * 32**2 + 13 * 32) * 12 * 14 / case.ours_s.median)
    assert 0 < max(differences.values()) < 5e-3
