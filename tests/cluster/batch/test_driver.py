"""What `run_batch` promises, with a toy job on a small Ray of this machine."""

import gc
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import toy
from ray import cloudpickle
from toy import JOB, SETTLING, Toy, worked_on, write_words

from protray.cluster.batch import driver
from protray.cluster.batch.driver import run_batch
from protray.data.location import Location

pytestmark = pytest.mark.ray
cloudpickle.register_pickle_by_value(toy)  # Ray's workers cannot import from the tests
PLAIN = {f"p{n}": f"word{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}" for n in range(40)}


def finished(run: Toy) -> dict[str, str]:
    rows = [row for file in (run.out / "turned").files() for row in pq.read_table(file).to_pylist()]
    assert len(rows) == len({row["id"] for row in rows}), "a row is there twice"
    return {row["id"]: row["turned"] for row in rows}


def rejected(run: Toy) -> dict[str, str]:
    return {row["id"]: row["reason"] for row in pq.read_table(run.rejected).to_pylist()}


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def turned(words: dict[str, str]) -> dict[str, str]:
    return {name: word[::-1] for name, word in words.items()}


@pytest.mark.parametrize(("actors", "items"), [(1, 1), (1, 40), (2, 8)])
def test_rows_are_in_order_for_any_actors_and_items(request, tmp_path, monkeypatch, actors, items) -> None:
    """40 rows in one item, or one each; one of 30 letters is cut in four; what is unusable is named with its line."""
    request.getfixturevalue("ray_local" if actors > 1 else "no_ray")
    monkeypatch.setattr(driver, "ITEMS_PER_ACTOR", items)
    words = PLAIN | {"long": "abcdefghijklmnopqrstuvwxyzabcd", "last": "end"}
    run = replace(write_words(tmp_path, words | {"bad": "b4d"}), actors=actors)
    summary = run_batch(JOB, run)
    assert list(finished(run).items()) == list(turned(words).items())
    assert rejected(run) == {"bad": "'b4d' is no word"}
    assert pq.read_table(run.rejected)["line"].to_pylist() == [43]
    assert (summary["n_rows"], summary["n_rejected"], summary["n_again"]) == (42, 1, 0)
    assert summary["counts"] == {"words": 45 if items > 1 else 42}
    assert sorted(path.name for path in run.out.path.iterdir()) == ["rejected.parquet", "summary.json", "turned"]


def test_a_second_run_costs_nothing_and_other_settings_are_refused(no_ray, tmp_path, monkeypatch) -> None:
    run = write_words(tmp_path, PLAIN)
    summary = run_batch(JOB, run)
    stamps = {path: path.stat().st_mtime_ns for path in run.out.path.rglob("*")}
    run.text.path.touch()
    with monkeypatch.context() as patch:
        patch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
        again = run_batch(JOB, run)
        with pytest.raises(ValueError, match="upper was False, is True. Choose another --out"):
            run_batch(JOB, replace(run, upper=True))
    assert again["cached"] and not summary["cached"]
    assert {name: again[name] for name in ("n_rows", "identity")} == {
        name: summary[name] for name in ("n_rows", "identity")
    }
    assert {path: path.stat().st_mtime_ns for path in run.out.path.rglob("*")} == stamps


def test_rows_that_are_trouble_cost_nobody_else_anything(ray_local, tmp_path) -> None:
    """`die` takes its process down, `odd` raises, `big` does not fit, `disk` fails twice, `never` is unusable."""
    trouble = {"a": "die", "b": "odd", "c": "disk", "d": "big", "e": "never"}
    run = replace(write_words(tmp_path, dict(list(PLAIN.items())[:20]) | trouble | PLAIN), actors=2, max_rejected=0.2)
    summary = run_batch(JOB, run)
    assert finished(run) == turned(PLAIN | {"c": "disk"})
    reasons = rejected(run)
    assert reasons == {"a": driver.DIED, "b": "unexpected KeyError: 'odd'", "d": "out of memory", "e": "is never done"}
    assert (summary["n_rows"], summary["n_rejected"], summary["n_again"]) == (41, 4, 3)
    assert worked_on(run)["die"] == 6  # three processes with its item, three alone
    assert worked_on(run)["disk"] >= 3

    before = worked_on(run)
    (run.notes / "mended").write_text("")
    again = run_batch(JOB, run)
    assert worked_on(run) - before == Counter(["die", "odd", "big"])
    assert finished(run) == turned(PLAIN | {"a": "die", "b": "odd", "c": "disk", "d": "big"})
    assert list(finished(run))[20:24] == ["a", "b", "c", "d"]
    assert rejected(run) == {"e": "is never done"} and again["n_again"] == 0
    assert run_batch(JOB, run)["cached"]


def test_a_process_that_dies_once_costs_its_item_alone(ray_local, tmp_path, monkeypatch) -> None:
    """One word an item."""
    monkeypatch.setattr(driver, "ITEMS_PER_ACTOR", 1000)
    words = dict(list(PLAIN.items())[:10]) | {"o": "once"}
    run = replace(write_words(tmp_path, words), actors=1)
    summary = run_batch(JOB, run)
    assert finished(run) == turned(words) and rejected(run) == {}
    assert (summary["n_rows"], summary["n_again"]) == (11, 0)
    assert worked_on(run) == Counter(words.values()) + Counter(["once"])


