"""The preparation pipeline on a folder that holds every kind of bad input, and what a second run does with it."""

import gzip
import json
import logging
import shutil
from collections.abc import Callable, Iterator

import pyarrow.parquet as pq
import pytest

from protray.cluster.batch import parts
from protray.cluster.batch.tasks import run_tasks
from protray.cluster.storage.files import group_reasons
from protray.data import schemas
from protray.data.proteins import ProteinSettings
from protray.pipelines.secondary import prepare as module
from protray.pipelines.secondary.prepare import PrepareConfig, count_histogram, prepare

GOOD = {
    "one": b">q\nM\n",
    "two": b">q\nACDEF\n>h\nAC-EF\n",
    "three": b">q\nACDEF\n>h\nAkkC-EF\n>h2\nACDEY\n",
    "four": b">q\r\nWWXYY\r\n",
}
LABELS = {"one": ("M", "C"), "two": ("ACDEF", "HHHEC"), "three": ("ACDEF", "CCCCC"), "four": ("WWMYY", "EEEEE")}
BAD = {  # file -> (content, line, reason)
    "ragged.a3m": (b">q\nACDE\n>h\nACD\n", 4, "row 2 (h) has 3 aligned columns, the query has 4"),
    "empty.a3m": (b"", None, "the file is empty"),
    "noquery.a3m": (b"ACDE\n", 1, "no query"),
    "gaps.aln": (b"****\nACDE\n", 1, "nothing but 4 gaps"),
    "foreign.a3m": (b">q\nAC\xffDE\n", 2, "byte 0xFF is not ASCII"),
    "binary.a3m": (b"\x7fELF\0\0", 1, "binary"),
    "cut.a3m.gz": (gzip.compress(b">q\nACDE\n" * 50)[:-9], None, "truncated"),
    "other.a3m": (b">q\nACDE\n", 19, "they first differ at position 2: query C, label G"),
    "picture.png": (b"\x89PNG", None, "is no alignment format"),
    "double.a3m": (b">q\nAC\n", None, "is also that of"),
    "double.aln": (b"AC\n", None, "is also that of"),
    "unlabelled.a3m": (b">q\nAC\n", None, "no label for id 'unlabelled'"),
}
UNPAIRED = ("orphan", 22, "no alignment for the labelled id 'orphan'")


@pytest.fixture
def config(tmp_path) -> PrepareConfig:
    msas = tmp_path / "msas"
    msas.mkdir()
    for name, raw in GOOD.items():
        (msas / f"{name}.a3m").write_bytes(raw)
    for name, (raw, _, _) in BAD.items():
        (msas / name).write_bytes(raw)
    records = [*LABELS.items(), ("ragged", ("ACDE", "CCCC")), ("gaps", ("ACDE", "CCCC")), ("other", ("AGDE", "CCCC"))]
    records += [("orphan", ("AC", "CC"))]
    records += [(name, ("ACDE", "CCCC")) for name in ("empty", "noquery", "foreign", "binary", "cut", "double")]
    (tmp_path / "labels.3line").write_text("".join(f">{id}\n{seq}\n{ss}\n" for id, (seq, ss) in records))
    return PrepareConfig(msas=msas, labels=tmp_path / "labels.3line", out=tmp_path / "out")


def proteins(config: PrepareConfig) -> list[dict]:
    return pq.read_table(config.out / "proteins").sort_by("id").to_pylist()


@pytest.mark.ray
def test_every_bad_protein_is_listed_and_none_stops_the_others(ray_local, config, monkeypatch, caplog) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 3)
    seen = []
    summary = prepare(config, lambda *step: seen.append(step))
    rows = proteins(config)
    assert [row["id"] for row in rows] == sorted(GOOD)
    by_id = {row["id"]: row for row in rows}
    assert {id: (row["sequence"], row["ss3"], row["n_rows"]) for id, row in by_id.items()} == {
        "one": ("M", "C", 1),
        "two": ("ACDEF", "HHHEC", 2),
        "three": ("ACDEF", "CCCCC", 3),
        "four": ("WWXYY", "EEEEE", 1),
    }
    assert by_id["two"]["cluster"] == by_id["three"]["cluster"] == "three"  # the same sequence
    assert by_id["two"]["split"] == by_id["three"]["split"]
    for path in (config.out / "proteins").iterdir():
        table = pq.read_table(path)
        assert table.schema.equals(schemas.PROTEINS)
        assert table.schema.metadata[b"meff_identity"] == b"0.7"

    rejected = {(row["file"].split("/")[-1] if row["id"] != "other" else "other.a3m"): row for row in
                pq.read_table(config.out / "rejected.parquet").to_pylist()}  # fmt: skip
    assert set(rejected) == set(BAD) | {"labels.3line"}
    for name, (_, line, reason) in BAD.items():
        assert rejected[name]["line"] == line, name
        assert reason in rejected[name]["reason"]
    orphan = rejected["labels.3line"]
    assert (orphan["id"], orphan["line"]) == UNPAIRED[:2]
    assert UNPAIRED[2] in orphan["reason"]

    assert (summary["n_proteins"], summary["n_rejected"], summary["cached"]) == (4, len(BAD) + 1, False)
    assert sum(summary["reasons"].values()) == summary["n_rejected"]
    assert sum(summary["splits"].values()) == 4
    assert summary["labelled_by"] == {"3line": 4}
    assert summary["msa_count_histogram"]["0"] == 2
    assert ("parse", 4, 4) in seen  # 11 items with a label and one file each, three a part
    assert not (config.out / "parsed").exists()

    before = {path: path.stat().st_mtime_ns for path in config.out.rglob("*.parquet")}
    again = prepare(config)
    assert again["cached"]
    assert again["digest"] == summary["digest"]
    assert before == {path: path.stat().st_mtime_ns for path in config.out.rglob("*.parquet")}

    other = PrepareConfig(**vars(config) | {"proteins": ProteinSettings(max_rows=99)})
    with pytest.raises(ValueError, match="max_rows was 512, is 99"):
        prepare(other)
    (config.msas / "new.a3m").write_bytes(b">q\nAC\n")
    with pytest.raises(ValueError, match="input_files was 17, is 18"):
        prepare(config)


