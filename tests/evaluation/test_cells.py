"""Numbers with intervals, and Markdown tables."""

from protray.evaluation.cells import cell, gain_cell, markdown_table


def test_a_cell_without_an_interval() -> None:
    assert cell({"r": 0.5, "r_ci95": [None, None]}, "r") == cell({"r": 0.5}, "r") == "0.500"
    assert cell({"r": None}, "r") == "–"


def test_a_gain_has_a_sign_and_no_negative_zero() -> None:
    row = {"gain": -0.0001, "gain_ci95": [-0.012, 0.5]}
    assert gain_cell(row) == "+0.000 [-0.012, +0.500]"
    assert gain_cell({"other": 1, "other_ci95": [None, None]}, "other") == "+1.000"


def test_bars_in_cells_do_not_end_them() -> None:
    assert markdown_table(["", "Q3"], [["a|b", "0.7"]]) == "|  | Q3 |\n| --- | --- |\n| a\\|b | 0.7 |"
