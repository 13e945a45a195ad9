"""jobs/predict.py end to end on a tiny untrained model: good and bad proteins, restarts, formats, refusals."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_model import save_tiny_lm, save_tiny_model

from protray.data import schemas
from protray.inference.many import Source
from protray.inference.write import PREDICTED
from protray.pipelines.secondary import predict as module
from protray.pipelines.secondary.predict import PredictRun, cut, find_sources, predict

JOB = Path(__file__).parents[2] / "jobs" / "predict.py"
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


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    return save_tiny_model(folder / "model", save_tiny_lm(folder / "lm"))


@pytest.fixture
def run(tmp_path, model) -> PredictRun:
    """A folder of alignments, and beside it where to write."""
    folder = tmp_path / "msas"
    folder.mkdir()
    for name, raw in GOOD.items():
        (folder / name).write_bytes(raw)
    for name, (raw, _, _) in BAD.items():
        (folder / name).write_bytes(raw)
    return PredictRun(model=model, msas=folder, out=tmp_path / "p.parquet", max_length=30)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.ray
def test_alignments_good_and_bad(ray_local, run, tmp_path) -> None:
    summary = predict(run)
    found = pq.read_table(run.out)
    assert found.schema.equals(PREDICTED)
    rows = {row["id"]: row for row in found.to_pylist()}
    assert list(rows) == ["a", "b", "c", "d", "e"]  # the order of the inputs: sorted by name
    assert {id: (row["sequence"], row["msa_count"]) for id, row in rows.items()} == {
        "a": ("MKTAY", 1), "b": ("ACDEFGHIKL", 2), "c": ("WWXYY", 0), "d": ("M", 0), "e": ("ACDEF", 1),
    }  # fmt: skip
    for row in rows.values():
        prob_L3 = np.reshape(row["prob"], (-1, 3))
        assert len(prob_L3) == len(row["sequence"])
        assert row["ss3"] == "".join("HEC"[state] for state in prob_L3.argmax(axis=1))

    rejected = pq.read_table(run.rejected)
    schemas.check(rejected, schemas.REJECTED, "rejected")
    by_file = {Path(row["file"]).name: row for row in rejected.to_pylist()}
    assert set(by_file) == {*BAD, "ragged.fasta"} and len(by_file) == rejected.num_rows
    for name, (_, line, reason) in BAD.items():
        if name != "ragged.a3m":  # its id is that of ragged.fasta: both are refused for that
            assert reason in by_file[name]["reason"]
            assert by_file[name]["line"] == line
    assert "is also that of" in by_file["ragged.a3m"]["reason"]
    assert (summary["n_predicted"], summary["n_rejected"], summary["cached"]) == (5, 6, False)
    assert sum(summary["reasons"].values()) == 6
    assert names(tmp_path) == ["msas", "p.parquet", "p.rejected.parquet"]

    stamp = run.out.stat().st_mtime_ns
    again = predict(run)
    assert again["cached"]
    assert (again["n_predicted"], again["reasons"]) == (5, summary["reasons"])
    assert run.out.stat().st_mtime_ns == stamp


@pytest.mark.ray
def test_a_killed_run_goes_on_at_the_missing_parts(ray_local, run, monkeypatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            predict(run)
    assert not run.out.exists()
    parts = sorted(run.work.glob("part-*.parquet"))
    assert len(parts) == 8  # one protein a part: five good ones, and three that only an actor finds to be bad
    whole = pa.concat_tables([pq.read_table(part) for part in parts])
    parts[2].unlink()
    stamps = {part: part.stat().st_mtime_ns for part in parts if part != parts[2]}

    with pytest.raises(
        ValueError, match="unfinished run with other settings: max_length was 30, is 31. Choose another"
    ):
        predict(replace(run, max_length=31))

    asked = []
    compute = module._run
    monkeypatch.setattr(module, "_run", lambda run, parts, plan: asked.extend(parts) or compute(run, parts, plan))
    monkeypatch.setattr(module.remote, "remove", lambda path: None)
    predict(run)
    assert asked == [2]
    assert {part: part.stat().st_mtime_ns for part in stamps} == stamps
    assert pq.read_table(run.out).equals(whole)


@pytest.mark.ray
def test_fasta_to_a_folder_of_ss2(ray_local, model, tmp_path) -> None:
    (tmp_path / "p.fasta").write_text(">../../up\nMKTAY\n>b\nACDEF\n>b\nWWW\n>gap\nA-C\n")
    run = PredictRun(model=model, fasta=tmp_path / "p.fasta", out=tmp_path / "out" / "p.ss2")
    summary = predict(run)
    assert (summary["n_predicted"], summary["n_rejected"]) == (2, 2)
    (up,) = [name for name in names(run.out) if name != "b.ss2"]
    assert up.startswith("_.._.._up-")
    assert (run.out / up).read_text().splitlines()[0].endswith(" ../../up")
    assert len((run.out / "b.ss2").read_text().splitlines()) == 2 + 5
    assert names(tmp_path) == ["out", "p.fasta"]
    assert names(run.out.parent) == ["p.rejected.parquet", "p.ss2"]
    assert [(row["id"], row["line"]) for row in pq.read_table(run.rejected).to_pylist()] == [("b", 5), ("gap", 7)]
    with pytest.raises(ValueError, match="is a folder with files in it"):
        predict(replace(run, max_length=9))


def test_nothing_usable_is_an_error_with_the_reasons(model, tmp_path) -> None:
    (tmp_path / "p.fasta").write_text("ACDEF\n>\nACDEF\n")
    run = PredictRun(model=model, fasta=tmp_path / "p.fasta", out=tmp_path / "p.3line")
    for _ in range(2):  # and it stays one
        with pytest.raises(
            ValueError, match=r"no usable protein among 2 in .*p\.fasta(.|\n)*1 x a record without an id"
        ):
            predict(run)
    assert names(tmp_path) == ["p.fasta", "p.rejected.parquet"]


def test_parts_depend_on_the_number_of_proteins_alone() -> None:
    """1..64 proteins: one a part; 65: two; from 2048 on: 32."""

    def sizes(n: int) -> list[int]:
        return [len(part) for part in cut([Source(str(number), "f") for number in range(n)])]

    assert sizes(0) == []
    assert sizes(1) == [1]
    assert sizes(64) == [1] * 64
    assert sizes(65) == [2] * 32 + [1]
    assert sizes(2049) == [32] * 64 + [1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"msas": None}, "give exactly one of --msas DIR and --fasta FILE"),
        ({"fasta": Path("p.fasta")}, "give exactly one of --msas DIR and --fasta FILE"),
        ({"out": Path("p.csv")}, r"'\.csv' names no format; known are \.parquet, \.3line, \.ss2"),
        ({"max_length": 0}, "--max-length is 0"),
        ({"model": Path("nowhere")}, "nowhere: no config.json in it"),
        ({"msas": Path("nowhere")}, "nowhere is not a folder"),
        ({"msas": None, "fasta": Path("nowhere.fa")}, r"nowhere\.fa: no such file"),
    ],
)
def test_refused_before_anything_starts(run, monkeypatch, change, message) -> None:
    monkeypatch.setattr(module, "start_ray", lambda: pytest.fail("Ray was started"))
    with pytest.raises(ValueError, match=message):
        predict(replace(run, **change))
    assert not run.work.exists()


def test_a_model_whose_parts_are_missing(run, monkeypatch, tmp_path) -> None:
    moved = save_tiny_model(tmp_path / "model", tmp_path / "gone" / "lm")
    with pytest.raises(ValueError, match="language model .*gone/lm: there is no such folder"):
        predict(replace(run, model=moved))
    hub = save_tiny_model(tmp_path / "hub", Path("nobody/no-such-model"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read at import
    with pytest.raises(ValueError, match="language model 'nobody/no-such-model' cannot be loaded: "):
        predict(replace(run, model=hub))
    (moved / "student.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="this model cannot be loaded: SafetensorError"):
        predict(replace(run, model=moved))


def test_what_we_write_among_the_alignments_is_not_read(run) -> None:
    inside = replace(run, out=run.msas / "p.ss2")
    sources, errors = find_sources(inside)
    for folder in (inside.out, inside.work):
        folder.mkdir()
        (folder / "a.fasta").write_text(">a\nW\n")
    inside.rejected.write_text("")
    (run.msas / "line\nbreak.a3m").write_text(">q\nW\n")
    again, more = find_sources(inside)
    assert again == sources
    assert sorted({str(error) for error in more} - {str(error) for error in errors}) == [
        f"{run.msas.resolve()}/line\nbreak.a3m: the file name is not printable text"
    ]
