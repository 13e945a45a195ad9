"""The clock of a training's plan, by hand."""

import pytest

from protray.cluster.health.estimate import Process, Timed
from protray.cluster.train import measure
from protray.cluster.train.measure import EnoughError, Ticks, time_loop


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Time as the test sets it."""
    now = [0.0]
    monkeypatch.setattr(measure.time, "monotonic", lambda: now[0])
    return now


def reports(clock: list[float], ticks: Ticks, each: list[float], every: int) -> None:
    """Steps that take so long, with a state after `every` of them."""
    for step, seconds in enumerate(each, start=1):
        clock[0] += seconds
        ticks({"step": step}, {} if step % every == 0 else None)


def test_what_counts_lies_between_two_states(clock) -> None:
    """States after 4 and 8 steps: the first four warm up, the next take 1 + 1 + 1 + 2 s, which is more than 3."""
    ticks = Ticks(3.0)
    with pytest.raises(EnoughError):
        reports(clock, ticks, [5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 9.0], every=4)
    assert ticks.timed == Timed(4, 5.0)


def test_a_loop_that_ends_by_itself(clock) -> None:
    ticks = Ticks(30.0)
    reports(clock, ticks, [5.0, 1.0, 1.5, 2.5], every=2)
    assert ticks.timed == Timed(2, 4.0)
    one = Ticks(30.0)
    reports(clock, one, [5.0, 1.0], every=2)  # no second state: with what warms up
    assert one.timed == Timed(2, 6.0)


def test_slow_steps_end_without_a_state(clock) -> None:
    """20 s each: after the third there are more than 40 s."""
    ticks = Ticks(3.0)
    with pytest.raises(EnoughError):
        reports(clock, ticks, [20.0] * 9, every=100)
    assert ticks.timed == Timed(3, 60.0)


def test_a_loop_runs_as_it_does_in_a_training_but_stops(monkeypatch) -> None:
    monkeypatch.setattr(Process, "use_torch", lambda self: None)
    seen = []

    def endless(settings, report, resume, world) -> None:  # noqa: ANN001
        assert resume is None and (world.rank, world.size, world.device) == (0, 1, "cpu")
        while True:
            seen.append(settings["what"])
            report({"step": len(seen)}, {})

    timed = time_loop(Process(seconds=0.02), endless, {"what": "a step"})
    assert timed.work == len(seen) - 1 and timed.seconds > 0.02
