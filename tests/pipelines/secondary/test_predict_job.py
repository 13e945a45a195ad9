"""jobs/predict.py end to end on a tiny untrained model: good and bad proteins, restarts, formats, maps, refusals."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from batch_here import TWO, plan_here
from predict_inputs import PROTEINS, fasta
from tiny_model import save_tiny_model

from protray.cluster.batch import driver, items
from protray.cluster.batch import folder as batch_folder
from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.measure import estimate
from protray.data import schemas
from protray.data.location import Location
from protray.inference.secondary.predict import Predictor, Query
from protray.inference.secondary.write import PREDICTED
from protray.pipelines.secondary.predict import BESIDE_WEIGHTS, JOB, Predict, rows, shown
from protray.seq.errors import InputError

GOOD = {
    "b.a3m": b">b\nACDEFGHIKL\n>h\nACDEFaaGHIKL\n>h\nACD--GHIKL\n",
    "a.sto": b"# STOCKHOLM 1.0\nq MKTAY\nh MKSAY\n//\n",
    "c.fasta": b">c\nWWXYY\n",
    "d.a3m.gz": gzip.compress(b">d\nM\n"),
    "e.aln": b"ACDEF\nACDEF\n",
}
BAD = {  # file -> line, reason
    "ragged.a3m": (b">q\nACDE\n>h\nACD\n", 4, "has 3 aligned columns, the query has 4"),
    "ragged.fasta": (b">q\nACDE\n>h\nACD\n", None, "is also that of"),
    "empty.a3m": (b"", None, "the file is empty"),
    "loose.fasta": (b">q\nACDE\n>h\nACD\n", 4, "has 3 aligned columns, the query has 4"),
    "long.a3m": (b">q\n" + b"A" * 31, None, "31 residues; the limit is 30"),
    "notes.pdf": (b"%PDF", None, "is no alignment format"),
}


@pytest.fixture
def run(tmp_path, model) -> Predict:
    """A folder of alignments, and beside it where to write."""
    folder = tmp_path / "msas"
    folder.mkdir()
    for name, raw in GOOD.items():
        (folder / name).write_bytes(raw)
    for name, (raw, _, _) in BAD.items():
        (folder / name).write_bytes(raw)
    out = Location(tmp_path / "p.parquet")
    return Predict(model=model, msas=Location(folder), out=out, max_length=30, max_rejected=0.9)


def names(folder: Path | Location) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.ray
def test_alignments_good_and_bad(ray_local, run, tmp_path) -> None:
    summary = run_batch(JOB, run)
    found = pq.read_table(run.out)
    assert found.schema.equals(PREDICTED)
    by_id = {row["id"]: row for row in found.to_pylist()}
    assert list(by_id) == ["a", "b", "c", "d", "e"]  # the order of the inputs: sorted by name
    assert {id: (row["sequence"], row["msa_count"]) for id, row in by_id.items()} == {
        "a": ("MKTAY", 1), "b": ("ACDEFGHIKL", 2), "c": ("WWXYY", 0), "d": ("M", 0), "e": ("ACDEF", 1),
    }  # fmt: skip
    for row in by_id.values():
        prob_L3 = np.reshape(row["prob"], (-1, 3))
        assert len(prob_L3) == len(row["sequence"])
        assert row["ss3"] == "".join("HEC"[state] for state in prob_L3.argmax(axis=1))

    rejected = pq.read_table(run.rejected)
    schemas.check(rejected, schemas.REJECTED, "rejected")
    by_file = {Path(row["file"]).name: row for row in rejected.to_pylist()}
    assert set(by_file) == set(BAD) and len(by_file) == rejected.num_rows
    for name, (_, line, reason) in BAD.items():
        if name != "ragged.a3m":  # its id is that of ragged.fasta: both are refused for that
            assert reason in by_file[name]["reason"]
            assert by_file[name]["line"] == line
    assert "is also that of" in by_file["ragged.a3m"]["reason"]
    assert (summary["n_rows"], summary["n_rejected"], summary["cached"]) == (5, 6, False)
    assert sum(summary["reasons"].values()) == 6
    assert names(tmp_path) == [
        "msas",
        "p.parquet",
        *(f"p.parquet.{more}" for more in ("html", "rejected.parquet", "summary.json")),
    ]

    stamp = run.out.stamp()
    again = run_batch(JOB, run)
    assert again["cached"]
    assert (again["n_rows"], again["reasons"]) == (5, summary["reasons"])
    assert run.out.stamp() == stamp
    with pytest.raises(ValueError, match="was made differently: max_length was 30, is 31. Choose another"):
        run_batch(JOB, replace(run, max_length=31))
    run.out.remove()
    assert not run_batch(JOB, run)["cached"] and run.out.is_file()


def test_a_killed_run_goes_on_at_the_missing_items(run, asked, monkeypatch) -> None:
    monkeypatch.setattr(items, "MOST_ROWS", 1)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("protray.pipelines.secondary.predict.write", stop)
        with pytest.raises(KeyboardInterrupt):
            run_batch(JOB, run)
    assert not run.out.exists()
    assert len(asked) == 8  # one protein an item: five good ones, and three that only an actor finds to be bad
    (run.work / "parts" / f"item-{asked[2]}.parquet").remove()
    third = asked[2]
    asked.clear()
    with pytest.raises(ValueError, match="max_length was 30, is 31. Choose another"):
        run_batch(JOB, replace(run, max_length=31))
    run_batch(JOB, run)
    assert asked == [third]
    assert pq.read_table(run.out)["id"].to_pylist() == ["a", "b", "c", "d", "e"]
    assert not run.work.exists()


def test_fasta_to_a_folder_of_ss2(asked, model, tmp_path) -> None:
    (tmp_path / "p.fasta").write_text(">../../up\nMKTUY\n>b\nACDEF\n>b\nWWW\n>gap\nA-C\n")
    out = Location(tmp_path / "out" / "p.ss2")
    run = Predict(model=model, fasta=Location(tmp_path / "p.fasta"), out=out, max_rejected=0.5)
    summary = run_batch(JOB, run)
    assert (summary["n_rows"], summary["n_rejected"]) == (2, 2)
    assert summary["counts"] == {"unknown": 1} and "1 residue unknown, or" in str(shown(run, summary)["X"])
    assert "2 proteins could not be used: see p.ss2.rejected.parquet." in run.page.path.read_text()
    (up,) = [name for name in names(run.out) if name != "b.ss2"]
    assert up == "%2E.%2F..%2Fup.ss2"
    assert (run.out / up).path.read_text().splitlines()[0].endswith(" ../../up")
    assert len((run.out / "b.ss2").path.read_text().splitlines()) == 2 + 5
    assert names(tmp_path) == ["out", "p.fasta"]
    assert names(run.out.parent) == ["p.ss2", "p.ss2.html", "p.ss2.rejected.parquet", "p.ss2.summary.json"]
    assert [(row["id"], row["line"]) for row in pq.read_table(run.rejected).to_pylist()] == [("b", 5), ("gap", 7)]
    run.summary.remove()
    with pytest.raises(ValueError, match="exists, and no such job has made it"):
        run_batch(JOB, run)


def test_without_its_record_unfinished_work_is_not_taken_over(asked, model, tmp_path, monkeypatch) -> None:
    """Other settings are refused by name of what has to go."""
    (tmp_path / "p.fasta").write_text(">a\nMKTAY\n>b\nACDEFGHIKL\n")
    proteins, out = Location(tmp_path / "p.fasta"), Location(tmp_path / "p.3line")
    run = Predict(model=model, fasta=proteins, out=out, max_rejected=0.9)
    with monkeypatch.context() as broken:
        broken.setattr("protray.cluster.batch.driver.finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_batch(JOB, run)
    shorter = replace(run, max_length=6)
    with pytest.raises(ValueError, match=r"max_length was 5000, is 6\..* or remove it and .*p\.3line\.parts$"):
        run_batch(JOB, shorter)
    (run.work / "run.json").remove()
    assert run_batch(JOB, shorter)["n_rows"] == 1


def test_nothing_usable_is_an_error_with_the_reasons(asked, model, tmp_path) -> None:
    (tmp_path / "p.fasta").write_text("ACDEF\n>\nACDEF\n")
    run = Predict(model=model, fasta=Location(tmp_path / "p.fasta"), out=Location(tmp_path / "p.3line"))
    for _ in range(2):  # and it stays one
        with pytest.raises(
            ValueError, match=r"2 of 2 proteins .* cannot be used, and nothing is left; see (.|\n)*1 x a record without"
        ):
            run_batch(JOB, run)
    assert not run.out.exists() and not run.summary.exists()


def test_what_does_not_fit_into_the_memory_is_tried_again_by_the_next_run(asked, model, tmp_path, monkeypatch) -> None:
    run = Predict(model=model, fasta=fasta(tmp_path, {"a": "MKTAY", "b": "ACDEFG"}), out=Location(tmp_path / "p.3line"))
    predict = Predictor.predict

    def small(self: Predictor, queries: list[Query]) -> list:
        if any(query.id == "b" for query in queries):
            raise MemoryError("too large")
        return predict(self, queries)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict", small)
        patch.setattr(batch_folder, "WORTH_AN_ACTOR_S", 1e9)
        summary = run_batch(JOB, replace(run, max_rejected=0.5))
    assert (summary["n_rows"], summary["n_rejected"], summary["n_again"]) == (1, 1, 1)
    assert "out of memory: too large" in pq.read_table(run.rejected)["reason"][0].as_py()
    summary = run_batch(JOB, run)
    assert (summary["n_rows"], summary["n_again"]) == (2, 0)
    assert run.out.path.read_text().startswith(">a\nMKTAY\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"msas": None}, "give exactly one of --msas DIR and --fasta FILE"),
        ({"fasta": Location("p.fasta")}, "give exactly one of --msas DIR and --fasta FILE"),
        ({"out": Location("p.csv")}, r"'\.csv' names no format; known are \.parquet, \.3line, \.ss2"),
        ({"max_length": 0}, "--max-length is 0"),
        ({"model": Location("nowhere")}, "nowhere: no config.json in it"),
        ({"msas": Location("nowhere")}, "nowhere is not a folder"),
        ({"msas": None, "fasta": Location("nowhere.fa")}, r"nowhere\.fa: no such file"),
    ],
)
def test_refused_before_anything_starts(run, monkeypatch, change, message) -> None:
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    with pytest.raises(ValueError, match=message):
        run_batch(JOB, replace(run, **change))
    with pytest.raises(ValueError, match=message):
        estimate(JOB, replace(run, **change))
    assert not run.work.exists()


def test_a_plan_takes_off_what_is_done_and_leaves_no_trace(asked, model, tmp_path, monkeypatch) -> None:
    """Eight items of one protein each; three of them are there."""
    monkeypatch.setattr(items, "MOST_ROWS", 1)
    run = Predict(model=model, fasta=fasta(tmp_path, PROTEINS), out=Location(tmp_path / "p.parquet"))
    with monkeypatch.context() as patch:
        patch.setattr(driver, "finish", lambda *_: {})
        run_batch(JOB, run)
    for part in (run.work / "parts").files()[3:]:
        part.remove()
    plan_here(monkeypatch)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (line,) = estimate(JOB, run).lines
    cost = [JOB.cost(run, {"sequence": letters}) for letters in PROTEINS.values()]
    assert line.rows == 8 and line.done == pytest.approx(8 * sum(cost[:3]) / sum(cost)) and line.seconds
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_model_whose_parts_are_missing(run, monkeypatch, tmp_path) -> None:
    moved = Location(save_tiny_model(tmp_path / "model", tmp_path / "gone" / "lm"))
    with pytest.raises(ValueError, match="language model .*gone/lm: there is no such folder"):
        run_batch(JOB, replace(run, model=moved))
    hub = Location(save_tiny_model(tmp_path / "hub", Path("nobody/no-such-model")))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read at import
    with pytest.raises(ValueError, match="language model nobody/no-such-model: it cannot be loaded: .*give a folder"):
        run_batch(JOB, replace(run, model=hub))
    (moved / "student.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="student.safetensors is no safetensors file"):
        run_batch(JOB, replace(run, model=moved))


def test_the_model_in_the_package_is_the_default_and_asks_no_language_model(asked, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("protray.inference.secondary.predict.load", lambda *_, **__: pytest.fail("one was loaded"))
    run = Predict(fasta=fasta(tmp_path, PROTEINS), out=Location(tmp_path / "p.3line"))
    run_batch(JOB, run)
    assert len(run.out.path.read_text().splitlines()) == 3 * len(PROTEINS)
    with pytest.raises(ValueError, match="--maps .*: the model .*predictor reads no maps; leave it out"):
        run_batch(JOB, replace(run, maps=Location(tmp_path), out=Location(tmp_path / "m.3line")))


def test_what_we_write_among_the_alignments_is_not_read(run) -> None:
    inside = replace(run, out=run.msas / "p.ss2")
    before = list(map(str, rows(inside)))
    for folder in (inside.out, inside.work):
        folder.path.mkdir()
        (folder / "a.fasta").write_text(">a\nW\n")
    inside.rejected.write_text("")
    inside.summary.write_text("")
    inside.page.write_text("")
    (run.msas / "line\nbreak.a3m").write_text(">q\nW\n")
    found = list(rows(inside))
    (new,) = [row for row in found if str(row) not in before]
    assert isinstance(new, InputError) and new.reason == "the file name is not printable text"


def test_an_actor_asks_for_the_memory_of_the_language_model(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("protray.pipelines.secondary.predict.weight_bytes", lambda lm: 3_000_000_000)
    run = Predict(model=model, fasta=Location(tmp_path / "p"), out=Location(tmp_path / "p.3line"))
    stage = batch_folder.pool(JOB, run, TWO, cost=1e6)[JOB.name]
    assert (stage.workers, stage.options["memory"]) == (1, 6_000_000_000 + BESIDE_WEIGHTS)


def test_lengths_of_records_are_what_they_cost(model, tmp_path) -> None:
    """An exact map costs L (L + 2) tokens: 120 and 483; alignments count alike."""
    run = Predict(model=model, fasta=Location(tmp_path / "p"), out=Location(tmp_path / "p.3line"))
    row = {"id": "a", "file": "f", "line": 1, "map": None}
    short, long = (JOB.cost(run, row | {"sequence": "A" * length}) for length in (10, 21))
    from protray.pipelines.language_model.prob_maps import seconds_per_token
    from protray.pipelines.secondary.predict import PER_RESIDUE_S, card_of

    each = seconds_per_token(card_of(model).lm)
    assert short == pytest.approx(120 * each + 10 * PER_RESIDUE_S)
    assert long == pytest.approx(483 * each + 21 * PER_RESIDUE_S)
    assert JOB.cost(run, row | {"sequence": None}) == JOB.cost(run, row | {"sequence": "A" * 300})