@pytest.mark.ray
def test_a_broken_run_goes_on_at_the_missing_parts_and_ends_the_same(ray_local, config, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 3)
    whole = prepare(PrepareConfig(**vars(config) | {"out": tmp_path / "whole"}))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "cluster_by_identity", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(config)
    parsed = config.out / "parsed"
    kept = parsed / "part-00000.parquet"
    (parsed / "part-00001.parquet").unlink()
    stamp = kept.stat().st_mtime_ns
    remade = []

    def watched(task: Callable, pieces: list, **shared: object) -> Iterator:
        remade.extend(piece["part"] for piece in pieces if task is module.parse_part)
        assert kept.stat().st_mtime_ns == stamp
        return run_tasks(task, pieces, **shared)

    monkeypatch.setattr(parts, "run_tasks", watched)
    resumed = prepare(config)
    assert remade == [1]
    assert resumed["digest"] == whole["digest"]
    assert resumed["reasons"].keys() == whole["reasons"].keys()


@pytest.mark.ray
def test_without_labels_and_with_a_cluster_table(ray_local, config, tmp_path) -> None:
    table = tmp_path / "cluster.tsv"
    table.write_text("id\tcluster\none\tx\ntwo\tx\nthree\ty\n")
    shutil.rmtree(config.msas)
    config.msas.mkdir()
    for name, raw in GOOD.items():
        (config.msas / f"{name}.a3m").write_bytes(raw)
    summary = prepare(PrepareConfig(msas=config.msas, out=config.out, split_by=table))
    rows = {row["id"]: row for row in proteins(config)}
    assert {id: row["cluster"] for id, row in rows.items()} == {"one": "x", "two": "x", "three": "y"}
    assert rows["one"]["split"] == rows["two"]["split"]
    assert [row["ss3"] for row in rows.values()] == [None] * 3
    assert summary["n_rejected"] == 1  # four is not in the table
    assert json.loads((config.out / "dataset.json").read_text())["labelled_by"] == {"none": 3}


@pytest.mark.ray
def test_nothing_usable_is_an_error(ray_local, tmp_path) -> None:
    msas = tmp_path / "msas"
    msas.mkdir()
    (msas / "a.a3m").write_bytes(b"")
    (msas / "b.a3m").write_bytes(b"\0")
    with pytest.raises(ValueError, match="no usable protein among 2"):
        prepare(PrepareConfig(msas=msas, out=tmp_path / "out"))
    assert pq.read_table(tmp_path / "out" / "rejected.parquet").num_rows == 2


def test_an_unexpected_fault_rejects_only_its_protein(monkeypatch, tmp_path, caplog) -> None:
    """`parse_part` is what a Ray task runs; here it runs without Ray."""
    monkeypatch.setattr(module, "make_row", lambda item, settings: 1 / 0)
    items = [{"id": "a", "msa_file": "a.a3m", "label": None, "structure": None, "chain": None}]
    with caplog.at_level(logging.ERROR):
        module.parse_part({"part": 0, "items": items}, tmp_path, ProteinSettings())
    (row,) = pq.read_table(tmp_path / "rejected-00000.parquet").to_pylist()
    assert row["reason"] == "unexpected ZeroDivisionError: division by zero"
    assert pq.read_table(tmp_path / "part-00000.parquet").num_rows == 0


def test_reasons_are_grouped() -> None:
    reasons = [
        "row 2 (h) has 3 aligned columns, the query has 4",
        "row 9 (x y) has 1 aligned columns, the query has 7",
        "the file is empty",
    ]
    assert group_reasons(reasons) == {
        "row ... ... has ... aligned columns, the query has ...": 2,
        "the file is empty": 1,
    }


def test_histogram_by_hand() -> None:
    assert count_histogram([0, 0, 1, 10, 11, 60, 61, 1000, 1001]) == {
        "0": 2, "1-10": 2, "11-30": 1, "31-60": 1, "61-1000": 2, ">1000": 1,
    }  # fmt: skip
