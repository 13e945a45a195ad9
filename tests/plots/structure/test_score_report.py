"""The report of a score network: its sentences, its tables and what its figures show."""

import re

import numpy as np
import pytest

from protray.evaluation.denoising import FLOW, LANGEVIN, NETWORK, NOISY, WIENER, DenoisingResults, Example
from protray.plots.structure.denoising import denoising_figure, maps_figure, training_figure
from protray.plots.structure.score_report import headline, score_tables, write_score_report

pytestmark = pytest.mark.usefixtures("few_clusters")

EVIL = '<script>alert("x")</script>'
SIGMAS = np.array([4.0, 1.0, 0.25])


def history(points: int = 5) -> list[dict[str, float]]:
    """Explained shares that grow by a tenth a point; the last but one has the lowest validation loss."""
    found = []
    for n in range(points):
        point = {"step": 100.0 * (n + 1), "train/explained": 0.1 * n + 0.05, "train/loss": 40.0 - n}
        point |= {"validation/explained": 0.1 * n, "validation/loss": 40.0 - n if n < points - 1 else 50.0}
        point |= {f"validation/level_{level:02d}/explained": 0.1 * n / level for level in (1, 2, 3)}
        found.append(point)
    return found


def results(rmsd: tuple[float, float, float] = (2.0, 1.0, 0.5), chains: int = 4) -> DenoisingResults:
    """At every level noise has an RMSD of sigma, the filter half of it, the network sigma x rmsd of the level."""

    def scores(rmsd_K: np.ndarray, lddt: float) -> np.ndarray:
        of_KN = np.repeat(rmsd_K[:, None], chains, axis=1)
        return np.stack([of_KN, np.full_like(of_KN, lddt), 0.1 * of_KN], axis=2)

    ca_L3 = np.random.default_rng(0).standard_normal((12, 3)).cumsum(axis=0)
    annealed = {NOISY: (5.0, 0.3), WIENER: (3.0, 0.5), NETWORK: (2.5, 0.6), LANGEVIN: (2.8, 0.65), FLOW: (2.4, 0.7)}
    return DenoisingResults(
        levels_K=np.array([1, 2, 3]),
        sigmas_K=SIGMAS,
        lengths_N=np.arange(50, 50 + chains),
        one_step={
            NOISY: scores(SIGMAS, 0.5), WIENER: scores(SIGMAS / 2, 0.6), NETWORK: scores(SIGMAS / 2 * rmsd, 0.75)
        },
        start=3.0,
        evaluations=15,
        annealed={method: np.tile([rmsd, lddt, 0.2], (2, 1)) for method, (rmsd, lddt) in annealed.items()},
        examples=(Example(id=EVIL, ca=dict.fromkeys(("native", *annealed), ca_L3)),),
    )  # fmt: skip


def test_validation_chains_are_named_as_such() -> None:
    """A dataset without a test split: they picked the weights, too."""
    *_, last = headline(history(), results(), "validation")
    assert last.startswith("The dataset has no test split.")
    assert any("takes 4 validation chains" in sentence for sentence in headline(history(), results(), "validation"))
    assert all("validation chains" in (table.caption or "") for table in score_tables(results(), "validation"))


def test_headline_by_hand() -> None:
    """The network's RMSD is sigma, sigma / 2 and sigma / 4, the filter's sigma / 2: only the last is better."""
    assert headline(history(), results(), "test") == [
        "On validation crops the score explains 0.30 of the noise within reach (best at step 400; 0 is a score of "
        "zero).",
        "One step at noise of 1.00 Å takes 4 test chains from RMSD 1.00 to 0.50 Å and from lDDT 0.500 to 0.750.",
        "Its RMSD is lower than that of the Wiener filter at 1 of 3 noise levels, by intervals that exclude 0; not so "
        "at 4, 1 Å.",
        "From noise of 3 Å (RMSD 5.00 Å, lDDT 0.300; 2 chains), one step reaches 2.50 Å and 0.600, 15 annealed steps "
        "without new noise 2.40 Å and 0.700.",
    ]


def test_headline_without_exceptions_without_intervals_without_history() -> None:
    assert headline([], results((0.5, 0.5, 0.5)), "test")[1].endswith(
        "at 3 of 3 noise levels, by intervals that exclude 0."
    )
    assert headline([], results(chains=1), "test")[1].startswith("One chain gives no interval")


