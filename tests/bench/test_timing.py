"""What a benchmark reports, with a clock that is moved by hand; no test asserts a time."""

from collections.abc import Callable

import numpy as np
import pytest

from protray.bench import timing
from protray.bench.timing import Case, Spread, compare, interleaved, peak_bytes


class Clock:
    """Seconds that pass only when something is run."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def task(self, name: str, *seconds: float) -> Callable[[], None]:
        """A function that takes each of `seconds` in turn."""
        left = list(seconds)

        def run() -> None:
            self.log.append(name)
            self.now += left.pop(0)

        return run


def test_functions_take_turns_and_the_first_turn_does_not_count() -> None:
    clock = Clock()
    found = interleaved({"a": clock.task("a", 9, 1, 2), "b": clock.task("b", 9, 3, 4)}, 2, clock)
    assert clock.log == ["a", "b"] * 3
    assert found == {"a": [1, 2], "b": [3, 4]}


def test_spread_by_hand() -> None:
    """0, 1, 2, 3, 10: quartiles 1 and 3."""
    assert Spread.of([10, 0, 1, 3, 2]) == Spread(2, 1, 3)
    assert Spread.of([7]) == Spread(7, 7, 7)


def test_ratio_is_taken_within_each_turn() -> None:
    """The machine slows down threefold in the second turn; the ratio stays 4.  The plain one does half the work."""
    clock = Clock()
    case = compare(
        "c", "m", clock.task("p", 5, 2, 6, 2), clock.task("o", 5, 1, 3, 1), 3,
        plain_share=0.5, work=30, limit=120, limit_name="x", clock=clock,
    )  # fmt: skip
    assert case.ratio_plain == Spread(4, 4, 4)
    assert case.plain_s.median == 4 and case.ours_s.median == 1
    assert case.rate == 30
    assert case.share_of_limit == 0.25


def test_without_a_limit_there_is_no_share() -> None:
    one = Spread(1, 1, 1)
    assert Case(name="c", measured="m", plain_s=one, ours_s=one, ratio_plain=one).share_of_limit is None


def test_rates_of_the_machine_by_hand(monkeypatch) -> None:
    """Two seconds a run by this clock: 2 x 8^3 operations, 1024 bytes."""

    def clock(ticks: list[int] = [0]) -> float:  # noqa: B006  it counts its calls
        ticks[0] += 2
        return ticks[0]

    monkeypatch.setattr(timing, "OUT_OF_CACHE", 1024)
    assert timing.matrix_rate("bfloat16", 8, clock) == 512
    assert timing.write_rate(clock) == timing.fresh_write_rate(clock) == timing.read_rate(clock) == 512


def test_peak_memory_counts_numpy() -> None:
    assert peak_bytes(lambda: np.ones(1 << 20, dtype=np.uint8)) == pytest.approx(1 << 20, rel=0.02)
