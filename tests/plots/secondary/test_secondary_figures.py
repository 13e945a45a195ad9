"""Logos, gain bars and training curves: what is drawn, and from which numbers."""

import io
from collections.abc import Iterator

import logomaker
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from protray.plots.secondary.curves import curves_figure
from protray.plots.secondary.gain import gain_figure
from protray.plots.secondary.logo import MAX_WINDOW, LogoRow, information, logo_figure
from protray.seq.alphabet import AMINO_ACIDS, N_AA
from protray.seq.pssm import SWISSPROT_A


@pytest.fixture(autouse=True)
def no_global_figures() -> Iterator[None]:
    yield
    assert pyplot.get_fignums() == []


def synthetic_pssm(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(length, N_AA))


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def test_information_by_hand() -> None:
    """One residue only: log2(20) bits; two alike: log2(20) - 1, half each; all alike: 0."""
    prob_LA = np.zeros((3, N_AA))
    prob_LA[0, 4] = 1
    prob_LA[1, :2] = 0.5
    prob_LA[2] = 1 / N_AA
    height_LA = information(prob_LA)
    assert height_LA[0, 4] == pytest.approx(np.log2(20))
    assert height_LA[1, :2] == pytest.approx([(np.log2(20) - 1) / 2] * 2)
    assert height_LA[2] == pytest.approx(0, abs=1e-12)


def test_information_agrees_with_logomaker() -> None:
    prob_LA = np.random.default_rng(0).dirichlet(np.ones(N_AA), size=7)
    frame = pd.DataFrame(prob_LA, columns=list(AMINO_ACIDS))
    theirs = logomaker.transform_matrix(frame, from_type="probability", to_type="information")
    np.testing.assert_allclose(information(prob_LA), theirs[list(AMINO_ACIDS)].to_numpy(), atol=1e-6)


def test_logo_has_a_panel_per_pssm_one_for_the_structures_and_a_shared_axis() -> None:
    rows = [
        LogoRow(name, synthetic_pssm(80, seed), SWISSPROT_A) for seed, name in enumerate(("low", "enhanced", "high"))
    ]
    figure = logo_figure(rows, [("true", "H" * 40 + "E" * 40), ("predicted", "C" * 79 + "-")])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["low", "enhanced", "high", ""]
    assert len({ax.get_ylim() for ax in figure.axes[:3]}) == 1
    assert figure.axes[0].get_xlim() == (0.5, 0.5 + MAX_WINDOW)
    assert [label.get_text() for label in figure.axes[3].get_yticklabels()] == ["true", "predicted"]
    assert len(figure.axes[3].patches) == 2  # of the window: one helix and one strand
    assert len(png(figure)) > 10_000


def test_letters_multiply_by_the_background() -> None:
    """X = 0 everywhere means P = B, so the column is as tall as B's own information; without B it would be flat."""
    figure = logo_figure([LogoRow("flat", np.zeros((1, N_AA)), SWISSPROT_A)], [])
    entropy = -(SWISSPROT_A * np.log2(SWISSPROT_A)).sum()
    assert figure.axes[0].get_ylim()[1] == pytest.approx(np.log2(20) - entropy)
    assert np.log2(20) - entropy > 0.1


def test_a_flat_logo_is_enlarged_and_says_so() -> None:
    flat, sharp = np.zeros((5, N_AA)), np.zeros((5, N_AA))
    sharp[:, 0] = 8
    uniform_A = np.full(N_AA, 1 / N_AA)
    flat[:, 0] = 1
    figure = logo_figure([LogoRow("low", flat, uniform_A), LogoRow("high", sharp, uniform_A)], [])
    title = figure.axes[0].get_title(loc="left")
    low, high = figure.axes[0].get_ylim()[1], figure.axes[1].get_ylim()[1]
    assert title == f"low (enlarged {round(high / low)} times)"
    assert high / low > 4
    assert figure.axes[1].get_title(loc="left") == "high"


def test_logo_refuses_what_does_not_fit() -> None:
    row = LogoRow("low", synthetic_pssm(5), SWISSPROT_A)
    with pytest.raises(ValueError, match="'true' has 4 residues but 'low' has 5"):
        logo_figure([row], [("true", "HHHH")])


def gains() -> list[dict]:
    keys = ("by", "max", "above", "n", "method", "reference", "gain", "ci95")
    values = [
        ("count", 0, None, 4, "ours", "Real", 0.10, [0.05, 0.15]),
        ("count", 0, None, 4, "Bagging", "Real", -0.02, [-0.01, 0.01]),  # skewed: the interval misses the mean
        ("count", None, 0, 1, "ours", "Real", 0.03, [None, None]),
        ("count", None, 0, 1, "Bagging", "Real", 0.01, [None, None]),
        ("meff", 5, None, 0, "ours", "Real", None, [None, None]),
        ("meff", 5, None, 0, "Bagging", "Real", None, [None, None]),
    ]
    return [dict(zip(keys, row, strict=True)) for row in values]


def test_gain_bars_have_the_heights_of_the_rows_and_n_below() -> None:
    count, meff = gain_figure(gains()).axes
    assert [bar.get_height() for bar in count.patches] == [0.10, 0.03, -0.02, 0.01]
    assert [label.get_text() for label in count.get_xticklabels()] == ["= 0\nn = 4", "> 0\nn = 1"]
    whiskers = [line.get_ydata() for line in count.lines if len(set(line.get_ydata())) == 2]
    assert [list(ends) for ends in whiskers] == [[0.05, 0.15], [-0.01, 0.01]]
    assert [bar.get_height() for bar in meff.patches] == [0, 0]
    assert count.get_ylabel() == "gain in Q3 over Real"


def test_gain_draws_chosen_methods_only() -> None:
    figure = gain_figure(gains(), ["Bagging"])
    assert [bar.get_height() for bar in figure.axes[0].patches] == [-0.02, 0.01]
    with pytest.raises(ValueError, match=r"\['nobody'\]; the rows have \['ours', 'Bagging'\]"):
        gain_figure(gains(), ["nobody"])
    assert len(png(figure)) > 5_000


def test_curves_of_stages_with_and_without_validation() -> None:
    history = {
        "teacher": [{"epoch": 0, "train_loss": 1.0, "val_q3": 0.5}, {"epoch": 1, "train_loss": 0.5, "val_q3": 0.6}],
        "rebuild": [{"epoch": 0, "train_loss": 3.0}],
    }
    figure = curves_figure(history)
    q3_ax, teacher_ax, rebuild_ax = figure.axes
    assert [line.get_label() for line in q3_ax.lines] == ["teacher"]
    assert list(q3_ax.lines[0].get_ydata()) == [0.5, 0.6]
    assert list(teacher_ax.lines[0].get_ydata()) == [1.0, 0.5]
    assert list(rebuild_ax.lines[0].get_ydata()) == [3.0]
    assert len(png(figure)) > 5_000
    with pytest.raises(ValueError, match="no training stage"):
        curves_figure({})
