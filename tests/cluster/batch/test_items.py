"""Items, parts and files by hand, without Ray."""

import tracemalloc
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import toy
from toy import JOB, write_words

from protray.cluster.batch import items
from protray.cluster.batch.driver import item_cost
from protray.cluster.batch.items import cut, spans_in, stage
from protray.cluster.batch.job import Done, Span
from protray.cluster.batch.passes import ready
from protray.cluster.batch.results import Part, groups_of, parts_in, to_try_alone, without_part
from protray.cluster.batch.worker import NO_ROWS, write_part
from protray.cluster.runtime.capacity import Node
from protray.cluster.runtime.resources import Stage
from protray.data.location import Location
from protray.seq.errors import InputError


def row(word: str) -> dict:
    return {"id": word, "word": word, "file": "f", "line": 1}


def test_items_by_hand(tmp_path) -> None:
    """Words cost 1, and one of 20 letters 10, in three spans; an item is worth 2 (the spans cost more)."""
    run = write_words(tmp_path, {})
    words = ["a", "b", "c", "x" * 20, "d"]
    found = list(cut(JOB, run, enumerate(map(row, words)), 2.0))
    found_spans = [[(span.number, span.start, span.stop) for span in item.spans] for item in found]
    assert found_spans == [[(0, 0, 0), (1, 0, 0)], [(2, 0, 0)], [(3, 0, 8)], [(3, 8, 16)], [(3, 16, 24)], [(4, 0, 0)]]
    assert [round(item.cost, 2) for item in found] == [2, 1, 3.33, 3.33, 3.33, 1]
    assert [item.name for item in found][2:5] == [f"0000000003-{start:08d}" for start in (0, 8, 16)]
    assert list(cut(JOB, run, [], 2.0)) == []


