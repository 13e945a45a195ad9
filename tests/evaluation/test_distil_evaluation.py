"""Scores of methods whose predictions are known: the labels themselves, and coil everywhere."""

import numpy as np
import pyarrow as pa
import pytest
from tiny import tiny_proteins

from protray.data.secondary.dataset import Proteins
from protray.evaluation.distil import evaluate, three_of

PROTEINS = tiny_proteins()
TEST = PROTEINS.of_split("test")


def one_hot(codes_L: np.ndarray, states: int) -> np.ndarray:
    return np.eye(states, dtype=np.float32)[codes_L]


def methods(proteins: Proteins = PROTEINS) -> dict:
    rows = range(len(proteins))
    right8 = {proteins.ids[row]: one_hot(proteins.ss8(row), 8) for row in rows}
    coil = {proteins.ids[row]: one_hot(np.full(proteins.lengths[row], 2), 3) for row in rows}
    return {"protray": right8, "Real": coil}


def test_three_of_adds_up() -> None:
    """H .2, G .1, I .1 -> .4; E .25, B .05 -> .3; T S C -> .3."""
    prob_LS = np.array([[0.2, 0.1, 0.1, 0.25, 0.05, 0.1, 0.1, 0.1]])
    assert three_of(prob_LS)[0] == pytest.approx([0.4, 0.3, 0.3])
    three = np.array([[0.5, 0.3, 0.2]])
    assert three_of(three) is three


def rows_of(table: list[dict], method: str, **wanted: object) -> list[dict]:
    return [row for row in table if row["method"] == method and all(row[key] == wanted[key] for key in wanted)]


def test_the_labels_score_1_and_coil_its_share() -> None:
    found = evaluate(PROTEINS, "test", methods())
    coil = np.mean([(PROTEINS.ss3(row) == 2).mean() for row in TEST])
    [ours] = rows_of(found.table, "protray", by="count", max=None)
    [real] = rows_of(found.table, "Real", by="count", max=None)
    assert (ours["n"], ours["q3"]) == (3, 1.0)
    assert (real["n"], real["q3"]) == (3, pytest.approx(coil))
    assert np.trace(found.confusion_SS) == found.confusion_SS.sum() == PROTEINS.lengths[TEST].sum()


def test_alanine_is_scored() -> None:
    """Turning every alanine's prediction wrong costs exactly the alanines."""
    wrong = methods()
    right = []
    for row in TEST:
        name, codes_L = PROTEINS.ids[row], PROTEINS.ss3(row).astype(int)
        alanine_L = PROTEINS.codes(row) == 0
        assert alanine_L.any()
        wrong["protray"][name] = one_hot(np.where(alanine_L, (codes_L + 1) % 3, codes_L), 3)
        right.append(1 - alanine_L.mean())
    [ours] = rows_of(evaluate(PROTEINS, "test", wrong).table, "protray", by="count", max=None)
    assert ours["q3"] == pytest.approx(np.mean(right))


def test_other_splits_do_not_matter() -> None:
    changed = methods()
    for row in PROTEINS.of_split("validation"):
        del changed["protray"][PROTEINS.ids[row]]
    assert evaluate(PROTEINS, "test", changed).table == evaluate(PROTEINS, "test", methods()).table


def test_a_missing_prediction_is_an_error() -> None:
    lacking = methods()
    del lacking["Real"][PROTEINS.ids[TEST[1]]]
    with pytest.raises((KeyError, ValueError), match=PROTEINS.ids[TEST[1]]):
        evaluate(PROTEINS, "test", lacking)


def without_labels(rows: np.ndarray) -> Proteins:
    table = PROTEINS.table
    for column in ("ss3", "ss8"):
        old = table[column].to_pylist()
        new = [None if row in rows else old[row] for row in range(len(PROTEINS))]
        table = table.set_column(table.schema.get_field_index(column), table.schema.field(column), pa.array([*new]))
    return Proteins(table)


def test_unlabelled_proteins_are_left_out() -> None:
    proteins = without_labels(TEST[:1])
    [ours] = rows_of(evaluate(proteins, "test", methods()).table, "protray", by="count", max=None)
    assert ours["n"] == 2


def test_a_split_without_labels_is_an_error() -> None:
    with pytest.raises(ValueError, match="the test split has no labelled protein"):
        evaluate(without_labels(TEST), "test", methods())
