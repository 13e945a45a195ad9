"""Rows for metrics.json and tables for people, from numbers that can be checked by hand."""

import json

import numpy as np
import pytest
from rich.console import Console

from protray.evaluation.bins import DISJOINT_BINS
from protray.evaluation.tables import LabelledProteins, bin_rows, gain_rows, pivot, table_rows, to_markdown, to_rich

KEYS = ["by", "max", "n", "method", "n_residues", "q3", "ci95"]
KEYS += ["q3_residue", "q3_residue_ci95", "sov", "sov_ci95", "q8", "q8_ci95"]


pytestmark = pytest.mark.usefixtures("few_clusters")


def codes(*states: int) -> np.ndarray:
    return np.array(states, dtype=np.int8)


def proteins(**changed) -> LabelledProteins:
    """Three proteins with 0, 5 and 100 homologs, of 1, 2 and 4 residues."""
    parts = {
        "ss3": {"a": codes(0), "b": codes(1, 1), "c": codes(2, 2, 2, 2)},
        "msa_count": np.array([0, 5, 100]),
        "meff": np.array([1.0, 4.5, 40.0], dtype=np.float32),
    }
    return LabelledProteins(**(parts | changed))


def predictions() -> dict[str, dict[str, np.ndarray]]:
    """ours: 1, 1/2 and 1 right; Real: 0, 1/2 and 3/4."""
    return {
        "Real": {"a": codes(1), "b": codes(1, 0), "c": codes(2, 2, 2, 0)},
        "ours": {"a": codes(0), "b": codes(1, 0), "c": codes(2, 2, 2, 2)},
    }


def only(rows: list[dict], **match) -> dict:
    found = [row for row in rows if all(row[key] == value for key, value in match.items())]
    assert len(found) == 1
    return found[0]


def test_few_proteins_have_no_interval(monkeypatch) -> None:
    """Two would be told apart from nothing by three values of a bootstrap."""
    monkeypatch.undo()
    row = only(table_rows(predictions(), proteins()), by="count", max=60, method="ours")
    assert row["q3"] == 0.75 and row["ci95"] == row["sov_ci95"] == [None, None]
    assert only(gain_rows(predictions(), proteins(), "Real"), by="count", max=60)["ci95"] == [None, None]


def test_rows_by_hand() -> None:
    rows = table_rows(predictions(), proteins())
    assert [list(row) for row in rows] == [KEYS] * len(rows)
    assert len(rows) == 2 * 10  # methods x (4 thresholds and all, by count and by Meff)

    shallow = only(rows, by="count", max=60, method="ours")
    assert (shallow["n"], shallow["n_residues"]) == (2, 3)
    assert shallow["q3"] == (1 + 1 / 2) / 2
    assert shallow["q3_residue"] == 2 / 3
    assert shallow["ci95"] == [0.5, 1.0]  # two proteins: the smallest and the largest mean
    assert shallow["q8"] is None

    everything = only(rows, by="count", max=None, method="Real")
    assert everything["n"] == 3
    assert everything["q3"] == pytest.approx((0 + 1 / 2 + 3 / 4) / 3)
    assert everything["q3_residue"] == 4 / 7
    assert only(rows, by="meff", max=5, method="ours")["n"] == 2


def test_numbers_that_do_not_exist_are_none_so_that_json_stays_valid() -> None:
    rows = table_rows(predictions(), proteins(msa_count=np.array([5, 5, 100])))
    none = only(rows, by="count", max=0, method="ours")
    assert (none["n"], none["q3"], none["q3_residue"], none["sov"]) == (0, None, None, None)
    assert none["ci95"] == none["q3_residue_ci95"] == none["sov_ci95"] == [None, None]
    one = only(bin_rows(predictions(), proteins()), by="count", above=60, method="ours")
    assert (one["n"], one["max"], one["q3"], one["ci95"]) == (1, None, 1.0, [None, None])
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_sov_is_the_mean_over_proteins() -> None:
    """ours on b: EH against EE.  minov 1, maxov 2, delta 0: 1/2 x 2 / 2 = 1/2; a and c are perfect."""
    assert only(table_rows(predictions(), proteins()), by="count", max=60, method="ours")["sov"] == (1 + 0.5) / 2


