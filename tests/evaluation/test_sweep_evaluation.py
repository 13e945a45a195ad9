"""Numbers of a sweep by hand."""

import math

import pytest
from scipy import stats

from protray.evaluation.sweep import (
    Scored,
    levels,
    main_effects,
    pareto_front,
    repeat_rows,
    student_t,
    trial_rows,
    verdict,
)


def scored(a: float, b: str, values: list[float], seed: int = 0, paper: bool = False, **objectives: float) -> Scored:
    named = {f"p{n}": value for n, value in enumerate(values)}
    return Scored(
        name=f"a={a} b={b}" + (f" seed={seed}" if seed else ""), point={"a": a, "b": b}, seed=seed,
        score=sum(values) / len(values), values=named, objectives=objectives, paper=paper,
    )  # fmt: skip


PAPER = scored(1.0, "x", [0.5, 0.6, 0.7], paper=True)
BETTER = scored(2.0, "x", [0.7, 0.8, 0.9])
WORSE = scored(1.0, "y", [0.4, 0.5, 0.3])


def test_rows_are_sorted_and_paired_with_the_paper() -> None:
    rows = trial_rows([PAPER, WORSE, BETTER], "max")
    assert [row["name"] for row in rows] == ["a=2.0 b=x", "a=1.0 b=x", "a=1.0 b=y"]
    assert [row["gain"] for row in rows] == [pytest.approx(0.2), None, pytest.approx(-0.2)]
    assert rows[0]["gain_ci95"] == [pytest.approx(0.2), pytest.approx(0.2)]  # every protein gains the same
    low, high = rows[0]["ci95"]
    assert 0.699 < low < 0.8 < high < 0.901
    assert [row["name"] for row in trial_rows([PAPER, WORSE, BETTER], "min")][0] == "a=1.0 b=y"


def test_main_effects_by_hand() -> None:
    """Scores 0.6 (1, x), 0.8 (2, x), 0.4 (1, y)."""
    rows = {(row["setting"], row["value"]): row for row in main_effects([PAPER, BETTER, WORSE])}
    assert rows["a", "1"]["score"] == pytest.approx(0.5) and rows["a", "1"]["trials"] == 2
    assert rows["a", "1"]["se"] == pytest.approx(0.1)  # sd sqrt(0.02) over sqrt(2)
    assert rows["a", "2"]["se"] is None
    assert rows["b", "x"]["score"] == pytest.approx(0.7)
    assert rows["b", "x"]["paper"] and not rows["b", "y"]["paper"]


def test_many_values_fall_into_three_bins() -> None:
    found = levels([0.1 * n for n in range(9)])
    assert [places for _, places in found] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert found[0][0] == "0 to 0.2"


def test_pareto_front() -> None:
    points = [(1, 3), (2, 2), (3, 1), (1, 1), (2, 2)]
    trials = [scored(n, "x", [0.5], deep=x, none=y) for n, (x, y) in enumerate(points)]
    assert pareto_front(trials, ("deep", "none")) == [0, 1, 2, 4]


def repeated(paper: list[float], other: list[float]) -> list[Scored]:
    """Three proteins at the score, and 0.1 below and above it."""

    def one(a: float, seed: int, score: float) -> Scored:
        return scored(a, "x", [score - 0.1, score, score + 0.1], seed=seed, paper=a == 1.0)

    return [
        *(one(1.0, seed, score) for seed, score in enumerate(paper, start=1)),
        *(one(2.0, seed, score) for seed, score in enumerate(other, start=1)),
    ]


def test_a_difference_beyond_the_seeds() -> None:
    """Means 0.5 and 0.6; both variances are 0.0001, so the pooled standard deviation is 0.01 with 4 degrees."""
    rows = repeat_rows(repeated([0.49, 0.50, 0.51], [0.59, 0.60, 0.61]), "max")
    assert [row["paper"] for row in rows] == [False, True]
    assert rows[0]["pooled_sd"] == pytest.approx(0.01)
    half = stats.t.ppf(0.975, 4) * 0.01 * math.sqrt(2 / 3)
    assert rows[0]["gain_seeds"] == pytest.approx([0.1 - half, 0.1 + half], rel=1e-3)
    assert rows[0]["gain_proteins"] == pytest.approx([0.1, 0.1])
    assert rows[0]["better"] and "better, by more than" in verdict(rows, "Q3")


def test_a_difference_within_the_seeds() -> None:
    rows = repeat_rows(repeated([0.45, 0.50, 0.55], [0.46, 0.51, 0.56]), "max")
    assert not rows[0]["better"] and "not more than the seeds can explain" in verdict(rows, "Q3")


def test_lower_is_better_where_the_mode_says_so() -> None:
    rows = repeat_rows(repeated([0.59, 0.60, 0.61], [0.49, 0.50, 0.51]), "min")
    assert not rows[0]["paper"] and rows[0]["better"]


def test_without_repeats_nothing_is_claimed() -> None:
    assert repeat_rows([PAPER], "max") == []
    assert "nothing can be said" in verdict([], "Q3")


@pytest.mark.parametrize("freedom", [3, 4, 8, 30])
def test_student_t(freedom) -> None:
    assert student_t(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.01)
