"""The frame of the jobs: options, presets, errors in one line, exit statuses, and one job at a time in a folder."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protray.cluster.runtime.command import parse, run_command
from protray.data.location import Location

JOBS = Path(__file__).parents[3] / "jobs"


@dataclass(frozen=True)
class Weights:
    alpha: float = 0.16
    beta: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Run:
    out: Location = Location("runs/test")
    model: str = "small"
    epochs: int = 3
    weights: Weights = field(default_factory=Weights)
    plan: bool = False

    @classmethod
    def preset(cls, model: str = "small") -> "Run":
        if model not in ("small", "paper"):
            raise ValueError(f"no model {model!r}")
        return cls(model="paper", epochs=50, weights=Weights(alpha=0.5, beta=2.0)) if model == "paper" else cls()


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PROTRAY_CACHE", str(tmp_path / "cache"))


def command(work: Callable, out: Path, *words: str) -> int:
    return run_command(Run, work, "", ["--out", str(out), *words])


# ---- options


@pytest.mark.parametrize(
    ("words", "epochs", "weights"),
    [
        ([], 3, Weights()),
        (["--weights.alpha", "0.88"], 3, Weights(alpha=0.88)),
        (["--model", "paper"], 50, Weights(0.5, 2.0)),
        (["--model", "paper", "--weights.alpha", "0.88"], 50, Weights(0.88, 2.0)),
        (["--weights.alpha", "0.88", "--model=paper"], 50, Weights(0.88, 2.0)),
        (["--model", "paper", "--epochs", "3"], 3, Weights(0.5, 2.0)),  # a default of the other model, asked for
        (["--model", "paper", "--model", "small"], 3, Weights()),
    ],
)
def test_a_preset_first_then_the_other_options_in_any_order(words, epochs, weights) -> None:
    run = parse(Run, "", words)
    assert (run.epochs, run.weights) == (epochs, weights)


def test_places_are_absolute_and_addresses_stay(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(Run, "", ["--out", "mine"]).out == f"{tmp_path}/mine"
    assert parse(Run, "", ["--out", "s3://bucket/mine/"]).out == "s3://bucket/mine"


def test_a_name_that_is_no_text_is_refused(capsys) -> None:
    """As Python has it of bytes that are not in UTF-8."""
    with pytest.raises(SystemExit):
        run_command(Run, lambda run: None, "", ["--out", "/data/\udce9t\udce9"])
    assert r"/data/\udce9t\udce9: the name is no text in UTF-8" in capsys.readouterr().err


def test_a_preset_that_is_none_is_one_line(capsys) -> None:
    assert run_command(Run, lambda run: None, "", ["--model", "huge"]) == 2
    assert capsys.readouterr().err == "error: no model 'huge'\n"


# ---- what a job ends with


def test_errors_of_users_are_one_line(tmp_path, capsys) -> None:
    def unwritable(run: Run) -> None:
        (tmp_path / "no" / "such.txt").write_text("")

    def unusable(run: Run) -> None:
        raise ValueError("eta is -1; it must be 0 or more, s3://key:hunter2@bucket/x")

    assert command(lambda run: None, tmp_path) == 0
    assert command(lambda run: 1, tmp_path) == 1
    assert command(unusable, tmp_path) == command(unwritable, tmp_path) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: eta is -1; it must be 0 or more, s3://***@bucket/x"
    assert second.startswith(f"error: {tmp_path}/no/such.txt: No such file or directory; ")


def test_an_error_of_a_ray_task_is_told_as_its_cause(tmp_path, capsys) -> None:
    from ray.exceptions import RayTaskError

    def fail(run: Run) -> None:
        error = OSError(28, "No space left on device", "/x/y")
        raise RayTaskError("merge", "Traceback\n  of forty lines", error).as_instanceof_cause()

    assert command(fail, tmp_path) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: /x/y: No space left on device")


def test_a_second_job_in_a_folder_is_refused_while_the_first_works(tmp_path, capsys) -> None:
    out, inside = tmp_path / "out", []

    def second(run: Run) -> None:
        inside.append(command(lambda run: None, out))
        inside.append(command(lambda run: None, out, "--plan"))
        inside.append(command(lambda run: None, tmp_path / "other"))

    assert command(second, out) == 0
    assert inside == [1, 0, 0]
    assert capsys.readouterr().err == f"error: another job is working in {out}: wait for it, or choose another --out\n"
    assert command(lambda run: None, out) == 0
    assert not out.exists()


def test_a_stop_by_hand_says_how_to_go_on(tmp_path, capsys) -> None:
    def stop(run: Run) -> None:
        raise KeyboardInterrupt

    assert command(stop, tmp_path) == 130
    assert f"the same command goes on with what is done in {tmp_path}" in capsys.readouterr().err


def test_faults_of_ours_show_where_they_are(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError):
        command(lambda run: print(1 / 0), tmp_path)


# ---- what a start costs


def test_plans_do_not_import_ray_before_it_is_set_up() -> None:
    """Ray reads the environment when it is imported; the jobs leave that to `start_ray`."""
    code = "import sys, protray.cluster.health.plan_table; assert not {'ray', 'torch', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("job", "flag", "arguments", "error"),
    [
        (
            "predict.py", "--msas", ["--model", "m", "--fasta", "f", "--out", "p.txt"],
            "{folder}/p.txt: extension '.txt' names no format; known are .parquet, .3line, .ss2",
        ),
        ("pseudo_msa.py", "--write-msa", ["--maps", "nowhere", "--out", "out"], "{folder}/nowhere is not a folder"),
        ("score_net.py", "--fit.learning-rate", ["--workers", "3"], "3 workers cannot share 4 micro-batches of 8 "),
        ("pretrain_bert.py", "--held-out-share", ["--fasta", "here"], "validation needs proteins that never train: "),
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
    done = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: " + error.format(folder=tmp_path))
