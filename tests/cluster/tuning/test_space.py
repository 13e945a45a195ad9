"""Studies and points: reading them, spreading them over a grid, putting them into settings.  No Ray."""

import itertools
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.space import Range, Space, choose_points, point_name, read_space, replaced, spread


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1
    layers: int = 2
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = "a"
    inner: Inner = field(default_factory=Inner)


SPACE = Space(
    name="s", job="distil", metric="m", mode="max", paper={"a": 1.0, "b": "x"},
    varied={"a": Range(low=0.01, high=100.0, grid=(0.1, 1.0, 10.0), log=True), "b": ("x", "y")},
)  # fmt: skip


def test_replaced_reaches_inner_settings_and_keeps_the_rest() -> None:
    found = replaced(Outer(name="b"), {"inner.rate": 1, "inner.bias": False})
    assert found == Outer(name="b", inner=Inner(rate=1, bias=False))


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"inner.rat": 1.0}, r"no setting 'inner.rat'; the nearest is 'inner.rate' \(now 0.1\)"),
        ({"inner.rate.x": 1.0}, "nearest is 'inner.rate'"),
        ({"inner.layers": 2.5}, "'inner.layers' is a int such as 2, got 2.5"),
        ({"inner.layers": True}, "'inner.layers' is a int such as 2, got True"),
        ({"inner.bias": 1}, "'inner.bias' is a bool"),
        ({"name": 3}, "'name' is a str"),
    ],
)
def test_wrong_settings_are_named(point, message) -> None:
    with pytest.raises(ValueError, match=message):
        replaced(Outer(), point)


def test_grid_and_draws() -> None:
    assert SPACE.grid() == [{"a": a, "b": b} for a in (0.1, 1.0, 10.0) for b in ("x", "y")]
    drawn = choose_points(SPACE, "random", 400, seed=0)
    assert drawn[0] == SPACE.paper
    assert drawn[:7] == choose_points(SPACE, "random", 7, seed=0)  # more samples continue the same series
    assert drawn[1] != choose_points(SPACE, "random", 2, seed=1)[1]
    below = sum(point["a"] < 1 for point in drawn[1:])  # half of a logarithmic range from 0.01 to 100
    assert 150 < below < 250 and all(0.01 <= point["a"] <= 100 for point in drawn)


def test_spread_beats_chance_and_comes_near_an_orthogonal_array() -> None:
    """Nine of the 81 points of four settings with three values; in the array L9 no two rows share more than one."""
    points = [dict(zip("abcd", values, strict=True)) for values in itertools.product(range(3), repeat=4)]
    found = spread(points, points[0], 9)
    assert found[0] == points[0] and len(found) == 9
    assert spread(points, points[0], 5) == found[:5]

    def shared_squared(chosen: list[dict]) -> int:
        pairs = itertools.combinations(chosen, 2)
        return sum(sum(one[name] == two[name] for name in "abcd") ** 2 for one, two in pairs)

    rng = random.Random(0)
    by_chance = [shared_squared(rng.sample(points, 9)) for _ in range(200)]
    assert shared_squared([points[0], *points[40:48]]) > 60  # neighbours in the grid: what not to do
    assert 36 <= shared_squared(found) < min(by_chance)  # 36 = 36 pairs that share one value each: L9


def test_spread_is_balanced_for_the_weights() -> None:
    """12 of 243 points: no value of a weight more than twice as often as another."""
    points = [dict(zip("abcde", values, strict=True)) for values in itertools.product(range(3), repeat=5)]
    found = spread(points, points[121], 12)
    assert len({tuple(point.values()) for point in found}) == 12
    for name in "abcde":
        counts = Counter(point[name] for point in found)
        assert min(counts.values()) >= 3 and max(counts.values()) <= 5


def test_spread_of_a_small_grid_is_the_whole_grid() -> None:
    points = [{"a": 1}, {"a": 2}]
    assert spread(points, {"a": 9}, 12) == [{"a": 9}, *sorted(points, key=spread(points, {"a": 9}, 12).index)]
    assert {point["a"] for point in spread(points, {"a": 2}, 12)} == {1, 2}


def test_names() -> None:
    assert point_name({"weights.alpha": 0.160000001, "fit.anneal": False, "n": 3}) == "alpha=0.16 anneal=False n=3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("JOB = 'distil'", "does not define METRIC, MODE, PAPER, SPACE"),
        ("JOB, METRIC, MODE, PAPER, SPACE = 'distil', 'm', 'max', {'a': 1}, {'b': (1,)}", r"got \['b'\] and \['a'\]"),
    ],
)
def test_files_that_are_no_study(tmp_path, text, message) -> None:
    (tmp_path / "s.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_space(str(tmp_path / "s.py"))


def test_missing_file_and_bad_ranges() -> None:
    with pytest.raises(ValueError, match="no such file; studies lie in tune_spaces/"):
        read_space("nowhere.py")
    with pytest.raises(ValueError, match="rises from low to high"):
        Range(low=1.0, high=1.0, grid=())
    with pytest.raises(ValueError, match=r"\[3.0\] lie outside the range 1.0 to 2.0"):
        Range(low=1.0, high=2.0, grid=(1.5, 3.0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 1}, "samples must be at least 2"),
        ({"repeats": 1}, "at least 2 for a spread"),
        ({"max_concurrent": 0}, "max_concurrent must be at least 1"),
        ({"cpus_per_trial": 0.0}, "cpus_per_trial must be above 0"),
        ({"budget_hours": 0.0}, "budget_hours must be above 0"),
    ],
)
def test_impossible_settings(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        SweepRun(space="x.py", **settings)
