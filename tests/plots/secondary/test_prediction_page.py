"""The page of predictions: what is drawn where, and that ids and long lists do no harm."""

import re

import numpy as np

from protray.plots.secondary import prediction_page as module
from protray.plots.secondary.prediction_page import WIDE, write_page


def row(id: str, states: str) -> dict:
    prob_L3 = np.full((len(states), 3), 0.1)
    prob_L3[np.arange(len(states)), ["HEC".index(state) for state in states]] = 0.8
    return {"id": id, "sequence": "A" * len(states), "ss3": states, "prob": prob_L3.ravel().tolist(), "msa_count": 2}


def page(tmp_path, *rows: dict, total: int | None = None, aligned: bool = True) -> str:  # noqa: ANN001
    write_page(tmp_path / "p.html", iter(rows), total or len(rows), aligned=aligned, model="<model>")
    return (tmp_path / "p.html").read_text(encoding="utf-8")


def test_elements_are_where_their_residues_are(tmp_path) -> None:
    """Two residues of coil, a helix of three, a strand of two: an arrow that ends where the strand does."""
    text = page(tmp_path, row("x", "CCHHHEE"))
    assert f'<rect x="{2 * WIDE + 1}" y="36" width="{3 * WIDE - 2}"' in text
    arrow = re.search(r'<polygon points="([^"]*)"', text)
    assert arrow and f"{7 * WIDE},42" in arrow[1].split()
    assert "7 residues, 2 homologs; 43% helix, 29% strand, 29% coil; mean probability 0.80" in text


def test_sequences_alone_are_not_said_to_have_no_homologs(tmp_path) -> None:
    """Nobody looked for them."""
    text = page(tmp_path, row("x", "CCH") | {"msa_count": 0}, aligned=False)
    assert "homologs" not in text and "From sequences alone, without alignments, by &lt;model&gt;." in text
    assert "3 residues, no homologs;" in page(tmp_path, row("x", "CCH") | {"msa_count": 0})


def test_what_was_left_out_or_is_unknown_is_told(tmp_path) -> None:
    """In the singular, too."""
    write_page(tmp_path / "p.html", iter([row("x", "C") | {"sequence": "X", "msa_count": 1}]), 1, aligned=True,
               model="m", rejected="2 proteins could not be used: see <r>.")  # fmt: skip
    text = (tmp_path / "p.html").read_text()
    assert "1 residue, 1 homolog; 1 unknown residue (X); 0% helix" in text
    assert "2 proteins could not be used: see &lt;r&gt;." in text


def test_a_strand_that_goes_on_in_the_next_line_has_its_arrow_there(tmp_path) -> None:
    first, second = page(tmp_path, row("x", "E" * 62)).split("<svg ")[1:]
    assert "polygon" not in first and "polygon" in second
    assert [text.count('class="ten"') for text in (first, second)] == [6, 0]


def test_ids_are_escaped_and_many_proteins_are_cut_off(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "SHOWN", 2)
    text = page(tmp_path, *(row(f"<b>{n}", "C") for n in range(3)), total=3000)
    assert "&lt;b&gt;1" in text and "<b>" not in text and "&lt;b&gt;2" not in text
    assert "The first 2 of 3,000 proteins." in text
    assert "http" not in text  # opens offline
