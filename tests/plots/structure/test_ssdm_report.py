"""The report of a pre-training: its sentences, its tables, and what its figures show."""

import re

import numpy as np
import pytest

from protray.evaluation.ssdm import TRAINED, UNTRAINED, Denoised, SsdmResults
from protray.plots.structure.ssdm_report import curves_figure, headline, levels_figure, write_ssdm_report
from protray.training.structure.ssdm_config import ObjectiveConfig

EVIL = '<script>alert("x")</script>'
LEVELS = np.array([0.1, 0.3, 1.0])


def history(points: int = 3) -> list[dict[str, float]]:
    return [
        {"step": 10.0 * n} | {f"{part}/{term}": 3 - 0.1 * n for part in ("train", "validation") for term in LOSSES}
        for n in range(1, points + 1)
    ]


LOSSES = {"residue": 2.5, "distance": 0.28, "denoise": 1.2}


def denoised() -> Denoised:
    backbone_L43 = np.random.default_rng(0).standard_normal((12, 4, 3)).cumsum(axis=0).astype(np.float32)
    off = {"native": np.zeros(12), "noisy": np.full(12, 1.6), "denoised": np.full(12, 0.9)}
    return Denoised(
        EVIL, 1.0, "A" * 12, dict.fromkeys(off, backbone_L43), off, {"native": 0.0, "noisy": 1.7, "denoised": 1.0},
        {"native": 1.0, "noisy": 0.5, "denoised": 0.7},
    )  # fmt: skip


def results(**more: object) -> SsdmResults:
    measured = {f"denoise/over_zero/level_{level:02d}": share for level, share in ((0, 0.9), (2, 0.6))}
    gain = {"gain": 0.12, "gain_ci95": [0.04, 0.2]}
    row = {"method": TRAINED, "chains": 40, "agreement": 0.4, "agreement_ci95": [0.3, 0.5]}
    plain = {
        "split": "test", "chains": 30, "losses": LOSSES | {"denoise/over_zero": 0.8} | measured,
        "nothing": {"residue": 2.9, "distance": 0.7}, "levels": LEVELS,
        "retrieval": [row | gain, row | {"method": UNTRAINED, "agreement": 0.28}], "denoised": denoised(),
    }  # fmt: skip
    return SsdmResults(**(plain | more))  # type: ignore[arg-type]


def test_headline_by_hand() -> None:
    assert headline(results()) == [
        "The nearest chain has the same topology for 0.400 of 40 chains, +0.120 [0.040, 0.200] over the same encoder "
        "before its training.",
        "Residue: 0.400 nats explained on test chains.",
        "Distance: 60% of the variance explained on test chains.",
        "One step takes a chain with noise of 1.00 Å from RMSD 1.70 to 1.00 Å.",
    ]
    assert headline(results(retrieval=(), nothing={}, denoised=None)) == []


def test_curves_are_drawn_with_the_loss_of_who_knows_nothing() -> None:
    axes = curves_figure(history(), list(LOSSES), {"residue": 2.9}).axes
    assert [ax.get_ylabel() for ax in axes] == ["residue: loss", "distance: loss", "denoise: loss"]
    train, validation, nothing = axes[0].lines
    assert train.get_xdata() == pytest.approx([10, 20, 30]) and validation.get_ydata() == pytest.approx([2.9, 2.8, 2.7])
    assert list(nothing.get_ydata()) == [2.9, 2.9]
    assert len(axes[1].lines) == 2


@pytest.mark.parametrize("terms", [["residue"], ["residue", "distance", "angle", "contrast"]])
def test_curves_of_any_number_of_objectives(terms) -> None:
    """Also of some that have no point yet."""
    axes = curves_figure(history(1), terms, {}).axes
    assert len([ax for ax in axes if ax.axison]) == len(terms)


def test_levels_are_drawn_where_they_are_known() -> None:
    [ax] = levels_figure(LEVELS, {"denoise": np.array([0.9, np.nan, 0.6])}).axes
    assert ax.lines[0].get_xdata() == pytest.approx([0.1, 1.0]) and ax.lines[0].get_ydata() == pytest.approx([0.9, 0.6])


def test_report_has_every_section_and_no_markup_of_the_user(tmp_path) -> None:
    learn = ObjectiveConfig(objective=("residue", "distance", "denoise"))
    write_ssdm_report(tmp_path / "r.html", history(), learn, results(), {"data": EVIL})
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    for wanted in (
        "30 test chains", "Training", "Denoising, test chains", "A structure before and after one step of denoising",
        "Settings and provenance", "How to read this",
    ):  # fmt: skip
        assert wanted in headings
    assert "<script>alert" not in page
    assert "0.400 [0.300, 0.500] of 40; gain +0.120 [+0.040, +0.200]" in page
    assert page.count("data:image/") == 2


def test_report_without_denoising_and_labels(tmp_path) -> None:
    plain = results(losses={"residue": 2.5}, nothing={"residue": 2.9}, retrieval=(), denoised=None)
    write_ssdm_report(tmp_path / "r.html", history(), ObjectiveConfig(objective=("residue",)), plain, {})
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("data:image/") == 1 and "<script" not in page
