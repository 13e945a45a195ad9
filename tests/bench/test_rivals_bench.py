"""The side-by-side with ReProf: its files by hand, and what is said where it is not installed."""

import json

import numpy as np
import pytest

from protray.bench import rivals
from protray.bench.command import bench_command

TABLE = """##General
# No	: Residue number (beginning with 1)
No	AA	PHEL	RI_S	pH
1	M	L	9	1
2	G	H	8	2
3	E	E	6	3
4	L	L	7	2
"""


def test_reprof_s_states_by_hand() -> None:
    assert rivals.read_reprof(TABLE).tolist() == [2, 0, 1, 2]


def test_scores_by_hand(few_clusters) -> None:
    """Two proteins without homologs, one with 61; ours is 0.2 and 0.4 ahead of the profile on the first two."""
    q3 = {rivals.OURS: np.array([0.8, 0.6, 0.9]), rivals.PROFILE: np.array([0.6, 0.2, 0.9])}
    found = rivals.scores(q3, np.array([0, 0, 61]))
    assert found["<= 60 homologs: proteins"] == 2 and found["> 60 homologs: proteins"] == 1
    assert found["no homologs: protray"] == pytest.approx(0.7)
    gain = f"no homologs: gain over {rivals.PROFILE}"
    assert found[gain] == pytest.approx(0.3)
    assert found[f"{gain}, from"] == pytest.approx(0.2) and found[f"{gain}, to"] == pytest.approx(0.4)
    assert not any("gain over protray" in name for name in found)
    assert "> 60 homologs: protray" in found and "> 60 homologs: protray, from" not in found  # of one protein


def test_a_rival_that_is_not_installed_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None if program == "psiblast" else f"/usr/bin/{program}")
    assert bench_command(None, ["rivals"]) == 0
    told, line = capsys.readouterr().out.splitlines()
    assert told.startswith("skipped: psiblast is not here; `apt install ncbi-blast+`")
    assert json.loads(line) == {"bench": "rivals", "skipped": told.removeprefix("skipped: ")}