def test_a_disk_that_stays_full_ends_the_job_and_rejects_nothing(ray_local, tmp_path) -> None:
    import ray

    run = replace(write_words(tmp_path, PLAIN | {"f": "full"}), actors=1)
    with pytest.raises(OSError, match="No space left on device; what is done is kept, and the same command goes on"):
        run_batch(JOB, run)
    assert not run.rejected.exists() and not run.summary.exists()
    # the actors go; one that was still starting is held by a cycle, until Python collects it or the job's process ends
    wait_until(lambda: gc.collect() >= 0 and ray.available_resources().get("CPU") == 4)
    (run.notes / "mended").write_text("")
    before = worked_on(run)
    run_batch(JOB, run)
    assert finished(run) == turned(PLAIN | {"f": "full"}) and rejected(run) == {}
    assert sum((worked_on(run) - before).values()) <= 11  # the two items that were in flight


def test_settings_that_an_actor_finds_unusable(ray_local, tmp_path) -> None:
    run = write_words(tmp_path, PLAIN)
    (run.notes / "refuse").write_text("")
    with pytest.raises(ValueError, match="^such words cannot be turned$"):
        run_batch(JOB, run)


def test_too_many_rejects_and_a_raised_limit(no_ray, tmp_path) -> None:
    """3 of 13 are more than a tenth; with 30 % allowed nothing is computed again."""
    few = dict(list(PLAIN.items())[:10])
    run = write_words(tmp_path, few | {"x": "x1", "y": "never", "z": "never"})
    with pytest.raises(ValueError) as raised:
        run_batch(JOB, run)
    assert str(raised.value) == (
        f"3 of 13 words in the input cannot be used, more than --max-rejected 0.1: correct them, or allow more; "
        f"see {run.rejected}, where the first is {run.text}:11: 'x1' is no word\n"
        "  2 x is never done\n  1 x 'x1' is no word"
    )
    before = worked_on(run)
    assert run_batch(JOB, replace(run, max_rejected=0.3))["n_rejected"] == 3
    assert worked_on(run) == before and finished(run) == turned(few)


def test_after_too_many_rejects_a_corrected_input_takes_the_place(no_ray, tmp_path) -> None:
    """Also where other settings change; not once there is a result.  Rejects are in the order of the file."""
    few = dict(list(PLAIN.items())[:10])
    with pytest.raises(ValueError, match="2 of 12 words") as raised:
        run_batch(JOB, write_words(tmp_path, few | {"y": "never", "x": "x1"}))
    assert "text:11: is never done" in str(raised.value)
    corrected = write_words(tmp_path, few | {"y": "yes"})
    assert run_batch(JOB, replace(corrected, upper=True))["n_rows"] == 11 and not rejected(corrected)
    with pytest.raises(ValueError, match="was made differently: upper was True, is False"):
        run_batch(JOB, corrected)


def test_an_input_that_cannot_be_read_to_its_end_leaves_the_folder_free(no_ray, tmp_path) -> None:
    """The damage is found when all of it is read, and there is no result to lose."""
    run = write_words(tmp_path, PLAIN)
    with run.text.path.open("a") as file:
        file.write("no word, and more\n")  # `rows` cannot part it in two
    with pytest.raises(ValueError, match="too many values"):
        run_batch(JOB, run)
    assert not run.work.exists()
    assert run_batch(JOB, write_words(tmp_path, PLAIN))["n_rows"] == 40


def test_what_is_settled_when_all_rows_are_there(no_ray, tmp_path, monkeypatch) -> None:
    from protray.cluster.batch import results

    monkeypatch.setattr(results, "FILE_BYTES", 1)
    monkeypatch.setattr(results.groups_of, "__defaults__", (1,))
    run = write_words(tmp_path, {"a": "apple", "z": "zebra", "b": "bee", "c": "art", "d": "bar"})
    summary = run_batch(SETTLING, replace(run, max_rejected=0.3))
    rows = [row for file in (run.out / "turned").files() for row in pq.read_table(file).to_pylist()]
    assert [(row["id"], row["like"]) for row in rows] == [("a", "a"), ("b", "b"), ("c", "a"), ("d", "b")]
    assert rejected(run) == {"z": "begins with z"}
    assert (summary["n_letters"], summary["twice"]) == (2, 8)
    assert summary["files"] == [f"part-{k:05d}.parquet" for k in range(len(summary["files"]))]
    other = replace(run, out=Location(tmp_path / "other"), max_rejected=0.3)
    monkeypatch.setattr(driver, "ITEMS_PER_ACTOR", 1)
    assert run_batch(SETTLING, other)["digest"] == summary["digest"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actors": 0}, "--actors is 0; it must be at least 1"),
        ({"cpus_per_actor": 0.0}, "--cpus-per-actor is 0.0"),
        ({"max_rejected": 1.5}, "--max-rejected is 1.5"),
    ],
)
def test_refused_before_anything_starts(tmp_path, monkeypatch, change, message) -> None:
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    run = write_words(tmp_path, {"a": "word"})
    with pytest.raises(ValueError, match=message):
        run_batch(JOB, replace(run, **change))
    assert not run.out.exists()
    run.out.path.mkdir()
    (run.out / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="out exists, and no such job has made it; choose another --out"):
        run_batch(JOB, run)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "there is nothing to work on: no words in .*/text"),
        ({"x": "x1"}, "1 of 1 words in the input cannot be used, and nothing is left"),
        ({"x": "never"}, "1 of 1 words in the input cannot be used, and nothing is left"),
    ],
)
def test_an_input_without_rows_leaves_the_folder_free(no_ray, tmp_path: Path, words, says) -> None:
    run = write_words(tmp_path, words)
    with pytest.raises(ValueError, match=says):
        run_batch(JOB, run)
    assert run.rejected.exists() == bool(words) and not (run.out / "turned").exists()
    good = write_words(tmp_path, {"a": "word"})
    assert run_batch(JOB, good)["n_rows"] == 1 and finished(good) == turned({"a": "word"})
    assert rejected(good) == {}
    with pytest.raises(ValueError, match="was made differently"):
        run_batch(JOB, write_words(tmp_path, {"b": "other"}))
