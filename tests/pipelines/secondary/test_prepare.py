"""The preparation pipeline on a folder that holds every kind of bad input, and what a second run does with it."""

import errno
import gzip
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from protray.cluster.batch import worker
from protray.cluster.batch.command import batch_command
from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.items import Item, table_of
from protray.cluster.batch.job import Span
from protray.cluster.batch.measure import amount_of, estimate
from protray.cluster.batch.worker import Worker
from protray.cluster.storage.rejects import group_reasons
from protray.data import schemas
from protray.data.location import Location
from protray.data.secondary.proteins import ProteinSettings
from protray.pipelines.secondary import prepare as module
from protray.pipelines.secondary.prepare import JOB, Prepare, count_histogram, identity, rows
from protray.seq.errors import InputError
from protray.struct import dssp

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
def run(tmp_path) -> Prepare:
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
    return prepare_of(tmp_path, labels=Location(tmp_path / "labels.3line"), max_rejected=1.0)


def prepare_of(folder: Path, **settings: object) -> Prepare:
    return Prepare(msas=Location(folder / "msas"), out=Location(folder / "out"), **settings)  # type: ignore[arg-type]


def proteins(run: Prepare) -> list[dict]:
    return pq.read_table(run.out / "proteins").sort_by("id").to_pylist()


def written(run: Prepare) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.out.path.rglob("*") if path.is_file()}


@pytest.mark.ray
def test_every_bad_protein_is_listed_and_none_stops_the_others(no_ray, run) -> None:
    summary = run_batch(JOB, run)
    found = proteins(run)
    assert [row["id"] for row in found] == sorted(GOOD)
    by_id = {row["id"]: row for row in found}
    assert {id: (row["sequence"], row["ss3"], row["n_rows"]) for id, row in by_id.items()} == {
        "one": ("M", "C", 1),
        "two": ("ACDEF", "HHHEC", 2),
        "three": ("ACDEF", "CCCCC", 3),
        "four": ("WWXYY", "EEEEE", 1),
    }
    assert by_id["two"]["cluster"] == by_id["three"]["cluster"] == "three"  # the same sequence
    assert by_id["two"]["split"] == by_id["three"]["split"]
    for path in (run.out / "proteins").files():
        table = pq.read_table(path)
        assert table.schema.equals(schemas.PROTEINS)
        assert table.schema.metadata[b"meff_identity"] == b"0.7"

    rejected = {(row["file"].split("/")[-1] if row["id"] != "other" else "other.a3m"): row for row in
                pq.read_table(run.rejected).to_pylist()}  # fmt: skip
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
    assert summary["settings"]["msas"] == run.msas and summary["settings"]["max_rows"] == 512
    assert not run.work.exists()

    before = written(run)
    again = run_batch(JOB, run)
    assert again["cached"]
    assert again["digest"] == summary["digest"]
    assert before == written(run)
    with pytest.raises(ValueError, match="max_rows was 512, is 99"):
        run_batch(JOB, replace(run, proteins=ProteinSettings(max_rows=99)))
    (run.msas.path / "new.a3m").write_bytes(b">q\nAC\n")
    with pytest.raises(ValueError, match=r"alignments was '16 files \(\w+\)', is '17 files"):
        run_batch(JOB, run)


@pytest.mark.ray
def test_a_broken_run_goes_on_at_the_missing_parts_and_ends_the_same(ray_local, run, monkeypatch, tmp_path) -> None:
    whole = run_batch(JOB, replace(run, out=Location(tmp_path / "whole"), actors=1))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "cluster_by_identity", stop)
        with pytest.raises(KeyboardInterrupt):
            run_batch(JOB, run)
    first, *others = (run.work / "parts").files("item-*.parquet")
    first.remove()
    kept = {part: part.stamp() for part in others}
    assert len(kept) > 2
    seen = {}

    def watched(*arguments: object, **options: object) -> dict:
        seen.update({part: part.stamp() for part in kept})
        return cluster(*arguments, **options)

    cluster = module.cluster_by_identity
    monkeypatch.setattr(module, "cluster_by_identity", watched)
    resumed = run_batch(JOB, run)
    assert seen == kept
    assert resumed["digest"] == whole["digest"]
    assert resumed["reasons"].keys() == whole["reasons"].keys()


