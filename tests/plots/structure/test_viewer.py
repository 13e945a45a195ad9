"""Structures of a report: what the page holds, and that nothing of the user's is markup."""

import json
import re

import numpy as np

from protray.plots.report import write_report
from protray.plots.structure.viewer import ReportStructures, View, colours

EVIL = '</script><script>alert("x")</script>'


def page_with(view: View, tmp_path) -> str:
    write_report(tmp_path / "r.html", "t", [], [], {}, [], structures=[ReportStructures("s", [view], 0, 1)])
    return (tmp_path / "r.html").read_text(encoding="utf-8")


def view_of(length: int, **changed) -> View:
    numbers = np.random.default_rng(0).normal(size=(length, 4, 3))
    return View(
        **({"label": "one", "sequence": "G" * length, "backbone_L43": numbers, "value_L": np.zeros(length)} | changed)
    )


def data_of(page: str) -> dict:
    [found] = re.findall(r'<script type="application/json">(.*?)</script>', page)
    return json.loads(found)


def test_the_page_holds_the_structure_and_the_library_once(tmp_path) -> None:
    page = page_with(view_of(5, value_L=np.array([0, 0.25, 0.5, np.nan, 1])), tmp_path)
    found = data_of(page)
    assert found["pdb"].count("ATOM  ") == 20
    assert found["colours"] == ["#440154", "#3b528b", "#21918c", "#bbbbbb", "#fde725"]
    assert page.count("createViewer(place)") == 1 and len(page) > 500_000
    assert not re.search(r'<(script|link|img)[^>]*(src|href)="http', page)


def test_c_alpha_atoms_alone_are_drawn_as_a_trace(tmp_path) -> None:
    bare = view_of(6)
    bare.backbone_L43[:, [0, 2, 3]] = np.nan
    found = data_of(page_with(bare, tmp_path))
    assert found["style"] == "trace" and found["pdb"].count(" CA ") == found["pdb"].count("ATOM") == 6


def test_labels_are_escaped_and_letters_are_residue_names(tmp_path) -> None:
    page = page_with(view_of(4, label=EVIL, sequence="<G>/"), tmp_path)
    assert EVIL not in page
    assert data_of(page)["pdb"].count("UNK") == 12


def test_a_report_without_structures_has_no_script(tmp_path) -> None:
    write_report(tmp_path / "r.html", "t", [], [], {}, [])
    assert "<script" not in (tmp_path / "r.html").read_text()


def test_colours_follow_the_scale() -> None:
    assert colours(np.array([-1.0, 10.0, 15.0, 20.0, 99.0]), 10, 20) == [
        "#440154", "#440154", "#21918c", "#fde725", "#fde725",
    ]  # fmt: skip
