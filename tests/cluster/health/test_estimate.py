"""Rates and times by hand, the table, and how many processes are timed; no work is done here."""

import pytest

from protray.cluster.health import estimate
from protray.cluster.health.estimate import (
    Estimate,
    Line,
    Process,
    Timed,
    Trials,
    mean_rate,
    seconds_for,
    spread,
    timed,
)
from protray.cluster.health.plan_table import cells, print_estimate
from protray.cluster.runtime.capacity import Node
from protray.cluster.runtime.resources import Stage
from protray.cluster.runtime.start import Cluster
from protray.data.location import Location

LAPTOP = Cluster((Node({"CPU": 2.0}),), local=True, ours=True)
MAPS = Stage(name="maps", kind="map", workers=2, cpus_per_worker=0.5, data_cpus=1)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Time as the test sets it."""
    now = [0.0]
    monkeypatch.setattr(estimate.time, "monotonic", lambda: now[0])
    return now


def pieces(clock: list[float], *each: tuple[float, float]):  # noqa: ANN201
    for work, seconds in each:
        clock[0] += seconds
        yield work


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        ([(1, 2.0), (10, 1.0), (20, 2.5), (40, 1.0)], Timed(30, 3.5)),  # the first warms up, the last is too late
        ([(1, 2.0), (10, 1.0)], Timed(10, 1.0)),  # no more work
        ([(5, 2.0)], Timed(5, 2.0)),  # nothing but the first
        ([(5, 4.0), (10, 1.0)], Timed(10, 1.0)),  # slow imports say nothing of the work
        ([(5, 31.0), (10, 1.0)], Timed(5, 31.0)),  # longer than there is time for
    ],
)
def test_timed_by_hand(clock, each, expected) -> None:
    assert timed(pieces(clock, *each), 3.0) == expected


def test_rates_by_hand() -> None:
    """Two processes of 10 and 20 a second: 15 in the mean, and 300 take both of them 10 s."""
    rate = mean_rate([Timed(30, 3), Timed(40, 2)])
    assert rate == 15
    assert seconds_for(300, rate, 2) == 10
    assert mean_rate([]) is None
    assert seconds_for(300, None, 2) is None
    assert seconds_for(0, None, 2) == 0


def test_rows_per_second_are_those_of_what_is_left() -> None:
    line = Line(name="maps", unit="proteins", rows=1000, done=400, seconds=60, stage=MAPS)
    assert line.per_second == 10
    assert Line(name="maps", unit="proteins", rows=10, done=10).per_second is None


def test_spread() -> None:
    assert spread(10, 5) == [0, 2, 4, 6, 8]
    assert spread(2, 5) == [0, 1]
    assert spread(0, 5) == []


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            Line(name="maps", unit="proteins", rows=1000, seconds=180, stage=MAPS),
            ("maps", "1,000 proteins", "", "2 x 0.5 CPU", "5.56", "0.05"),
        ),
        (
            Line(name="maps", unit="proteins", rows=4e6, done=1e6, about=True, seconds=3.6e5),
            ("maps", "about 4,000,000 proteins", "25 %", "the driver", "8.33", "100"),
        ),
        (Line(name="a", unit="rows", rows=8, done=8, stage=MAPS), ("a", "8 rows", "all", "", "", "0")),
        (
            Line(name="a", unit="rows", rows=8, seconds=0.1, stage=MAPS),
            ("a", "8 rows", "", "2 x 0.5 CPU", "80", "0.0001"),
        ),
        (
            Line(name="a", unit="rows", rows=8, done=2, seconds=None, stage=MAPS),
            ("a", "8 rows", "25 %", "2 x 0.5 CPU", "", "?"),
        ),
    ],
)
def test_cells(line, shown) -> None:
    assert cells(line) == shown


def test_the_total_says_when_something_is_missing(capsys, tmp_path) -> None:
    """1800 s and 900 s are 45 minutes; a stage without an estimate makes it more than that."""
    known = [Line(name=name, unit="rows", rows=9, seconds=s, stage=MAPS) for name, s in (("a", 1800), ("b", 900))]
    print_estimate(tmp_path, Estimate(lines=tuple(known), cluster=LAPTOP, notes=("a trial",), leaves_out="MLflow"))
    shown = capsys.readouterr().out
    assert "in all     about 0.75 h (45 min 0 s)" in shown
    assert "2 CPUs, this machine" in shown and "based on   a trial" in shown and "left out   MLflow" in shown
    unknown = Line(name="c", unit="rows", rows=9, seconds=None)
    print_estimate(tmp_path, Estimate(lines=(*known, unknown), cluster=LAPTOP))
    told = capsys.readouterr().out
    assert "in all     more than 0.75 h" in told and "unknown    c: too little was done" in told


def test_nothing_left_to_do(capsys, tmp_path) -> None:
    print_estimate(tmp_path, Estimate())
    assert (
        capsys.readouterr().out
        == f"{tmp_path} is complete and was made with the same inputs and settings: nothing to do\n"
    )


@pytest.mark.ray
def test_pieces_run_with_the_resources_of_their_stage(ray_local, monkeypatch) -> None:
    """Four CPUs hold four of nine processes of one CPU; none of eight CPUs, so one process is timed beside them."""

    def same(process: Process) -> Process:  # within the test: workers cannot import this file
        return process

    def refuse(process: Process) -> None:
        raise ValueError(f"process {process.rank} has no input")

    def sleep(process: Process) -> None:
        import time

        time.sleep(60)

    with Trials(Location("nowhere")) as trials:
        nine = Stage(name="nine", kind="train", workers=9)
        assert sorted(process.rank for process in trials.run(nine, 2, same)) == [0, 1, 2, 3]
        monkeypatch.setattr(estimate, "WAIT_S", 0.5)
        large = Stage(name="large", kind="train", workers=2, cpus_per_worker=8)
        assert trials.run(large, 8, same) == [Process(0, 2, 8)]
        assert "large: no machine with room for a process of it is up" in trials.notes[0]
        one = Stage(name="one", kind="train", workers=1)
        with pytest.raises(ValueError, match="process 0 has no input"):
            trials.run(one, 1, refuse)
        monkeypatch.setattr(estimate, "LIMIT_S", 1.0)
        assert trials.run(one, 1, sleep) == []
        assert "one: nothing was done within 1 s, so there is no estimate" in trials.notes
        made = trials.estimate([Line(name="nine", unit="rows", rows=1, seconds=1, stage=nine)], "nothing")
    assert len(made.notes) == 3
