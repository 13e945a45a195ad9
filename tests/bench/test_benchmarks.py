"""The benchmarks at a small size: the plain implementations agree with ours, and the report can be read."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protray.bench import msa, pseudo, timing
from protray.bench.command import bench_command
from protray.seq.meff import _cluster_sizes
from protray.seq.msa import parse_msa
from protray.seq.pssm import count_residues

JOB = Path(__file__).parents[2] / "jobs" / "bench.py"


@pytest.fixture
def small(monkeypatch) -> None:
    for name, value in {"ROWS": 40, "LENGTH": 60, "MEFF_ROWS": 60, "LOOPED_ROWS": 10, "MANY_ROWS": 2000}.items():
        monkeypatch.setattr(msa, name, value)
    monkeypatch.setattr(pseudo, "LENGTH", 40)
    monkeypatch.setattr(timing, "OUT_OF_CACHE", 1 << 16)
    monkeypatch.setattr(timing.matrix_rate, "__defaults__", ("float32", 64, timing.time.perf_counter, "cpu"))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


def test_plain_implementations_agree_with_ours() -> None:
    rng = np.random.default_rng(0)
    text = msa.a3m_text(rng, 30, 60)
    codes_NL = parse_msa(text, "a3m", "x.a3m").codes_NL
    assert codes_NL.shape == (30, 60)
    assert b"akd" in text
    for plain in (msa.plain_parse, msa.naive_parse):
        np.testing.assert_array_equal(plain(text.decode()), codes_NL)
    np.testing.assert_array_equal(msa.plain_counts(codes_NL), count_residues(codes_NL))
    rows_NL = msa.family(rng, 80, 50)
    np.testing.assert_array_equal(msa.plain_cluster_sizes(rows_NL, 30), _cluster_sizes(rows_NL, 0.7)[:30])


def test_plain_samplers_draw_from_the_map() -> None:
    """Certain residues: A, then V, then A again."""
    prob_LA = np.zeros((3, 20))
    prob_LA[[0, 1, 2], [0, 19, 0]] = 1
    assert pseudo.plain_strings(prob_LA, 2) == ["AVA", "AVA"]
    assert pseudo.plain_counts(["AVA", "AVA"])[:, [0, 19]].tolist() == [[2, 0], [0, 2], [2, 0]]
    codes_NL = pseudo.column_strings(prob_LA, np.random.default_rng(0))
    assert (codes_NL == [0, 19, 0]).all() and len(codes_NL) == 2000
    assert pseudo.column_counts(codes_NL)[:, [0, 19]].tolist() == [[2000, 0], [0, 2000], [2000, 0]]


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("msa", ["read", "read, letter by letter", "count", "Meff"]),
        ("pseudo", ["counts", "counts, by column", "strings", "strings, by column"]),
    ],
)
def test_report_ends_with_one_line_of_json(small, capsys, name, cases) -> None:
    assert bench_command(None, [name, "--repeats", "2"]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["bench"] == name
    assert list(found["ratio_plain"]) == list(found["share_of_limit"]) == cases
    assert [case["name"] for case in found["measured"]] == cases
    for case in found["measured"]:
        assert found["ratio_plain"][case["name"]] == case["ratio_plain"]["median"] > 0
        assert any(row.startswith(f"{case['name']}: {case['measured']}") for row in table)
        share = found["share_of_limit"][case["name"]]
        assert share is None if case["limit"] is None else share == pytest.approx(case["rate"] / case["limit"])


def test_help_is_light_and_errors_are_one_line() -> None:
    code = (
        "import runpy, sys; sys.argv = ['bench.py', '--help']\n"
        f"try: runpy.run_path({str(JOB)!r}, run_name='__main__')\n"
        "except SystemExit: print('heavy:', sorted({'ray', 'torch', 'numpy', 'mlflow'} & set(sys.modules)))\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "msa" in shown and shown.endswith("heavy: []\n")
    done = subprocess.run(
        [sys.executable, str(JOB), "msa", "--repeats", "0"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "error: --repeats is 0; it must be at least 1\n")
