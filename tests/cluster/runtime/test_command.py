"""The frame of the jobs, and the jobs in it."""

import subprocess
import sys
from pathlib import Path

import pytest
from protray.cluster.runtime.job import run_job

JOBS = Path(__file__).parents[2] / "jobs"


def test_errors_of_users_are_one_line(tmp_path, capsys) -> None:
    def unwritable() -> None:
        (tmp_path / "no" / "such.txt").write_text("")

    def unusable() -> None:
        raise ValueError("eta is -1; it must be 0 or more")

    assert run_job(lambda: None, tmp_path) == 0
    assert run_job(unusable, tmp_path) == run_job(unwritable, tmp_path) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: eta is -1; it must be 0 or more"
    assert second.startswith(f"error: {tmp_path}/no/such.txt: No such file or directory; ")


def test_plans_do_not_import_ray_before_it_is_set_up() -> None:
    """Ray reads the environment when it is imported; some jobs leave that to `start_ray`."""
    code = "import sys, protray.cluster.health.plan_table; assert not {'ray', 'torch', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_error_of_a_ray_task_is_told_as_its_cause(tmp_path, capsys) -> None:
    from ray.exceptions import RayTaskError

    def fail() -> None:
        error = OSError(28, "No space left on device", "/x/y")
        raise RayTaskError("merge", "Traceback\n  of forty lines", error).as_instanceof_cause()

    assert run_job(fail, tmp_path) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: /x/y: No space left on device")


def test_a_second_job_in_a_folder_is_refused_while_the_first_works(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PROTRAY_CACHE", str(tmp_path / "cache"))
    out, inside = tmp_path / "out", []

    def second() -> None:
        inside.append(run_job(lambda: None, out, alone=True))
        inside.append(run_job(lambda: None, out))  # such as --plan
        inside.append(run_job(lambda: None, tmp_path / "other", alone=True))

    assert run_job(second, out, alone=True) == 0
    assert inside == [1, 0, 0]
    assert capsys.readouterr().err == f"error: another job is working in {out}: wait for it, or choose another --out\n"
    assert run_job(lambda: None, out, alone=True) == 0
    assert not out.exists()


def test_a_stop_by_hand_says_how_to_go_on(tmp_path, capsys) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    assert run_job(stop, tmp_path) == 130
    assert f"the same command goes on with what is done in {tmp_path}" in capsys.readouterr().err


def test_faults_of_ours_show_where_they_are(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError):
        run_job(lambda: print(1 / 0), tmp_path)


@pytest.mark.parametrize(
    ("job", "flag", "arguments", "error"),
    [
        (
            "predict.py", "--msas", ["--model", "m", "--fasta", "f", "--out", "p.txt"],
            "{folder}/p.txt: extension '.txt' names no format; known are .parquet, .3line, .ss2",
        ),
        ("pseudo_msa.py", "--write-msa", ["--maps", "nowhere", "--out", "out"], "{folder}/nowhere is not a folder"),
    ],
)  # fmt: skip
def test_help_is_light_and_errors_are_one_line(tmp_path, job, flag, arguments, error) -> None:
    path = str(JOBS / job)
    code = (
        f"import runpy, sys; sys.argv = [{job!r}, '--help']\n"
        f"try: runpy.run_path({path!r}, run_name='__main__')\n"
        "except SystemExit: print('heavy:', sorted({'ray', 'torch', 'transformers', 'mlflow'} & set(sys.modules)))\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert flag in shown
    assert shown.endswith("heavy: []\n")
    command = [sys.executable, path, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {error.format(folder=tmp_path)}\n"