def test_an_item_holds_a_limited_number_of_rows(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(items, "MOST_ROWS", 2)
    found = cut(JOB, write_words(tmp_path, {}), enumerate(map(row, "abcde")), 100.0)
    assert [len(item.spans) for item in found] == [2, 2, 1]


@pytest.mark.parametrize(
    ("each", "rate", "cost"),
    [
        (40, 1, 5),  # a small job: an eighth of what an actor has
        (1000, 1, 15),  # 15 s
        (1000, 1000, 125),  # the same on a GPU, which does it in a second: an eighth
        (1e6, 1000, 15_000),  # 15 s of a GPU
        (1e6, 1, 1000),  # twelve days of a core: a thousandth
    ],
)
def test_what_an_item_is_worth(each, rate, cost) -> None:
    assert item_cost(each, rate) == cost


def test_the_input_is_staged_a_few_items_at_a_time(tmp_path, monkeypatch) -> None:
    """Files of 5 rows, in row groups of 2 items: more are never held in memory."""
    monkeypatch.setattr(items, "ROWS_IN_FILE", 5)
    monkeypatch.setattr(items, "ITEMS_IN_GROUP", 2)
    monkeypatch.setattr(items, "REJECTS_AT_ONCE", 2)
    words = {f"p{n}": "word" for n in range(13)} | {f"bad{n}": str(n) for n in range(3)}
    run = write_words(tmp_path, words)
    found = stage(JOB, run, 1.0)
    assert found == (run.work / "input.json").read_json()
    assert {name: found[name] for name in ("rows", "items", "cost", "unusable")} == {
        "rows": 13, "items": 13, "cost": 13.0, "unusable": 3,
    }  # fmt: skip
    files = (run.work / "items").files()
    told = [pq.read_metadata(file) for file in files]
    assert [[one.row_group(n).num_rows for n in range(one.num_row_groups)] for one in told] == [
        [2, 2, 1], [2, 2, 1], [2, 1],
    ]  # fmt: skip
    tables = [pq.read_table(file) for file in files]
    spans = [span for table in tables for at in range(table.num_rows) for span in spans_in(table, at)]
    assert [span.row["id"] for span in spans] == [f"p{n}" for n in range(13)]
    assert sum(items.costs_of_items(run.work).values()) == 13
    assert pq.read_table(run.work / "unusable.parquet")["id"].to_pylist() == ["bad0", "bad1", "bad2"]


def test_ten_times_the_rows_are_staged_in_the_same_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(items, "ITEMS_IN_GROUP", 16)
    run, peaks = write_words(tmp_path, {}), []
    for count in (2_000, 20_000):
        job = replace(JOB, rows=lambda run, count=count: (row("word") for _ in range(count)))
        tracemalloc.start()
        assert stage(job, run, 1.0)["items"] == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_run_killed_while_it_read_has_no_record(tmp_path, monkeypatch) -> None:
    run = write_words(tmp_path, {"a": "word", "b": "word"})

    def broken(run):  # noqa: ANN001, ANN202
        yield row("a")
        yield InputError("f", 3, "bad")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage(replace(JOB, rows=broken), run, 1.0)
    assert not (run.work / "input.json").exists() and not (run.work / "unusable.parquet").exists()
    assert stage(JOB, run, 1.0)["rows"] == 2


def test_parts_by_hand(tmp_path) -> None:
    """Items begin with rows 0, 3 and 6; of the first, span 1 is to be tried alone; span 4 of the second was."""
    names = [f"{number:010d}-{0:08d}" for number in (0, 3, 6)]
    folder = Location(tmp_path) / "parts"
    some = [(Span(1, row("b")), "out of memory")]
    write_part(Done(NO_ROWS, again=some), folder / f"partly-{names[0]}.parquet")
    write_part(Done(NO_ROWS), folder / f"alone-{4:010d}-{0:08d}.parquet")
    (folder / ".item-0000000006-00000000.parquet.12ab").write_text("half")
    parts = parts_in(Location(tmp_path))
    assert [(part.kind, part.first, part.start) for part in parts] == [("partly", 0, 0), ("alone", 4, 0)]
    assert without_part(names, parts) == {names[2]}
    assert list(to_try_alone(parts)) == [some[0][0]]
    write_part(Done(NO_ROWS), folder / f"item-{names[0]}.parquet")  # computed twice: its actor died after the work
    parts = parts_in(Location(tmp_path))
    assert [part.kind for part in parts] == ["item", "alone"] and list(to_try_alone(parts)) == []


def test_files_end_where_a_row_ends() -> None:
    def part(name: str, kind: str = "item") -> Part:
        return Part(Location("/x"), kind, name, 10)

    names = ["0-0", "1-0", "1-8", "1-16", "2-0", "3-0"]
    parts = [part(name) for name in names]
    found = [[part.name for part in group] for group in groups_of(parts, 25)]
    assert found == [["0-0", "1-0", "1-8", "1-16"], ["2-0", "3-0"]]
    parts[5:5] = [part("2-0", "alone"), part("2-0", "lost")]
    assert [len(group) for group in groups_of(parts, 20)] == [4, 3, 1]
    assert groups_of([]) == []


def test_names_sort_as_rows_do() -> None:
    names = [Span(number, {}, start).name for number, start in ((2, 0), (2, 9), (2, 10), (10, 0), (3 * 10**9, 0))]
    assert names == sorted(names)


def test_only_actors_that_fit_begin() -> None:
    """One CPU is for reading; nodes of another pool do not count."""
    stage = Stage(name="x", kind="map", workers=10, cpus_per_worker=1.0, data_cpus=1.0, pool="cpu")
    nodes = [Node({"CPU": 4.0}, "cpu"), Node({"CPU": 8.0}, "gpu"), Node({})]
    assert ready(stage, nodes, nodes) == 3
    assert ready(stage, [Node({})], nodes) == 1
    assert ready(stage, [Node({"CPU": 64.0}, "cpu")], nodes) == 10
    gpus = Stage(name="x", kind="map", workers=10, cpus_per_worker=1.0, gpus_per_worker=1.0, data_cpus=1.0)
    assert ready(gpus, [], [Node({"CPU": 3.0, "GPU": 2.0})] * 5) == 10
    assert ready(gpus, [], [Node({"CPU": 2.0, "GPU": 2.0})] * 5) == 1


def test_rows_that_break_the_work_are_left_out_of_a_part(tmp_path) -> None:
    from protray.cluster.batch.worker import Worker

    run = write_words(tmp_path, {})
    worker = Worker(JOB, run, Location(tmp_path) / "parts", False, 1, "cpu")
    spans = [Span(number, row(word)) for number, word in enumerate(["one", "odd", "never", "two"])]
    status = worker(items.table_of([items.Item(tuple(spans), 4.0)], JOB.source)).to_pylist()
    assert status == [{"name": spans[0].name, "cost": 4.0, "failed": None, "refused": None, "fatal": None}]
    (part,) = parts_in(Location(tmp_path))
    assert part.kind == "partly" and pq.read_table(part.file)["turned"].to_pylist() == ["eno", "owt"]
    assert [span.row["word"] for span in to_try_alone([part])] == ["odd"]
    alone = Worker(JOB, run, Location(tmp_path) / "alone", True, 1, "cpu")
    status = alone(items.table_of([items.Item((spans[1],), 1.0)], JOB.source)).to_pylist()
    assert status[0]["failed"] == "unexpected KeyError: 'odd'" and not (tmp_path / "alone").exists()
    assert toy.worked_on(run)["odd"] == 3
