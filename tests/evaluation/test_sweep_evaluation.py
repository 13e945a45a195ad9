"""Numbers of a sweep by hand."""

from dataclasses import replace

import pytest

from protray.evaluation.sweep import (
    Scored,
    half_sizes,
    levels,
    main_effects,
    pareto_front,
    trial_rows,
)
from protray.evaluation.sweep_halves import ids_of

pytestmark = pytest.mark.usefixtures("few_clusters")

NAMES = {f"p{n}": f"p{n}" for n in range(6)}
CHOOSING, CONFIRMING = ids_of("choosing", NAMES), ids_of("confirming", NAMES)


def scored(a: float, b: str, values: list[float], seed: int = 0, paper: bool = False, **objectives: float) -> Scored:
    """A trial with `values` on the choosing half, and 0 on the three proteins of the other."""
    named = dict(zip(CHOOSING, values, strict=False)) | dict.fromkeys(CONFIRMING, 0.0)
    return Scored(
        name=f"a={a} b={b}" + (f" seed={seed}" if seed else ""), point={"a": a, "b": b}, seed=seed, clusters=NAMES,
        score=sum(values) / len(values), values=named, objectives=objectives, paper=paper,
    )  # fmt: skip


PAPER = scored(1.0, "x", [0.5, 0.6, 0.7], paper=True)
BETTER = scored(2.0, "x", [0.7, 0.8, 0.9])
WORSE = scored(1.0, "y", [0.4, 0.5, 0.3])


def test_halves_keep_clusters_whole() -> None:
    """100 clusters of three: 50 in each half; the order in which they are named does not matter."""
    clusters = {f"p{n}": f"c{n // 3}" for n in range(300)}
    choosing, confirming = ids_of("choosing", clusters), ids_of("confirming", clusters)
    assert sorted(choosing + confirming) == sorted(clusters) and len(choosing) == 150
    assert not {clusters[name] for name in choosing} & {clusters[name] for name in confirming}
    assert ids_of("choosing", dict(reversed(clusters.items()))) == choosing


def test_a_protein_without_a_cluster_is_its_own() -> None:
    assert len(ids_of("choosing", dict.fromkeys("abcd", ""))) == 2
    with pytest.raises(ValueError, match="the 2 validation proteins are in 1 clusters"):
        ids_of("choosing", {"a": "c", "b": "c"})


def test_half_sizes() -> None:
    trial = replace(PAPER, clusters=NAMES | dict.fromkeys(CHOOSING[:2], CHOOSING[0]))
    sizes = half_sizes(trial)
    assert [sum(half[what] for half in sizes.values()) for what in ("proteins", "clusters")] == [6, 5]


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
