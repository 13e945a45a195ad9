"""What the doctor says of a cluster: each judgement by hand, and a real Ray that is in order."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from protray.cluster.health import checks, doctor
from protray.cluster.health.command import doctor_command
from protray.cluster.health.doctor import Mark
from protray.cluster.health.probe import Facts, Node, installed, name_for, write_beside
from protray.cluster.health.upload import upload_sizes
from protray.data.location import Location

ROOT = Path(__file__).parents[3]
MIB = 1024**2
SAME = {"python": "3.12.4", "protray": "0.1.0", "ray": "2.60.0", "torch": "2.9.0", "mlflow": "3.17.2"}
HEAD = Facts(
    node=Node(id="a" * 56, name="10.0.0.1:7000", gpus=0, object_store_bytes=500 * MIB),
    versions=SAME,
    sees_mark=True,
    write_error="",
    torch_gpus=None,
    cuda="",
    shm_bytes=500 * MIB,
    open_files=65_536,
)
GPU_NODE = Node(id="b" * 56, name="10.0.0.2:7000", gpus=4, object_store_bytes=800 * MIB)
GPUS = replace(HEAD, node=GPU_NODE, torch_gpus=4, cuda="12.8", shm_bytes=900 * MIB)


def state(verdict: checks.Check, *words: str) -> str:
    """The state, once the text was seen to name what is wrong; what is wrong comes with a way to mend it."""
    assert all(word in verdict.found for word in words), verdict.found
    assert verdict.state == "ok" or verdict.fix
    return verdict.state


def test_a_cluster_in_order() -> None:
    both = [HEAD, GPUS]
    assert [
        state(verdict)
        for verdict in (
            checks.judge_nodes(2, 0, {}),
            checks.judge_versions(SAME, both),
            checks.judge_token(False, "token", "10.0.0.1:8265", 401),
            checks.judge_storage("/shared", "", both, {"10.0.0.1:7000", "10.0.0.2:7000"}),
            checks.judge_mlflow("http://mlflow:5000", "", 2),
            checks.judge_upload({"protray": 8 * MIB}),
            checks.judge_gpus(both),
            checks.judge_shared_memory(both),
            checks.judge_open_files(both),
            checks.judge_clocks(both),
        )
    ] == ["ok"] * 10


def test_nodes() -> None:
    assert state(checks.judge_nodes(2, 0, {"10.0.0.2:7000": "no module protray"}), "1 of 2", "no module") == "fail"
    assert state(checks.judge_nodes(1, 12, {}), "12 that the autoscaler may add") == "warn"


def test_versions() -> None:
    other = replace(GPUS, versions=SAME | {"torch": "2.8.0", "mlflow": "missing"})
    verdict = checks.judge_versions(SAME, [HEAD, other])
    words = ("10.0.0.2:7000 has torch 2.8.0, the driver 2.9.0", "has mlflow missing, the driver 3.17.2")
    assert state(verdict, *words) == "fail"
    assert "10.0.0.1" not in verdict.found
    gone = SAME | {"torch": "missing"}  # on all nodes alike
    assert state(checks.judge_versions(gone, [replace(HEAD, versions=gone)]), "torch missing") == "fail"


@pytest.mark.parametrize(
    "local, mode, dashboard, status, expected",
    [
        (False, "token", "", None, "ok"),  # no dashboard: the mode tells
        (False, "unset", "10.0.0.1:8265", 401, "ok"),  # the head was started with a token; that is what counts
        (False, "token", "10.0.0.1:8265", 200, "fail"),  # our setting is not the cluster's
        (False, "disabled", "", None, "fail"),
        (True, "disabled", "", None, "warn"),  # chosen, on one's own machine
    ],
)
def test_tokens(local: bool, mode: str, dashboard: str, status: int | None, expected: str) -> None:
    verdict = checks.judge_token(local, mode, dashboard, status)
    assert state(verdict) == expected
    assert expected == "ok" or "can run code here" in verdict.found


def test_storage() -> None:
    other = replace(GPUS, sees_mark=False)
    local = checks.judge_storage("/data/out", "", [HEAD, other], {"10.0.0.1:7000"})
    words = ("/data/out is another folder on 10.0.0.2:7000", "workers there would write what nobody finds")
    assert state(local, *words) == "fail"
    locked = replace(GPUS, write_error="Permission denied")
    refused = checks.judge_storage("/nfs", "", [HEAD, locked], {"10.0.0.1:7000"})
    assert state(refused, "10.0.0.2:7000: Permission denied") == "fail"
    late = checks.judge_storage("/nfs", "", [HEAD, GPUS], {"10.0.0.1:7000"})
    assert state(late, "from 10.0.0.2:7000 were not seen by the driver") == "fail"
    assert state(checks.judge_storage("/nfs", "No space left", [], set()), "/nfs: No space left") == "fail"


def test_mlflow() -> None:
    file, server = "sqlite:////out/mlflow.db", "http://mlflow:5000"
    assert state(checks.judge_mlflow(file, "", 1), file) == "ok"
    assert state(checks.judge_mlflow(file, "", 2), "network folder") == "warn"
    assert state(checks.judge_mlflow(server, "403 Forbidden", 1), "403 Forbidden") == "fail"
    assert state(checks.judge_mlflow(server, "", 1, password=True), "password") == "warn"


def test_uploads() -> None:
    assert state(checks.judge_upload({"protray": 8 * MIB, "maps": 92 * MIB}), "100.0 MiB", "maps 92.0") == "fail"
    assert state(checks.judge_upload({"protray": 8 * MIB, "maps": 50 * MIB}), "58.0 MiB") == "warn"
    assert checks.judge_upload(None).state == "warn"


def test_gpus() -> None:
    cpu_torch = replace(GPUS, torch_gpus=0, cuda="None")
    assert state(checks.judge_gpus([HEAD, cpu_torch]), "Ray has 4, torch (CUDA None) sees 0") == "fail"
    forgotten = replace(GPUS, node=replace(GPU_NODE, gpus=0))
    assert state(checks.judge_gpus([HEAD, forgotten]), "10.0.0.2:7000") == "warn"


def test_shared_memory_and_open_files() -> None:
    small = replace(GPUS, shm_bytes=64 * MIB)
    words = ("10.0.0.2:7000: 64 MiB for an object store of 800",)
    assert state(checks.judge_shared_memory([HEAD, small]), *words) == "warn"
    assert state(checks.judge_open_files([HEAD, replace(GPUS, open_files=1024)]), "10.0.0.2:7000: 1024") == "fail"
    unlimited = replace(GPUS, open_files=-1)
    assert state(checks.judge_open_files([HEAD, unlimited])) == "ok"
    few = replace(GPUS, open_files=20_000)  # enough for 99 nodes
    assert [state(checks.judge_open_files([few] * n)) for n in (99, 100)] == ["ok", "fail"]


def test_clocks_are_apart_beyond_what_the_reading_can_explain() -> None:
    for ahead, error, expected in ((2.5, 0.01, "fail"), (-2.5, 0.01, "fail"), (2.5, 0.6, "ok"), (1.9, 0.0, "ok")):
        off = replace(GPUS, clock_ahead_s=ahead, clock_error_s=error)
        assert state(checks.judge_clocks([HEAD, off])) == expected


def test_the_mark_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "nodes_up", lambda: [HEAD.node])
    old = tmp_path / "old"
    old.mkdir()
    for out in (old, tmp_path / "new" / "deep"):
        with Mark(Location(out)) as mark:
            assert mark.file is not None and write_beside(mark.file, HEAD.node) == ""
            assert name_for(mark.file, HEAD.node).is_file()
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_a_mark_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Mark(Location(tmp_path) / "file" / "out") as mark:
        assert mark.file is None and mark.error == "Not a directory"


def test_addresses_with_a_secret_are_refused_before_ray_starts(monkeypatch, capsys) -> None:
    monkeypatch.setattr(doctor, "start_ray", lambda: pytest.fail("Ray was started"))
    with pytest.raises(SystemExit) as ended:
        doctor_command("", ["--out", "s3://key:hunter2@bucket/x"])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert "s3://***@bucket/x: an address names a bucket" in told and "hunter2" not in told


def test_the_upload_holds_what_jobs_need_and_nothing_more() -> None:
    """This checkout, as Ray would send it."""
    sizes = upload_sizes(ROOT)
    assert sizes is not None
    assert {"protray", "jobs", "tune_spaces", "pyproject.toml"} <= sizes.keys()
    assert not sizes.keys() & {".git", "tests", ".pytest_cache", ".ruff_cache", ".venv", "protray.egg-info"}
    needed = ("protray/data/sample/sample.parquet", "protray/plm/tiny/model.safetensors")
    assert sizes["protray"] > sum((ROOT / name).stat().st_size for name in needed)
    assert sum(sizes.values()) < 20 * MIB  # each job sends it anew once a file has changed


def test_the_upload_leaves_out_what_the_ignore_files_name(tmp_path: Path) -> None:
    (tmp_path / ".rayignore").write_text((ROOT / ".rayignore").read_text())
    (tmp_path / ".gitignore").write_text("big.bin\n")
    inside = ["protray/data/sample.parquet", "protray/plm/tiny/model.safetensors", "jobs/x.py"]
    outside = [
        "big.bin", "data/mine/part.parquet", "runs/a/model.pt", "predictions.parquet", "mlflow.db", "tests/test_x.py",
        ".env", "keys/me.pem", ".git/objects/1", "protray/__pycache__/x.pyc", "mlruns/1",
    ]  # fmt: skip
    for name in inside + outside:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    sizes = upload_sizes(tmp_path)
    assert sizes is not None
    assert {name: size for name, size in sizes.items() if not name.startswith(".")} == {"protray": 10, "jobs": 5}
    assert ".env" not in sizes and ".git" not in sizes


@pytest.mark.ray
def test_a_local_ray_is_in_order(tmp_path: Path) -> None:
    """As a user starts it; the exit status counts failures, not warnings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    environment |= {"HOME": str(tmp_path), "COLUMNS": "200"}
    code = (
        "import json, sys\n"
        "from protray.cluster.health import doctor\n"
        "from protray.cluster.health.command import doctor_command\n"
        "kept = []; examine = doctor.examine\n"
        "doctor.examine = lambda run: kept.extend(examine(run)) or kept\n"
        "status = doctor_command('', sys.argv[1:])\n"
        "print(json.dumps([status, {check.check: [check.state, check.found] for check in kept}]))"
    )
    command = [sys.executable, "-c", code, "--out", str(tmp_path / "out"), "--mlflow", "http://me:hunter2@127.0.0.1:9"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    table, last = done.stdout.rstrip().rsplit("\n", 1)
    status, found = json.loads(last)
    states = {check: state for check, (state, _) in found.items()}
    assert status == 1
    assert [check for check, state in states.items() if state == "fail"] == ["MLflow"]  # nobody listens there
    assert {states[check] for check in ("nodes", "versions", "token", "--out", "upload", "clocks")} == {"ok"}
    assert found["nodes"][1] == "1 up"
    assert installed()["torch"] in found["versions"][1]
    assert "hunter2" not in done.stdout + done.stderr
    assert "what to do" in table and "ulimit -n" in table
    assert not (tmp_path / "out").exists()
