"""Damaged checkpoints, a full disk and a lack of memory, while a network trains.  Run with `pytest -m cluster`."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from faults import FIT, RUN, SETTINGS, Letters, faulty, kill, once, same_curve, unbroken
from tracking_store import curve, forget

from protray.cluster.runtime.resources import Stage
from protray.cluster.train import driver, fit
from protray.data.location import Location
from protray.pipelines.structure.score_net import JOB

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def expected() -> list[dict]:
    return unbroken()


def run(out: Path, loop: Callable, letters: Letters, failures: int = 3) -> list[dict]:
    """Train and return the curve."""
    stage, storage = Stage(name="train", kind="train", workers=1), Location(out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "MOST_FAILURES", failures)
        state = fit.train(loop, SETTINGS, name="run", storage=storage, stage=stage, on_report=letters)
    return state["position"]["history"]


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_and_a_broken_list_of_them(ray_local, tmp_path, expected) -> None:
    """The worker dies and the last checkpoint is damaged: the one before, from the same run or the next, is used."""
    import ray.train

    folder = tmp_path / "run"

    def damage_and_die() -> Callable[[], None]:
        die, path = kill(), str(folder / "checkpoint-000002" / "state.pt")

        def now() -> None:
            with open(path, "r+b") as file:
                file.seek(2000)
                file.write(b"damaged")
            die()

        return now

    letters = Letters()
    with pytest.raises(ray.train.WorkerGroupError):
        run(tmp_path, faulty(once(tmp_path / "second", 18, 0, kill())), letters, failures=0)
    flip_a_bit(folder / "checkpoint-000003" / "state.pt")
    (folder / "checkpoint_manager_snapshot.json").write_text('{"ray_version": "2.6')  # the driver died while it wrote
    # goes on from checkpoint 2, and after its death once more: checkpoint 2 is damaged, too, but 4 is there
    curve = run(tmp_path, faulty(once(tmp_path / "first", 17, 0, damage_and_die())), letters)
    assert (tmp_path / "first").exists() and (tmp_path / "second").exists()
    same_curve(curve, expected)
    letters.tell("damaged checkpoint")
    assert FIT.validate_every < letters.lost() <= 2 * FIT.validate_every


def test_when_every_checkpoint_is_damaged_the_job_says_so(ray_local, tmp_path) -> None:
    import ray.train

    with pytest.raises(ray.train.WorkerGroupError):
        run(tmp_path, faulty(once(tmp_path / "died", 7, 0, kill())), Letters(), failures=0)
    flip_a_bit(tmp_path / "run" / "checkpoint-000001" / "state.pt")
    with pytest.raises(ValueError, match=r"all 1 checkpoints in .*run are damaged; delete it to train anew"):
        run(tmp_path, faulty(lambda *_: None), Letters(), failures=0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(ray_local, small_disk, expected, monkeypatch) -> None:
    """The job ends with a sentence; once there is space again, the same command goes on at the last checkpoint."""

    def fill(path: str) -> Callable[[], None]:
        def now() -> None:
            with open(path, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass

        return now

    filler = small_disk / "filler"
    asked = replace(RUN, out=Location(small_disk) / "out")
    filling = faulty(once(small_disk / "filled", 12, 0, fill(str(filler))), pause=0.1)
    with pytest.raises(OSError, match="no space for a checkpoint in .*; the same command goes on"):
        driver.run_training(replace(JOB, loop=filling), asked)
    filler.unlink()
    forget()
    steps: list[int] = []
    track = driver.track_point
    monkeypatch.setattr(driver, "track_point", lambda *args: steps.append(args[-1]["step"]) or track(*args))
    metrics = driver.run_training(JOB, asked)
    same_curve(metrics["history"], expected)
    assert steps[0] == 11  # the checkpoint of step 10 was there
    logged = curve(asked.out.path, "protray-score-net")
    assert [step for step, _ in logged["validation/loss"]] == [point["step"] for point in expected]


def test_a_worker_that_takes_too_much_memory(nodes, tmp_path, expected, monkeypatch) -> None:
    """Ray ends it before the kernel would end something else; training goes on from the last checkpoint.

    Only the node of the worker watches the memory: the driver's would end Ray's own processes on it, since here both
    are one machine.
    """
    import psutil

    memory = psutil.virtual_memory()
    if memory.available < 10 * 2**30:
        pytest.skip(f"{memory.available / 2**30:.1f} GB are free; 10 are needed")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(memory.total - memory.available + 3 * 2**30) / memory.total}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    nodes.add_node(num_cpus=2)

    def take() -> Callable[[], None]:
        def now() -> None:
            import time

            taken = []
            for _ in range(90):  # three times what is allowed: others may give memory back meanwhile
                taken.append(bytearray(os.urandom(1024)) * (100 * 1024))  # 100 MB, touched
                time.sleep(0.05)

        return now

    letters = Letters()
    curve = run(tmp_path, faulty(once(tmp_path / "took", 13, 0, take())), letters)
    assert (tmp_path / "took").exists()
    same_curve(curve, expected)
    letters.tell("out of memory")
    print(f"threshold {os.environ['RAY_memory_usage_threshold'][:5]}", file=sys.stderr)
    assert 0 < letters.lost() <= FIT.validate_every
