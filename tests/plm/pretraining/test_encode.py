import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from protray.plm.pretraining import encode as module
from protray.plm.pretraining.corpus import Part, open_corpus
from protray.plm.pretraining.encode import IdTable, Sieve, add_up, draw_clusters, encode_files, read_ids
from protray.seq.alphabet import AMINO_ACIDS, decode

FASTA = ">a first\nACDEF\nGH\n>b\nacdx*\n>c\nAC-E\n>d\nACWE\n>e\nAC\n>f\nYYYY\n"


def saving(folder: Path) -> Callable[[Part, str], None]:
    def save(part: Part, name: str) -> None:
        for file, array in part.files(name).items():
            np.save(folder / file, array)

    return save


def table(held_out: dict[str, bool]) -> IdTable:
    return IdTable.make(held_out.items())


def test_ids_are_found_with_their_bit() -> None:
    many = table({f"id{k}": k % 3 == 0 for k in range(1000)})
    assert [many.get(f"id{k}") for k in range(1000)] == [k % 3 == 0 for k in range(1000)]
    assert many.get("id1000") is None
    assert table({}).get("a") is None


def test_uniprot_headers_are_found_by_accession() -> None:
    assert table({"P12345": True}).get("sp|P12345|AATM_RABIT") is True
    assert table({"sp|P12345|AATM_RABIT": False}).get("sp|P12345|AATM_RABIT") is False
    assert table({"sp|P12345|AATM_RABIT": True}).get("P12345") is True
    assert table({"P12345": True}).get("xx|P12345|AATM_RABIT") is None


def test_what_goes_where(tmp_path) -> None:
    """a trains, b is excluded, c has a gap, d is of a held-out cluster, e too short, f in no cluster."""
    (tmp_path / "x.fasta").write_text(FASTA)
    clusters = table({"a": False, "b": False, "d": True})
    sieve = Sieve(min_length=3, excluded=table({"b": False}), clusters=clusters)
    found = encode_files([tmp_path / "x.fasta"], saving(tmp_path), "0", sieve)
    assert found["sequences"] == {"train": 1, "held-out": 1}
    assert found["residues"] == {"train": 7, "held-out": 4}
    assert found["left_out"] == {
        "excluded by its id": 1,
        "a character that is no residue": 1,
        "shorter than 3 residues": 1,
        "its id is not in the table of clusters": 1,
    }
    assert found["first_left_out"]["shorter than 3 residues"] == f"e in {tmp_path / 'x.fasta'}"
    assert dict(zip(AMINO_ACIDS + "X", found["amino_acids"], strict=True)) == {
        letter: int(letter in "ACDEFGH") for letter in AMINO_ACIDS + "X"
    }
    (tmp_path / "corpus.json").write_text(json.dumps(add_up([found])))
    [a, d] = [open_corpus(tmp_path, split).codes(0) for split in ("train", "held-out")]
    assert (decode(a), decode(d)) == ("ACDEFGH", "ACWE")


def test_a_long_file_becomes_many_parts(tmp_path, monkeypatch) -> None:
    """Parts are written as soon as they hold 10 residues; their sum is the file, in its order."""
    monkeypatch.setattr(module, "PART_RESIDUES", 10)
    words = ["ACDEF", "GHIKL", "MNPQRSTVWY", "AAAA", "CCC"]
    (tmp_path / "x.fasta").write_text("".join(f">{word}\n{word}\n" for word in words))
    found = encode_files([tmp_path / "x.fasta"], saving(tmp_path), "7", Sieve(min_length=1))
    assert found["parts"] == {"train": ["train-7-00000", "train-7-00001", "train-7-00002"], "held-out": []}
    (tmp_path / "corpus.json").write_text(json.dumps(add_up([found])))
    corpus = open_corpus(tmp_path, "train")
    assert [decode(corpus.codes(m)) for m in range(len(corpus))] == words
    assert len(open_corpus(tmp_path, "held-out")) == 0


def test_sums() -> None:
    def counted(name: str, left_out: dict) -> dict:
        sizes = {"train": 2, "held-out": 1}
        return {
            "parts": {"train": [name], "held-out": []}, "sequences": sizes, "residues": sizes, "left_out": left_out,
            "first_left_out": dict.fromkeys(left_out, name), "amino_acids": [1] * 21,
        }  # fmt: skip

    total = add_up([counted("x", {"short": 2}), counted("y", {"short": 1, "odd": 4})])
    assert total["parts"] == {"train": ["x", "y"], "held-out": []}
    assert total["sequences"] == {"train": 4, "held-out": 2}
    assert total["left_out"] == {"short": 3, "odd": 4}
    assert total["first_left_out"] == {"short": "x", "odd": "y"}
    assert total["amino_acids"] == [2] * 21


def test_whole_clusters_are_drawn(tmp_path) -> None:
    """2,000 clusters of three, a fifth held out: 400 expected, standard deviation 18; no cluster is parted."""
    pairs = [(f"r{k}", f"m{k}-{j}") for k in range(2000) for j in range(3)]
    (tmp_path / "c.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    drawn = dict(draw_clusters(tmp_path / "c.tsv", 0.2, seed=0))
    held_out = np.array([[drawn[f"m{k}-{j}"] for j in range(3)] for k in range(2000)])
    assert (held_out.all(axis=1) == held_out.any(axis=1)).all()
    assert held_out[:, 0].sum() == pytest.approx(400, abs=72)
    assert dict(draw_clusters(tmp_path / "c.tsv", 0.2, seed=1)) != drawn


def test_a_bad_line_of_the_table_is_named(tmp_path) -> None:
    (tmp_path / "c.tsv").write_text("a\ta\na b\n")
    with pytest.raises(ValueError, match="c.tsv, line 2: expected representative<TAB>member, found 'a b'"):
        list(draw_clusters(tmp_path / "c.tsv", 0.1, seed=0))


def test_ids_in_any_layout(tmp_path) -> None:
    (tmp_path / "ids.txt").write_text("a b\n\n c\n")
    assert [name for name, _ in read_ids(tmp_path / "ids.txt")] == ["a", "b", "c"]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "c.tsv").write_bytes(mark + b"a\ta\r\na\tb\r\n")
        found = dict(draw_clusters(tmp_path / "c.tsv", 0.5, seed=0))
        assert set(found) == {"a", "b"} and found["a"] == found["b"]
        (tmp_path / "ids.txt").write_bytes(mark + b"a b\rc\n")
        assert [name for name, _ in read_ids(tmp_path / "ids.txt")] == ["a", "b", "c"]
