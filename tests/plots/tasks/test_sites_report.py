"""The report of interaction sites: what it says and shows, on synthetic proteins."""

import numpy as np
import pytest
from sites_here import proteins
from structure_text import helix

from protray.evaluation.tasks.sites.tables import Trained, site_tables
from protray.plots.tasks.sites import curve
from protray.plots.tasks.sites_report import example, headline, without_constants, write_sites_report

pytestmark = pytest.mark.usefixtures("few_clusters")

METHODS = ("every residue a site", "DeepPPISP", "DeepPPISP + score net")


def trained(some: list, strength: float) -> list[Trained]:
    rng = np.random.default_rng(0)
    return [
        Trained([0.4 * rng.random(len(one.sequence)) + strength * one.label_L for one in some], 0.4) for _ in range(2)
    ]


@pytest.mark.parametrize("structure", [True, False])
def test_report(tmp_path, structure) -> None:
    some = proteins(7)
    methods = dict(
        zip(METHODS, ([Trained([np.ones(len(one.sequence)) for one in some], 1.0)], trained(some, 0.1),
                      trained(some, 0.5)), strict=True)
    )  # fmt: skip
    rows, gains = site_tables(some, methods, METHODS[1])
    history = [{"epoch": n, "train/loss": 0.5, "validation/loss": 0.4} for n in (1, 2)]
    histories = {row: {f"{row}, seed {n}": history for n in (0, 1)} for row in METHODS[1:]}
    write_sites_report(
        tmp_path / "r.html", some, methods, rows, gains, histories, {"data": "<b>"},
        lambda id: helix(len(next(one for one in some if one.id == id).sequence)) if structure else None,
    )  # fmt: skip
    page = (tmp_path / "r.html").read_text()
    shown = some[example(some)]
    assert f"Sites along {shown.id}" in page and "&lt;b&gt;" in page and "Spread over trainings" in page
    assert (f"Sites of {shown.id} in space" in page) == structure
    assert "DeepPPISP + score net has the highest F, 1.000" in headline(rows, gains)
    assert "gains +" in headline(rows, gains)


def test_a_constant_has_no_curve_and_a_curve_by_hand() -> None:
    scores = {"one": [np.array([0.9, 0.5, 0.5])], "constant": [np.ones(3)]}
    assert list(without_constants(scores)) == ["one"]
    recall, precision = curve(scores["one"][0], np.array([True, True, False]))
    assert recall.tolist() == [0.5, 1.0] and precision.tolist() == [1.0, pytest.approx(2 / 3)]


def test_the_example_is_of_median_length_and_has_sites() -> None:
    some = proteins(5)
    lengths = [len(some[n].sequence) for n in range(5) if (some[n].label_L == 1).any()]
    assert len(some[example(some)].sequence) == sorted(lengths)[len(lengths) // 2]