def test_q8_where_labels_and_predictions_have_it() -> None:
    ss8 = {"a": codes(7), "b": codes(3, 4), "c": codes(0, 0, 0, 1)}
    rows = table_rows(predictions(), proteins(ss8=ss8), {"ours": ss8 | {"b": codes(3, 3)}})
    assert only(rows, by="count", max=60, method="ours")["q8"] == (1 + 1 / 2) / 2
    assert only(rows, by="count", max=60, method="Real")["q8"] is None
    with pytest.raises(ValueError, match="no eight-state labels"):
        table_rows(predictions(), proteins(), {"ours": ss8})


def test_disjoint_rows_count_every_protein_once() -> None:
    rows = bin_rows(predictions(), proteins())
    for by in ("count", "meff"):
        assert sum(row["n"] for row in rows if row["by"] == by and row["method"] == "ours") == 3


def test_gain_is_paired() -> None:
    """a gains 1, b gains 0, c gains 1/4."""
    rows = gain_rows(predictions(), proteins(), "Real")
    shallow = only(rows, by="count", max=60)
    assert (shallow["method"], shallow["reference"], shallow["n"]) == ("ours", "Real", 2)
    assert (shallow["gain"], shallow["ci95"]) == (0.5, [0.0, 1.0])
    assert only(rows, by="count", max=None)["gain"] == pytest.approx(1.25 / 3)
    deep = only(gain_rows(predictions(), proteins(), "Real", DISJOINT_BINS), by="count", above=60)
    assert (deep["gain"], deep["ci95"]) == (0.25, [None, None])
    with pytest.raises(ValueError, match="no method 'real'.*'Real', 'ours'"):
        gain_rows(predictions(), proteins(), "real")


def test_same_numbers_in_any_order_of_proteins_within_a_method() -> None:
    shuffled = {method: dict(reversed(codes.items())) for method, codes in predictions().items()}
    assert table_rows(shuffled, proteins()) == table_rows(predictions(), proteins())


def test_markdown_has_a_line_for_each_method() -> None:
    lines = to_markdown(table_rows(predictions(), proteins())).splitlines()
    assert lines[0].startswith("| homologs | ≤ 60 | ")
    assert lines[0].endswith(" | = 0 | all |")
    assert lines[2].startswith("|  | n = 2 | ")
    assert lines[3].startswith("| Real | 0.250 [0.00, 0.50] | ")
    assert lines[4].startswith("| ours | 0.750 [0.50, 1.00] | ")
    assert lines[6].startswith("| Meff | ")


def test_markdown_of_gains_and_of_a_method_with_a_bar_in_its_name() -> None:
    rows = gain_rows({**predictions(), "x|y": predictions()["Real"]}, proteins(), "Real")
    text = to_markdown(rows, "gain")
    assert "| ours | +0.500 [+0.000, +1.000] |" in text
    assert "| x\\|y | +0.000 [+0.000, +0.000] |" in text


def test_terminal_table_shows_brackets_as_text(capsys) -> None:
    console = Console(width=100, force_terminal=False)
    rows = [
        {**row, "method": row["method"].replace("ours", "[red]ours")} for row in table_rows(predictions(), proteins())
    ]
    for table in to_rich(rows):
        console.print(table)
    shown = capsys.readouterr().out
    assert "[red]ours" in shown
    assert "[0.50, 1.00]" in shown
    assert "n = 2" in shown


def test_a_table_of_mixed_depths_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['count', 'meff'\]"):
        pivot(table_rows(predictions(), proteins()))


def test_errors_name_method_and_protein() -> None:
    broken = predictions()
    broken["ours"]["b"] = codes(1)
    with pytest.raises(ValueError, match="method 'ours': protein 'b' has 2 labels but 1 predicted"):
        table_rows(broken, proteins())
    with pytest.raises(ValueError, match="3 proteins have labels but meff has 2 entries"):
        proteins(meff=np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="same protein ids in the same order"):
        proteins(ss8={"b": codes(1, 1), "a": codes(0), "c": codes(2, 2, 2, 2)})
