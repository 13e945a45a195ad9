"""What a step costs through Ray: the arithmetic, and that all runs end; no time is tested."""

import pytest

from protray.bench.through_ray import cases as through_ray
from protray.bench.through_ray.cases import Training
from protray.bench.timing import Spread
from protray.models.score.score_config import ScoreNetConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.training.world import World

TINY = ScoreNetConfig(blocks=2, channels=16, bottleneck=16, dilations=(1, 2), positional=4, distances=3)


def training(steps: int = 30, first: int = 14) -> Training:
    return Training("a crop", lambda settings: [(float(n), n / 2) for n in range(steps)], print, {}, steps, first)


def test_seconds_of_a_step_leave_out_the_first_and_the_last() -> None:
    """Ends at 0, 9, 10, 12, 14, 99 s: steps 2 to 4 count, of 1, 2 and 2 s, with a tenth as much of the processor."""
    stamps = [(end, end / 10) for end in (0.0, 9.0, 10.0, 12.0, 14.0, 99.0)]
    assert through_ray.per_step(stamps, first=2) == pytest.approx((5 / 3, 5 / 30))


def test_ray_cases_compare_what_they_say(monkeypatch) -> None:
    """1 s plainly, 1.25 s with one worker, 0.625 s with two; bare processes 0.9 and 0.6 s: ratios 0.8, 2 and 1.5.

    Of the processor 0.5 s and 0.625 s: 0.8.
    """
    monkeypatch.setattr(through_ray, "start_ray", lambda: None)
    monkeypatch.setattr(through_ray, "stop_ray", lambda cluster: None)
    monkeypatch.setattr(through_ray, "ray_seconds", lambda _, workers: (1.25 / workers, 0.625))
    monkeypatch.setattr(through_ray, "bare_seconds", lambda _, workers: ({1: 0.9, 2: 0.6}[workers], 0.6))
    found = {one.name: one for one in through_ray.ray_cases(training(), 2)}
    assert found["step through Ray"].plain_s == Spread(1, 1, 1)
    assert found["the same, processor time"].plain_s == Spread(0.5, 0.5, 0.5)
    assert found["step of two processes"].measured == (
        "a crop, mean of steps 14 to 28; plain: one process; both without Ray"
    )
    assert [one.ratio_plain.median for one in found.values()] == pytest.approx([0.8, 0.8, 2, 1.5])


def alone(timed: Training) -> tuple[float, float]:
    """Seconds of a step in this process."""
    reports: list[dict] = []
    through_ray.timed_loop({"training": timed}, lambda metrics, _: reports.append(metrics), None, World())
    return reports[-1]["wall"], reports[-1]["processor"]


@pytest.mark.parametrize("name", [pytest.param("score", marks=pytest.mark.ray), "ssdm"])
def test_seconds_of_steps_plainly_and_as_the_job_does_them(request, monkeypatch, name) -> None:
    """One of the two through Ray."""
    from protray.bench.through_ray import score, ssdm

    if name == "score":
        request.getfixturevalue("ray_local")
    which = {"score": score, "ssdm": ssdm}[name]
    small = FrameAttentionConfig(channels=8, heads=1, pair=4, layers=1, neighbours=4)
    monkeypatch.setattr(which, "NET", {"score": TINY, "ssdm": small}[name])
    monkeypatch.setattr(which, "STEPS", 5)
    monkeypatch.setattr(which, "FIRST", 2)
    timed = which.training()
    for wall, processor in (
        through_ray.per_step(timed.plain(timed.settings), timed.first),
        through_ray.ray_seconds(timed, 1) if name == "score" else alone(timed),
    ):
        assert 0 < wall < 60 and 0 < processor < 60