def test_tables_by_hand() -> None:
    sampling, one_step = score_tables(results(), "test")
    assert sampling.title == "Sampling from noise of 3 Å"
    assert [row[0] for row in sampling.body] == [
        "noisy", "Wiener filter", "one step", "annealed Langevin", "annealed, no new noise"
    ]  # fmt: skip
    assert sampling.body[0][1:] == ["5.00 [5.00, 5.00]", "", "0.300 [0.300, 0.300]", "", "0.20"]
    assert sampling.body[2][1:] == [
        "2.50 [2.50, 2.50]", "+2.50 [+2.50, +2.50]", "0.600 [0.600, 0.600]", "+0.300 [+0.300, +0.300]", "0.20"
    ]  # fmt: skip
    assert one_step.body[2] == [
        "0.25", "0.250", "0.125", "0.062", "+0.188 [+0.188, +0.188]",
        "0.500", "0.600", "0.750", "+0.250 [+0.250, +0.250]",
    ]  # fmt: skip
    for table in (sampling, one_step):
        assert {len(row) for row in table.body} == {len(table.header)}


def test_training_figure_draws_the_history() -> None:
    over_steps, by_level = training_figure(history(), SIGMAS).axes
    train, validation, _ = over_steps.lines
    assert train.get_xdata() == pytest.approx([100, 200, 300, 400, 500])
    assert train.get_ydata() == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.45])
    assert validation.get_ydata() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    *_, last, _ = by_level.lines
    assert last.get_xdata() == pytest.approx(SIGMAS)
    assert last.get_ydata() == pytest.approx([0.4, 0.2, 0.4 / 3])
    assert [text.get_text() for text in by_level.get_legend().get_texts()] == [
        "step 100", "step 200", "step 300", "step 500"
    ]  # fmt: skip


def test_training_figure_of_one_point_and_of_none() -> None:
    assert len(training_figure(history(1), SIGMAS).axes[1].lines) == 2
    assert len(training_figure([], SIGMAS).axes[0].lines) == 1


def test_denoising_figure_draws_means_and_shares() -> None:
    rmsd, lddt, rmsd_gain, lddt_gain = denoising_figure(results().rows()).axes
    assert [line.get_label() for line in rmsd.lines] == [NOISY, WIENER, NETWORK]
    assert rmsd.lines[2].get_ydata() == pytest.approx([4, 0.5, 0.0625])
    assert lddt.lines[1].get_ydata() == pytest.approx([0.6, 0.6, 0.6])
    assert [line.get_label() for line in rmsd_gain.lines[:2]] == [WIENER, NETWORK]
    assert rmsd_gain.lines[1].get_ydata() == pytest.approx([0, 0.5, 0.75])
    assert lddt_gain.lines[1].get_ydata() == pytest.approx([0.25, 0.25, 0.25])


def test_denoising_figure_of_one_chain_has_no_bands_and_no_trouble() -> None:
    assert len(denoising_figure(results(chains=1).rows()).axes) == 4


def test_maps_figure_has_one_scale_for_all() -> None:
    [example] = results().examples
    moved = Example(id="x", ca=example.ca | {NOISY: 2 * example.ca["native"]})
    axes = maps_figure(moved, 3.0).axes[:5]
    assert len({ax.images[0].get_clim() for ax in axes}) == 1
    native, noisy = (np.asarray(ax.images[0].get_array()) for ax in axes[:2])
    assert noisy == pytest.approx(2 * native)
    assert [ax.get_xlabel() for ax in axes[::2]] == ["", "RMSD 0.00 Å\nlDDT 1.00", "RMSD 0.00 Å\nlDDT 1.00"]


def test_report_has_every_section_and_no_markup_of_the_user(tmp_path) -> None:
    path = tmp_path / "report.html"
    write_score_report(path, history(), SIGMAS, results(), split="test", facts={"data": EVIL})
    page = path.read_text(encoding="utf-8")
    assert [heading.split(":")[0] for heading in re.findall(r"<h2>(.*?)</h2>", page)] == [
        "Training", "Denoising gain", "Distance maps", "Sampling from noise of 3 Å", "One step at each noise level",
        "Settings and provenance", "How to read this",
    ]  # fmt: skip
    assert "<script" not in page
    assert page.count("data:image/") == 3
