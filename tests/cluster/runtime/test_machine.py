"""Machines that are set up otherwise than Ray expects: folders, streams, networks."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from protray.cluster.runtime.machine import FALLBACKS, LONGEST, check_reaches_itself, session_folder
from protray.cluster.runtime.start import _local_start

USUAL = FALLBACKS[0]
JOB = """
from protray.cluster.runtime.logs import open_closed_streams, setup_logging
from protray.cluster.runtime.start import start_ray, stop_ray
open_closed_streams()
setup_logging()
cluster = start_ray()
import ray
session = ray._private.worker.global_worker.node.get_session_dir_path()
print(ray.get(ray.remote(lambda: "works").remote()), session, flush=True)
stop_ray(cluster)
"""


def run(words: list[str], **environment: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTEST_", "TMPDIR"))}
    return subprocess.run(words, env=kept | environment, capture_output=True, text=True, check=False, timeout=300)


def of_length(parent: Path, length: int) -> Path:
    folder = parent / ("x" * (length - len(str(parent)) - 1))
    folder.mkdir()
    assert len(str(folder)) == length
    return folder


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path that is shorter than pytest's."""
    folder = Path(tempfile.mkdtemp(dir=USUAL, prefix=""))
    yield folder
    shutil.rmtree(folder)


# ---- folders


def test_a_folder_for_sessions(short, monkeypatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)
    assert session_folder() == Path(USUAL)
    fits, long = of_length(short, LONGEST), of_length(short, LONGEST + 1)
    monkeypatch.setenv("TMPDIR", str(fits))
    assert session_folder() == fits
    monkeypatch.setenv("TMPDIR", str(long))
    assert session_folder() == Path(USUAL)
    (short / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(short / "file"))
    assert session_folder() == Path(USUAL)
    monkeypatch.setenv("RAY_TMPDIR", str(fits))
    assert session_folder() == fits


def test_a_folder_that_was_meant_for_ray_is_not_changed_in_silence(short, monkeypatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", f"{USUAL}/{'x' * 100}")
    with pytest.raises(
        ValueError, match=f"RAY_TMPDIR={USUAL}/xxx.* has a path of 105 bytes, and .* room for {LONGEST}"
    ):
        session_folder()
    monkeypatch.setenv("RAY_TMPDIR", "here")
    with pytest.raises(ValueError, match="RAY_TMPDIR=here is no absolute path"):
        session_folder()
    (short / "file").write_text("")
    monkeypatch.setenv("RAY_TMPDIR", str(short / "file"))
    with pytest.raises(ValueError, match=r"RAY_TMPDIR=\S+ cannot be written .File exists.; unset it, or set another"):
        session_folder()


@pytest.mark.ray
def test_ray_runs_with_the_longest_tmpdir_and_where_few_files_may_be_open(short) -> None:
    """64 are too few for Ray, which then ends without a word; up to the machine's own limit a job may raise it."""
    fits = of_length(short, LONGEST)
    done = run(["bash", "-c", 'ulimit -Sn 64; exec "$@"', "bash", sys.executable, "-c", JOB], TMPDIR=str(fits))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"works {fits}/ray/session_")


@pytest.mark.ray
def test_ray_runs_with_a_longer_tmpdir_and_without_an_error_stream(short) -> None:
    long = of_length(short, 150)
    done = run(["bash", "-c", 'exec "$@" 2>&-', "bash", sys.executable, "-c", JOB], TMPDIR=str(long))
    assert done.returncode == 0
    assert done.stdout.startswith(f"works {USUAL}/ray/session_")


def test_another_folder_than_tmpdir_is_told(short, monkeypatch, caplog) -> None:
    """What does not fit into memory goes to TMPDIR all the same, where it can be written."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    long = of_length(short, 150)
    monkeypatch.setenv("TMPDIR", str(long))
    with caplog.at_level(logging.INFO):
        found = _local_start()
    assert (found["_temp_dir"], found["object_spilling_directory"]) == (f"{USUAL}/ray", str(long))
    told = f"Ray keeps its sockets in {USUAL}: TMPDIR cannot be written, or is longer than {LONGEST} bytes"
    assert caplog.messages == [told]


# ---- streams


def test_files_do_not_get_the_numbers_of_closed_streams(tmp_path) -> None:
    code = (
        "import os, sys; from protray.cluster.runtime.logs import open_closed_streams; open_closed_streams()\n"
        f"file = open({str(tmp_path / 'file')!r}, 'w'); assert file.fileno() > 2, file.fileno()\n"
        "os.write(1, b'out'); os.write(2, b'err'); print('out'); print('err', file=sys.stderr)\n"
        "assert sys.stdin.read() == ''; file.write('mine')\n"
    )
    closed = ["bash", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "bash"]
    assert run([*closed, sys.executable, "-c", code]).returncode == 0
    assert (tmp_path / "file").read_text() == "mine"
    assert run([sys.executable, "-c", code.replace("== ''", "is not None")]).stdout == "outout\n"  # open ones are kept


def test_an_error_without_an_error_stream_is_an_exit_status(tmp_path) -> None:
    job = str(Path(__file__).parents[3] / "jobs" / "pseudo_msa.py")
    words = [sys.executable, job, "--maps", str(tmp_path / "no"), "--out", str(tmp_path / "out")]
    done = run(["bash", "-c", 'exec "$@" 2>&-', "bash", *words], PROTRAY_CACHE=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


# ---- limits


def test_a_limit_of_files_that_cannot_be_raised_is_told() -> None:
    done = run(["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", sys.executable, "-c", JOB])
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError: a process may have 64 files open here (ulimit -Hn), and Ray needs 256")


# ---- networks


def test_an_address_that_is_not_this_machines() -> None:
    check_reaches_itself()
    with pytest.raises(ConnectionError, match="cannot reach itself at 192.0.2.1 .Cannot assign requested address"):
        check_reaches_itself("192.0.2.1")  # RFC 5737: of no machine


def test_a_machine_without_loopback_is_told_at_once() -> None:
    alone = ["unshare", "--map-root-user", "--net"]
    if run([*alone, "true"]).returncode:
        pytest.skip("this machine lets no user make a network of its own")
    code = "from protray.cluster.runtime.start import start_ray; start_ray()"
    done = run([*alone, sys.executable, "-c", code])
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ConnectionError: this machine cannot reach itself at 127.0.0.1 (")
    assert "is the loopback interface up (ip link set lo up)" in last
