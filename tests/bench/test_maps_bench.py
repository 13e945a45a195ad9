"""The benchmark of the maps measures the same thing twice; what it measures is not tested."""

import pytest

from protray.bench import maps
from protray.plm.pretraining import config


def test_ours_and_the_plain_loop_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "LENGTHS", (12,))
    monkeypatch.setitem(config.SIZES, "8m", (32, 2, 4))
    monkeypatch.setattr(maps, "matrix_rate", lambda *_, **__: 1e9)
    monkeypatch.setattr(maps, "ROWS", 10)
    monkeypatch.setattr(maps, "PASSES", ("exact", 6))
    monkeypatch.setattr(maps, "precisions", lambda: ("float32",))
    cases, differences = maps.bench(repeats=1)
    assert [case.name for case in cases] == ["float32 exact, 12", "float32 K = 6, 12"]
    # 2 layers of 12 x 32^2 weights, 9 x 32 biases and 4 x 32 of layer norms, times 2 x 10 rows x 14
    assert cases[0].rate == pytest.approx(2 * 2 * (12 * 32**2 + 13 * 32) * 10 * 14 / cases[0].ours_s.median)
    assert cases[1].share_of_limit is None
    exact, near = differences.values()
    assert 0 <= exact < 1e-6 < near < 0.05