@pytest.mark.ray
def test_relative_paths_and_copies_of_the_input(no_ray, tmp_path, monkeypatch) -> None:
    """Workers have another working directory; a copy that is younger, and elsewhere, is the same input."""
    (tmp_path / "msas" / "sub").mkdir(parents=True)
    (tmp_path / "msas" / "sub" / "a.a3m").write_bytes(GOOD["two"])
    monkeypatch.chdir(tmp_path)
    first = run_batch(JOB, Prepare(msas=Location("msas"), out=Location("out")))
    assert first["n_proteins"] == 1
    shutil.copytree("msas", "elsewhere/copied")
    os.utime("elsewhere/copied/sub/a.a3m", (1, 1))
    shutil.move("out", "elsewhere/moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = run_batch(JOB, Prepare(msas=Location("copied"), out=Location("moved")))
    assert again["cached"] and again["digest"] == first["digest"]
    shutil.move("copied/sub/a.a3m", "copied/sub/b.a3m")  # its id is its name
    with pytest.raises(ValueError, match="alignments was"):
        run_batch(JOB, Prepare(msas=Location("copied"), out=Location("moved")))


@pytest.mark.ray
def test_without_labels_and_with_a_cluster_table(no_ray, tmp_path) -> None:
    (tmp_path / "msas").mkdir()
    for name, raw in GOOD.items():
        (tmp_path / "msas" / f"{name}.a3m").write_bytes(raw)
    (tmp_path / "cluster.tsv").write_text("id\tcluster\none\tx\ntwo\tx\nthree\ty\n")
    run = prepare_of(tmp_path, split_by=Location(tmp_path / "cluster.tsv"), max_rejected=0.25)
    summary = run_batch(JOB, run)
    found = {row["id"]: row for row in proteins(run)}
    assert {id: row["cluster"] for id, row in found.items()} == {"one": "x", "two": "x", "three": "y"}
    assert found["one"]["split"] == found["two"]["split"]
    assert [row["ss3"] for row in found.values()] == [None] * 3
    assert summary["n_rejected"] == 1  # four is not in the table
    assert json.loads((run.out / "dataset.json").read_bytes())["labelled_by"] == {"none": 3}


def test_a_cluster_table_that_parts_a_cluster_is_told_before_files_are_read(tmp_path) -> None:
    (tmp_path / "msas").mkdir()
    (tmp_path / "t.tsv").write_text("id\tcluster\tsplit\na\tx\ttrain\nb\tx\ttest\n")
    run = prepare_of(tmp_path, split_by=Location(tmp_path / "t.tsv"))
    with pytest.raises(InputError, match="t.tsv:3: cluster 'x' is in test here and in train before"):
        run_batch(JOB, run)
    assert not run.out.exists()


@pytest.mark.ray
def test_nothing_usable_is_an_error_that_says_why(no_ray, tmp_path) -> None:
    (tmp_path / "msas").mkdir()
    (tmp_path / "msas" / "a.a3m").write_bytes(b"")
    (tmp_path / "msas" / "b.png").write_bytes(b"\0")
    run = prepare_of(tmp_path)
    with pytest.raises(ValueError, match=r"2 of 2 proteins in the input cannot be used(.|\n)*1 x the file is empty"):
        run_batch(JOB, run)
    assert pq.read_table(run.rejected).num_rows == 2
    assert not run.summary.exists()


@pytest.mark.ray
def test_its_plan_counts_what_can_be_read_and_writes_nothing(ray_local, run, monkeypatch) -> None:
    monkeypatch.setattr("protray.cluster.health.estimate.TRIAL_S", 0.1)
    monkeypatch.setattr("protray.cluster.health.estimate.LIMIT_S", 600.0)  # of a busy machine
    amount = amount_of(JOB, run)
    (line,) = estimate(JOB, run).lines
    assert (line.rows, line.done) == (amount.rows, 0) == (12, 0)
    assert line.seconds and not run.out.exists()


@pytest.mark.parametrize("options", [["--msas", "nowhere"], ["--msas", "s3://bucket/msas"]])
def test_bad_options_are_told_in_one_line(tmp_path, monkeypatch, capsys, options) -> None:
    monkeypatch.chdir(tmp_path)
    for plan in ([], ["--plan"]):
        assert batch_command(JOB, Prepare, "", [*options, "--out", "out", *plan]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert any(word in line for word in ("is not a folder", "not an address"))
    assert not (tmp_path / "out").exists()


# ---- without Ray: what runs in an actor, and what is decided before


def item_of(run: Prepare, id: str = "one") -> Item:
    (row,) = (row for row in rows(run) if not isinstance(row, InputError) and row["id"] == id)
    return Item((Span(0, row),), 1.0)


def test_an_error_of_the_disk_ends_the_job_and_rejects_nothing(run, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "one.a3m")

    monkeypatch.setattr(worker, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(module, "make_row", broken)
    actor = Worker(JOB, run, run.work / "parts", "item", 1, "cpu")
    (status,) = actor(table_of([item_of(run)], JOB.source)).to_pylist()
    assert status["fatal"] == "one.a3m Input/output error" and status["failed"] is None
    assert not run.work.exists()


def test_the_program_for_structures_is_decided_once(tmp_path, monkeypatch) -> None:
    (tmp_path / "msas").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "1abc.pdb").write_text("-")
    run = prepare_of(tmp_path, labels=Location(tmp_path / "labels"))
    monkeypatch.setattr(dssp, "program", lambda: "mkdssp")
    assert identity(replace(run, labels=None))["dssp"] is None
    decided = identity(run)
    assert decided["dssp"] == "mkdssp" == identity(replace(run, dssp="mkdssp"))["dssp"]
    (run.work / "run.json").write_json(decided)
    monkeypatch.setattr(dssp, "program", lambda: "pydssp")  # another node, or the machine of a later run
    assert identity(run) == decided
    assert identity(replace(run, dssp="pydssp"))["dssp"] == "pydssp"
    run.work.remove()
    run.summary.write_json({"identity": decided})
    assert identity(run) == decided


def test_a_node_without_the_program_is_named(run, monkeypatch) -> None:
    (run.work / "run.json").write_json({"dssp": "mkdssp"})
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setattr(module.socket, "gethostname", lambda: "worker-7")
    actor = Worker(JOB, run, run.work / "parts", "item", 1, "cpu")
    (status,) = actor(table_of([item_of(run)], JOB.source)).to_pylist()
    assert status["refused"].startswith("node worker-7 has no mkdssp, which labels this dataset: install it")
    with pytest.raises(ValueError, match="worker-7"):
        JOB.open(run, "cpu")
    assert JOB.open(replace(run, dssp="pydssp"), "cpu")[1] == "pydssp"


def test_labels_come_from_the_program_that_was_decided_on(run, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(module, "make_row", lambda *given: seen.append(given[1:]) or (_ for _ in ()).throw(STOP))
    done = JOB.work((run, "pydssp"), list(item_of(run).spans))
    assert seen == [(run.proteins, "pydssp")]
    assert [(error.id, error.reason) for error in done.rejected] == [("one", "stop")]


STOP = InputError("f", None, "stop")


def test_reasons_are_grouped() -> None:
    reasons = [
        "row 2 (h) has 3 aligned columns, the query has 4",
        "row 9 (x y) has 1 aligned columns, the query has 4",
        "the file is empty",
    ]
    assert group_reasons(reasons) == {
        "row ... ... has ... aligned columns, the query has 4": 2,
        "the file is empty": 1,
    }
    assert group_reasons([reasons[0]] * 2) == {reasons[0]: 2}  # nothing differs, nothing is hidden


def test_histogram_by_hand() -> None:
    assert count_histogram([0, 0, 1, 10, 11, 60, 61, 1000, 1001]) == {
        "0": 2, "1-10": 2, "11-30": 1, "31-60": 1, "61-1000": 2, ">1000": 1,
    }  # fmt: skip
