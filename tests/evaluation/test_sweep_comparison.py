"""Is a point better than the paper's: numbers by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from protray.evaluation.bootstrap import FEWEST
from protray.evaluation.sweep import Scored
from protray.evaluation.sweep_comparison import conclusion, repeat_rows, student_t
from protray.evaluation.sweep_halves import ids_of


def trial(a: float, seed: int, values: dict[str, float]) -> Scored:
    score = float(np.mean([values[name] for name in ids_of("choosing", {name: name for name in values})]))
    return Scored(name=f"a={a:g} seed={seed}", point={"a": a}, seed=seed, score=score, values=values, paper=a == 0)


def repeated(paper: list[float], other: list[float], proteins: int = 60) -> list[Scored]:
    """Every protein scores what its training does."""

    def one(a: float, seed: int, score: float) -> Scored:
        return trial(a, seed, {f"p{n}": score for n in range(proteins)})

    return [
        *(one(0.0, seed, score) for seed, score in enumerate(paper, start=1)),
        *(one(1.0, seed, score) for seed, score in enumerate(other, start=1)),
    ]


def test_a_difference_beyond_the_seeds() -> None:
    """Means 0.5 and 0.6; both variances are 0.0001, so the pooled standard deviation is 0.01 with 4 degrees."""
    rows = repeat_rows(repeated([0.49, 0.50, 0.51], [0.59, 0.60, 0.61]), "max")
    assert [row["paper"] for row in rows] == [False, True]
    assert rows[0]["pooled_sd"] == pytest.approx(0.01)
    half = stats.t.ppf(0.975, 4) * 0.01 * math.sqrt(2 / 3)
    assert rows[0]["gain_seeds"] == pytest.approx([0.1 - half, 0.1 + half])
    assert rows[0]["gain_proteins"] == pytest.approx([0.1, 0.1])  # all proteins gain the same
    assert rows[0]["gain_ci95"] == pytest.approx(rows[0]["gain_seeds"])
    assert rows[0]["better"] and conclusion(rows, "Q3", "max").endswith("it is better than the paper's.")


def test_a_difference_within_the_seeds() -> None:
    rows = repeat_rows(repeated([0.45, 0.50, 0.55], [0.46, 0.51, 0.56]), "max")
    assert not rows[0]["better"] and "it may be chance" in conclusion(rows, "Q3", "max")


def test_lower_is_better_where_the_mode_says_so() -> None:
    rows = repeat_rows(repeated([0.59, 0.60, 0.61], [0.49, 0.50, 0.51]), "min")
    assert not rows[0]["paper"] and rows[0]["better"]
    worse = repeat_rows(repeated([0.49, 0.50, 0.51], [0.59, 0.60, 0.61]), "min")
    assert conclusion(worse, "loss", "min").endswith("it is worse than the paper's.")


def test_both_sources_of_chance_widen_the_interval() -> None:
    """Widths add as variances do, on each side of the difference."""
    rng = np.random.default_rng(0)
    noisy = [replace(one, values={name: value + 0.02 * rng.normal() for name, value in one.values.items()})
             for one in repeated([0.49, 0.50, 0.51], [0.59, 0.60, 0.61])]  # fmt: skip
    row = repeat_rows(noisy, "max")[0]
    for side in (0, 1):
        parts = [row[name][side] - row["gain"] for name in ("gain_seeds", "gain_proteins")]
        assert row["gain_ci95"][side] - row["gain"] == pytest.approx((-1, 1)[side] * math.hypot(*parts))


def test_three_comparisons_share_the_five_percent() -> None:
    """Bonferroni: with three points beside the paper's, each interval is one of 98.3 %, here with 8 degrees."""
    trials = [one for a in (1.0, 2.0, 3.0) for one in repeated([0.49, 0.50, 0.51], [0.59, 0.60, 0.61])]
    for place, one in enumerate(trials):
        if not one.paper:
            trials[place] = replace(one, point={"a": 1.0 + place // 6})
    rows = repeat_rows([one for place, one in enumerate(trials) if place < 3 or not one.paper], "max")
    half = stats.t.ppf(1 - 0.025 / 3, 8) * 0.01 * math.sqrt(2 / 3)
    assert len(rows) == 4 and rows[0]["gain_seeds"] == pytest.approx([0.1 - half, 0.1 + half])


def test_only_the_confirming_half_confirms() -> None:
    """A point that is better on the choosing half alone comes first, and is not called better."""
    trials = repeated([0.49, 0.50, 0.51], [0.49, 0.50, 0.51])
    ids = set(trials[0].ids("choosing"))
    lucky = [
        trial(1.0, one.seed, {name: value + 0.2 * (name in ids) for name, value in one.values.items()})
        for one in trials
        if not one.paper
    ]
    rows = repeat_rows([one for one in trials if one.paper] + lucky, "max")
    assert rows[0]["choosing"] == pytest.approx(0.7) and rows[0]["mean"] == pytest.approx(0.5)
    assert rows[0]["gain"] == pytest.approx(0) and not rows[0]["better"]
    assert rows[0]["n"] == 30


def test_without_repeats_nothing_is_claimed() -> None:
    assert repeat_rows([repeated([0.5], [0.6])[0]], "max") == []
    assert conclusion([], "Q3", "max").startswith("No difference to the paper's point can be tested")
    only_paper = repeat_rows(repeated([0.4, 0.5], []), "max")
    assert conclusion(only_paper, "Q3", "max").startswith("No difference")


def test_few_clusters_say_nothing() -> None:
    trials = repeated([0.49, 0.50, 0.51], [0.59, 0.60, 0.61])
    family = {f"p{n}": f"family {n % 18}" for n in range(60)}  # 18 clusters, of which 9 confirm
    rows = repeat_rows([replace(one, clusters=family) for one in trials], "max")
    assert rows[0]["clusters"] == 9 < FEWEST and rows[0]["gain"] is None and rows[0]["better"] is None
    assert f"{rows[0]['clusters']} clusters" in conclusion(rows, "Q3", "max")


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 8, 30])
@pytest.mark.parametrize("share", [0.9, 0.975, 1 - 0.025 / 3])
def test_student_t(freedom, share) -> None:
    assert student_t(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-9)
