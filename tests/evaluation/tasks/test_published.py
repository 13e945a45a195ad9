"""What others published, task by task."""

import pytest

from protray.evaluation.tasks.published import MEASURES, PUBLISHED, published_tables


@pytest.mark.parametrize("task", MEASURES)
def test_each_task_has_rows_with_a_value_and_an_owner(task) -> None:
    ((title, header, body),) = published_tables(task)
    assert title.startswith("published, other data") and header == ["", MEASURES[task], "whose"]
    assert len(body) >= 2 and all(0 < float(value) < 1 and whose for _, value, whose in body)
    assert len({(name, whose) for name, _, whose in body}) == len(body)


def test_a_value_stands_in_the_column_of_its_task() -> None:
    ((_, _, body),) = published_tables("msp")
    assert ["CDConv", "0.529", "ESM-GearNet"] in body
    assert published_tables("thermostability")[0][2] == [
        ["ESM-2-650M", "0.680", "SaProt"], ["SaProt", "0.724", "SaProt"],
    ]  # fmt: skip
    assert max(len(values) for _, _, values in PUBLISHED) == len(MEASURES)


@pytest.mark.parametrize("task", ["cath", "ddg"])
def test_a_task_that_nobody_published_has_no_table(task) -> None:
    assert published_tables(task) == []
