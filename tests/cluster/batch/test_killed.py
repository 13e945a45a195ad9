"""A driver that is killed, the plan of a job that runs, and a second job in its folder; in a folder and in a bucket."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import toy
from bucket import KEYS, keys, serve
from ray import cloudpickle
from toy import JOB, Toy, worked_on, write_words

from protray.cluster.batch.command import batch_command
from protray.cluster.health import estimate
from protray.data import location
from protray.data.location import Location

pytestmark = pytest.mark.ray
cloudpickle.register_pickle_by_value(toy)
TESTS = Path(__file__).parents[2]
N, FIRST = 12, 3


@pytest.fixture(params=["path", "s3"])
def out(request, tmp_path: Path, monkeypatch) -> Iterator[Location]:
    monkeypatch.setenv("PROTRAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}:{TESTS.parent}")
    if request.param == "path":
        yield Location(tmp_path / "out")
        return
    with serve() as address:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": address}).items():
            monkeypatch.setenv(name, value)
        location._filesystem.cache_clear()
        yield Location("s3://bucket/runs/out")
    location._filesystem.cache_clear()


def names(out: Location) -> set[str]:
    if out.is_address:
        return keys(Path(out))
    return {path.relative_to(out).as_posix() for path in Path(out).rglob("*") if path.is_file()}


def parts(out: Location) -> set[str]:
    return {name for name in names(out) if re.match(r"work/parts/item-[^/]*\.parquet$", name)}


def test_a_killed_driver(ray_local, out: Location, tmp_path: Path, monkeypatch, capfd) -> None:
    """One word an item; the first driver comes no further than to the fourth."""
    monkeypatch.setattr(estimate, "TRIAL_S", 0.1)
    run = write_words(tmp_path, {f"p{n}": f"word{chr(97 + n)}" for n in range(N)})
    elsewhere = ["--text", run.text, "--out", str(out), "--actors", "1", "--notes"]
    options = [*elsewhere, run.notes]
    one_each = "import sys, toy; from protray.cluster.batch import driver; driver.ITEMS_PER_ACTOR = 1000; "
    one_each += "sys.exit(toy.batch_command(toy.JOB, toy.Toy, '', sys.argv[1:]))"
    by_value = "import toy, ray.cloudpickle as c; c.register_pickle_by_value(toy); "
    command = [sys.executable, "-c", by_value + one_each, *options]
    stuck = [*command, "--first", str(FIRST)]
    with subprocess.Popen(stuck, cwd=TESTS / "cluster" / "batch", stderr=subprocess.PIPE) as first:
        deadline = time.monotonic() + 120
        while len(parts(out)) < FIRST:
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.1)
        before = names(out)
        assert batch_command(JOB, Toy, "", [*elsewhere, str(tmp_path), "--plan"]) == 0  # as it works, beside its lock
        assert first.poll() is None
        assert {name for name in before - names(out) if not Path(name).name.startswith(".")} == set()
        assert batch_command(JOB, Toy, "", options) == 1
        assert f"another job is working in {out}: wait for it" in capfd.readouterr().err
        first.kill()
    assert len(parts(out)) == FIRST
    done = subprocess.run(command, cwd=TESTS / "cluster" / "batch", capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert f"words      {N} done, 0 rejected" in done.stdout
    words = worked_on(run)
    assert len(words) == N and sum(words.values()) == N + 1  # what was in flight
    assert names(out) == {"summary.json", "rejected.parquet", "turned/part-00000.parquet"}
    with (out / "turned/part-00000.parquet").open() as file:
        assert pq.read_table(file)["id"].to_pylist() == [f"p{n}" for n in range(N)]
    assert batch_command(JOB, Toy, "", options) == 0
    assert "nothing to do" in capfd.readouterr().out


def test_a_plan_leaves_no_trace(ray_local, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(estimate, "TRIAL_S", 0.1)
    run = write_words(tmp_path, {"a": "odd", "b": "word"})
    assert batch_command(JOB, Toy, "", ["--text", run.text, "--notes", run.notes, "--out", run.out, "--plan"]) == 0
    shown = capsys.readouterr().out
    assert "turning" in shown and "2 words" in shown and "nothing was written there" in shown
    assert not run.out.exists()
    run.out.path.mkdir()
    (run.out / "thesis.tex").write_text("")
    assert batch_command(JOB, Toy, "", ["--text", run.text, "--notes", run.notes, "--out", run.out, "--plan"]) == 1
    assert "no such job has made it" in capsys.readouterr().err
    assert os.listdir(run.out) == ["thesis.tex"]
