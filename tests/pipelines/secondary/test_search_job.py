"""jobs/search.py end to end, in this process: its alignments are read by what comes next, and bad input is told."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from protray.cluster.batch.driver import run_batch
from protray.data.location import Location, cache
from protray.data.secondary.inputs import find_items
from protray.pipelines.secondary.search import JOB, Search, identity
from protray.seq.alphabet import AMINO_ACIDS, decode
from protray.seq.msa import read_msa
from protray.seq.search import Hit

RNG = np.random.default_rng(1)
QUERY, OTHER = ("".join(RNG.choice(list(AMINO_ACIDS), 80)) for _ in range(2))
CLOSE = QUERY[:20] + ("C" if QUERY[20] == "W" else "W") + QUERY[21:]


@pytest.fixture
def run(tmp_path, monkeypatch) -> Search:
    monkeypatch.setenv("PROTRAY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "queries.fasta").write_text(f">sp|P1|q\n{QUERY}\n>other\n{OTHER}\n>bad\nMK1\n>other\n{OTHER}\n")
    (tmp_path / "db.fasta").write_text(f">hit\n{CLOSE}\n>query\n{QUERY}\n")
    return Search(
        fasta=Location(tmp_path / "queries.fasta"), database=Location(tmp_path / "db.fasta"),
        out=Location(tmp_path / "out"), max_rejected=0.5,
    )  # fmt: skip


def test_alignments_that_are_read_by_what_comes_next(no_ray, run) -> None:
    summary = run_batch(JOB, run)
    assert (summary["n_rows"], summary["n_rejected"]) == (2, 2)
    assert (summary["median_homologs"], summary["without_homologs"]) == (1, 1)
    table = pq.read_table((run.out / "homologs").path).to_pylist()
    assert [(row["id"], row["homologs"]) for row in table] == [("sp|P1|q", 1), ("other", 0)]
    reasons = pq.read_table(run.rejected.path).to_pylist()
    assert [(row["id"], row["line"]) for row in reasons] == [("bad", 5), ("other", 7)]
    items, errors = find_items(run.msas.path, None)
    assert errors == [] and len(items) == 2
    assert {row["id"]: row["file"] for row in table} == {item.id: Path(item.msa_file).name for item in items}
    rows = {item.id: read_msa(item.msa_file) for item in items}
    assert [decode(row) for row in rows["sp|P1|q"].codes_NL] == [QUERY, CLOSE]
    assert [decode(row) for row in rows["other"].codes_NL] == [OTHER]


def test_again_costs_nothing_and_another_database_is_refused(no_ray, run, tmp_path, monkeypatch) -> None:
    run_batch(JOB, run)
    monkeypatch.setattr("protray.seq.search.search_mmseqs", lambda *_, **__: pytest.fail("searched again"))
    assert run_batch(JOB, run)["n_rows"] == 2
    (tmp_path / "db.fasta").write_text(f">hit\n{CLOSE}\n")
    with pytest.raises(ValueError, match="was made differently: the content of 'database' is not the same"):
        run_batch(JOB, run)


def test_when_the_queries_change_alignments_stay_and_new_ones_come(no_ray, run, tmp_path, monkeypatch) -> None:
    """A query of the same id and another sequence is searched for again; that of one which is gone goes."""
    run_batch(JOB, run)
    asked: list[str] = []

    def search(queries: list[str], **_: object) -> list[list[Hit]]:
        asked.extend(queries)
        return [[Hit("new", query)] for query in queries]

    monkeypatch.setattr("protray.seq.search.search_mmseqs", search)
    (tmp_path / "queries.fasta").rename(tmp_path / "renamed.fasta")
    renamed = replace(run, fasta=Location(tmp_path / "renamed.fasta"))
    assert run_batch(JOB, renamed)["cached"]
    (tmp_path / "renamed.fasta").write_text(f">sp|P1|q\n{QUERY}\n>third\n{OTHER}\n")
    assert run_batch(JOB, renamed)["n_rows"] == 2 and asked == [OTHER]
    (tmp_path / "renamed.fasta").write_text(f">third\n{CLOSE}\n>sp|P1|q\n{QUERY}\n")
    assert run_batch(JOB, renamed)["n_rows"] == 2 and asked == [OTHER, CLOSE]
    table = pq.read_table((run.out / "homologs").path).to_pylist()
    assert [(row["id"], row["sequence"], row["homologs"]) for row in table] == [
        ("third", CLOSE, 1), ("sp|P1|q", QUERY, 1),
    ]  # fmt: skip
    assert sorted(row["file"] for row in table) == sorted(file.name for file in run.msas.files())


def test_a_damaged_alignment_is_made_anew(no_ray, run, tmp_path) -> None:
    run_batch(JOB, run)
    first, second = run.msa("sp|P1|q"), run.msa("other")
    whole = first.read_bytes(), second.read_bytes()
    first.write_bytes(whole[0][:20])
    second.write_bytes(b"no gzip")
    with (tmp_path / "queries.fasta").open("a") as file:
        file.write(f">third\n{OTHER}\n")
    assert run_batch(JOB, run)["n_rows"] == 3
    assert (first.read_bytes(), second.read_bytes()) == whole


def test_queries_that_cannot_be_used_do_not_lock_the_folder(no_ray, run, tmp_path) -> None:
    run_batch(JOB, run)
    good = (tmp_path / "queries.fasta").read_text()
    for text in (">bad\nMK1\n", ""):
        (tmp_path / "queries.fasta").write_text(text)
        with pytest.raises(ValueError, match=r"queries"):
            run_batch(JOB, run)
    (tmp_path / "queries.fasta").write_text(good)
    assert run_batch(JOB, run)["n_rows"] == 2


def test_a_start_that_fails_does_not_lock_it_either(no_ray, run, tmp_path, monkeypatch) -> None:
    run_batch(JOB, run)
    with (tmp_path / "queries.fasta").open("a") as file:
        file.write(f">third\n{OTHER}\n")
    with monkeypatch.context() as broken:
        broken.setattr("protray.cluster.batch.driver.start_ray", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_batch(JOB, run)
    assert run_batch(JOB, run)["n_rows"] == 3


@pytest.mark.parametrize("program", ["mmseqs", "jackhmmer"])
def test_a_truncated_database_is_named_and_the_whole_one_may_come(no_ray, run, tmp_path, program) -> None:
    """What a process that was killed had left of an index goes, too."""
    noise = "".join(f">n{n}\n{''.join(RNG.choice(list(AMINO_ACIDS), 60))}\n" for n in range(2000))
    packed = gzip.compress((f">hit\n{CLOSE}\n" + noise).encode())
    (tmp_path / "db.gz").write_bytes(packed[: len(packed) // 2])
    run = replace(run, database=Location(tmp_path / "db.gz"), settings=replace(run.settings, program=program))
    with pytest.raises(ValueError, match=r"db\.gz(:\d+)?: the file is damaged.*get it anew"):
        run_batch(JOB, run)
    (tmp_path / "db.gz").write_bytes(packed)
    assert run_batch(JOB, run)["median_homologs"] == 1


def test_half_an_index_of_a_killed_process_goes(no_ray, run) -> None:
    run_batch(JOB, run)
    (index,) = (path for path in (cache() / "mmseqs").iterdir() if path.is_dir())
    left = index.with_name(f".{index.name}.0123abcd")
    left.mkdir()
    (left / "db").write_text("half")
    run_batch(JOB, replace(run, out=Location(f"{run.out}-2")))
    assert not left.exists() and index.is_dir()


def test_by_jackhmmer(no_ray, run) -> None:
    run_batch(JOB, replace(run, settings=replace(run.settings, program="jackhmmer")))
    assert pq.read_table((run.out / "homologs").path)["homologs"].to_pylist() == [1, 0]


def test_what_is_missing_is_told_before_anything_starts(run, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"none\.fasta: no such file; --database is a FASTA file"):
        identity(replace(run, database=Location(tmp_path / "none.fasta")))
    with pytest.raises(ValueError, match=r"none\.fasta: no such file; --fasta is a FASTA file"):
        identity(replace(run, fasta=Location(tmp_path / "none.fasta")))
    Path(run.database).write_text("")
    with pytest.raises(ValueError, match="holds no protein: it is empty"):
        identity(run)
