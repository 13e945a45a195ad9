"""The README's commands for a cluster, as they stand there, on a head and a node that ask for a token.

Run with `pytest -m cluster`.  Changed in the commands: folders, ports, the address of the head, and how long it trains.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fake_cloud import end_processes_of, free_port, head_options
from tiny import tiny_proteins

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
BLOCK = re.search(r"## On a cluster\n.*?```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@dataclass
class Shell:
    """Runs the lines of a user one by one."""

    folder: Path  # short: the paths of sockets end in it
    gcs: str
    dashboard: str
    environment: dict[str, str]
    changed: dict[str, str] = field(default_factory=dict)

    def run(self, line: str, status: int = 0) -> str:
        """What a line prints; `export` is heeded."""
        for word, other in self.changed.items():
            line = line.replace(word, other)
        name, _, value = line.removeprefix("export ").partition("=")
        if line.startswith("export "):
            self.environment[name] = value.split()[0]
            return ""
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == status, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "data" / "proteins").mkdir(parents=True)
    pq.write_table(tiny_proteins().table, tmp_path / "data" / "proteins" / "part-0.parquet")
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"digest": "tiny"}))
    folder = Path(tempfile.mkdtemp(prefix="pr"))
    gcs, dashboard = (f"127.0.0.1:{free_port()}" for _ in range(2))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    binaries = f"{Path(sys.executable).parent}:{kept['PATH']}"
    shell = Shell(
        folder, gcs, dashboard, kept | {"HOME": str(folder), "PATH": binaries, "RAY_USAGE_STATS_ENABLED": "0"}
    )
    shell.changed = {
        "--head --num-cpus=0": " ".join(["--head --num-cpus=0", *head_options(folder, gcs, dashboard)]),
        # a folder of its own, as on another machine: it would unpack the code again where the driver runs
        "--address=HEAD:6379": f"--address={gcs} --num-cpus=5 --object-store-memory=100000000 --temp-dir={folder}/two",
        "http://127.0.0.1:8265": f"http://{dashboard}",
        "--workers 4": "--workers 4 --epochs 2",
        "/shared/data/mine": str(tmp_path / "data"),
        "/shared/runs/mine": str(tmp_path / "run"),
    }
    yield shell
    end_processes_of(folder)
    shutil.rmtree(folder, ignore_errors=True)


def test_the_commands_of_the_readme(shell: Shell, tmp_path: Path) -> None:
    assert BLOCK
    *lines, logs = BLOCK[1].strip().splitlines()
    *begin, doctor, submit = lines
    for line in begin:
        shell.run(line)
    token = (shell.folder / ".ray" / "auth_token").read_text().strip()
    found = shell.run(doctor)
    assert "refuses requests" in found and "2 up" in found
    size = re.search(r"([\d.]+) MiB \(limit", found)
    assert size and float(size[1]) < 20
    assert not (tmp_path / "run").exists()
    job = re.search(r"raysubmit_\w+", shell.run(submit))
    assert job
    told = shell.run(logs.replace("raysubmit_...", job[0]))
    assert "done in" in told and "report" in told and (tmp_path / "run" / "report.html").is_file()
    assert "succeeded" in shell.run(f"ray job status {job[0]}")
    again = shell.run(submit.replace("--no-wait ", ""))
    assert "everything is there in" in again
    missing = shell.run("ray job submit --working-dir . -- python jobs/distil.py --data /not/there", status=1)
    assert "error: /not/there" in missing
    assert token not in "".join([found, told, again, missing])
    for file in (shell.folder / "ray").rglob("*.log"):
        assert token not in file.read_text(errors="replace"), file
    (shell.folder / ".ray" / "auth_token").rename(tmp_path / "token")
    assert "uthenti" in shell.run(doctor, status=1)
