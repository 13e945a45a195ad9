"""jobs/pseudo_msa.py end to end: maps good and bad, alignments, restarts, refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_here import plan_here, use_no_ray

from protray.cluster.batch import driver, folder, items, worker
from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.measure import estimate
from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import WRITING
from protray.pipelines.language_model import pseudo_msa as module
from protray.pipelines.language_model.pseudo_msa import JOB, PseudoMsa, amount, cut, identity
from protray.seq.alphabet import decode, encode
from protray.seq.msa import read_msa
from protray.seq.pseudo_msa import pseudo_pssm
from protray.seq.pssm import count_residues, pssm

SEQUENCES = {"a": "ACDEF", "b": "MKX", "../c": "W", "d": "YVTG", "e": "LL"}


def prob_map(id: str) -> np.ndarray:
    """float32, rows that sum to 1 up to rounding."""
    rng = np.random.default_rng(list(id.encode()))
    return rng.dirichlet(np.full(20, 0.5), len(SEQUENCES[id])).astype(np.float32)


def write_maps(path: Path, rows: list[tuple[str, str, np.ndarray]], rows_per_group: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [{"id": id, "sequence": sequence, "prob_map": flat.ravel()} for id, sequence, flat in rows]
    schema = schemas.MAPS_FLOAT16 if rows[0][2].dtype == np.float16 else schemas.MAPS
    pq.write_table(pa.Table.from_pylist(columns, schema=schema), path, row_group_size=rows_per_group, **WRITING)


@pytest.fixture
def run(tmp_path) -> PseudoMsa:
    """Five proteins in two tables, of which the first has two row groups and the second is float16."""
    rows = [(id, sequence, prob_map(id)) for id, sequence in SEQUENCES.items()]
    write_maps(tmp_path / "maps" / "maps-00000.parquet", rows[:3])
    write_maps(tmp_path / "maps" / "shard-1" / "part-7.parquet", [(*row[:2], row[2].astype("f2")) for row in rows[3:]])
    return PseudoMsa(maps=Location(tmp_path / "maps"), out=Location(tmp_path / "out"), seed=3, max_rejected=0.9)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Names of the items that are worked on, in this process."""
    names: list[str] = []
    use_no_ray(monkeypatch, names.append)
    return names


def read(run: PseudoMsa) -> dict[str, np.ndarray]:
    table = pa.concat_tables(pq.read_table(path) for path in (run.out / "pssms").files())
    return {row["id"]: np.reshape(row["pssm"], (-1, 20)) for row in table.to_pylist()}


def files(folder: Location) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*.*") if path.is_file()}


@pytest.mark.ray
def test_one_and_two_actors_write_the_same_bytes(ray_local, run, tmp_path, monkeypatch) -> None:
    run = replace(run, write_msa=True, sequences=50)
    one, two = (replace(run, out=Location(tmp_path / f"out{actors}"), actors=actors) for actors in (1, 2))
    monkeypatch.setattr(folder, "WORTH_AN_ACTOR_S", 1e-9)
    for some in (one, two):
        summary = run_batch(JOB, some)
        assert (summary["n_rows"], summary["n_rejected"], summary["cached"]) == (5, 0, False)
    first = files(one.out)
    assert {name: raw for name, raw in first.items() if name != "summary.json"} == {
        name: raw for name, raw in files(two.out).items() if name != "summary.json"
    }
    assert len([name for name in first if name.startswith("msas/")]) == 5  # also ../c, whose name is made safe
    assert set(first) - {name for name in first if name.startswith("msas/")} == {
        "pssms/part-00000.parquet", "rejected.parquet", "summary.json",
    }  # fmt: skip
    assert not list(tmp_path.glob("c*"))
    assert run_batch(JOB, one)["cached"]
    assert files(one.out) == first


def test_without_strings_it_is_the_pseudo_pssm_of_the_training(run, asked) -> None:
    run_batch(JOB, run)
    found = read(run)
    assert list(found) == list(SEQUENCES)
    for id in ("a", "b", "../c"):
        expected_LA = pseudo_pssm(prob_map(id), encode(SEQUENCES[id]), (3, id))
        np.testing.assert_allclose(found[id], expected_LA, atol=1e-6)
    table = pq.read_table(run.out / "pssms" / "part-00000.parquet")
    schemas.check(table, schemas.PSEUDO_PSSMS, "pssms")
    assert (table.schema.metadata or {})[b"background"] == b"smoothed"


def test_expected(run, asked) -> None:
    run = replace(run, expected=True, background="fixed")
    run_batch(JOB, run)
    expected_LA = pseudo_pssm(prob_map("b"), encode("MKX"), (0, "b"), "expected", "fixed")
    np.testing.assert_allclose(read(run)["b"], expected_LA, atol=1e-6)


def test_the_pssm_is_that_of_the_written_alignment(run, asked) -> None:
    run = replace(run, write_msa=True)
    run_batch(JOB, run)
    found = read(run)
    for id in ("a", "b", "d", "e"):
        codes_NL = read_msa(Path(run.out) / "msas" / f"{id}.a3m.gz").codes_NL
        assert codes_NL.shape == (2001, len(SEQUENCES[id]))
        assert decode(codes_NL[0]) == SEQUENCES[id]
        np.testing.assert_array_equal(found[id], pssm(count_residues(codes_NL), 2001))


@pytest.mark.parametrize("each", [1, 1000])
def test_unusable_maps_are_listed_with_reasons(run, asked, monkeypatch, each) -> None:
    """Whether a map is an item of its own, or all are one; the good map behind the bad ones is the last of a group."""
    monkeypatch.setattr(driver, "ITEMS_PER_ACTOR", each)
    good = prob_map("a")
    bad = {
        "a": ("ACDEF", good, "an earlier map has this id"),
        "short": ("ACDEF", good[:4], "the map has 80 numbers, but 5 residues need 100"),
        "nan": ("ACDEF", np.where(np.arange(5)[:, None] == 2, np.nan, good), "not finite at position 3"),
        "negative": ("A", np.array([[1.5, -0.5, *[0] * 18]]), "negative probability -0.5 at position 1"),
        "sum": ("AC", np.full((2, 20), 0.06), "position 1 sum to 1.2000, not 1 +- 0.001"),
        "gap": ("A-DEF", good, "position 2 of the sequence is '-'"),
        "none": ("", good[:0], "the sequence or the map is missing"),
    }
    rows = [(id, sequence, flat.astype(np.float32)) for id, (sequence, flat, _) in bad.items()]
    write_maps(Path(run.maps) / "zz" / "part-0.parquet", [*rows, ("last", "ACDEF", good)], rows_per_group=99)
    summary = run_batch(JOB, run)
    assert list(read(run)) == [*SEQUENCES, "last"]
    rejected = pq.read_table(run.rejected).to_pylist()
    assert [row["id"] for row in rejected] == list(bad)
    for row in rejected:
        assert bad[row["id"]][2] in row["reason"]
        assert row["file"].endswith("zz/part-0.parquet")
    assert (summary["n_rows"], summary["n_rejected"]) == (6, 7)
    with pytest.raises(ValueError, match="7 of 13 proteins in the input cannot be used, more than --max-rejected 0.5"):
        run_batch(JOB, replace(run, out=Location(f"{run.out}2"), max_rejected=0.5))


def test_damaged_maps_end_the_job(run, asked, monkeypatch) -> None:
    """No protein is to blame for a disk."""
    monkeypatch.setattr(worker, "PAUSES_S", ())
    path = Path(run.maps) / "maps-00000.parquet"
    content = bytearray(path.read_bytes())
    content[pq.read_metadata(path).row_group(1).column(2).data_page_offset + 60] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"maps-00000\.parquet is damaged .*; copy it again.*what is done is kept"):
        run_batch(JOB, run)


def test_a_restart_makes_only_what_is_missing_and_other_maps_make_it_anew(run, asked, monkeypatch) -> None:
    monkeypatch.setattr(driver, "ITEMS_PER_ACTOR", 1000)
    monkeypatch.setattr(items, "MOST_ROWS", 1)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(driver, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            run_batch(JOB, run)
    assert len(asked) == 5
    parts = (run.work / "parts").files()
    parts[3].remove()
    asked.clear()
    assert not run_batch(JOB, run)["cached"]
    assert [f"item-{name}.parquet" for name in asked] == [parts[3].name]
    first = read(run)
    assert list(first) == list(SEQUENCES)
    assert run_batch(JOB, run)["cached"]

    write_maps(Path(run.maps) / "shard-1" / "part-7.parquet", [("new", "ACDEF", prob_map("a"))])
    assert not run_batch(JOB, run)["cached"]
    assert list(read(run)) == ["a", "b", "../c", "new"]
    np.testing.assert_array_equal(read(run)["a"], first["a"])
    with pytest.raises(ValueError, match=r"was made differently: seed was 3, is 4; sequences was 2000, is 9"):
        run_batch(JOB, replace(run, sequences=9, seed=4))


def test_alignments_of_maps_that_are_gone_go(run, asked) -> None:
    run = replace(run, write_msa=True, sequences=5)
    run_batch(JOB, run)
    (Path(run.maps) / "shard-1" / "part-7.parquet").unlink()
    run_batch(JOB, run)
    assert [file.name for file in run.msas.files()][1:] == ["a.a3m.gz", "b.a3m.gz"]  # the first is that of ../c
    assert len(run.msas.files()) == 3


def test_a_plan_counts_by_the_footers(run, monkeypatch) -> None:
    monkeypatch.setattr(module, "read_batches", lambda *_: pytest.fail("a table was read"))
    found = amount(run)
    assert (found.rows, found.exact) == (5, True)
    residues = sum(map(len, SEQUENCES.values()))
    assert found.cost == pytest.approx(residues * module.PER_RESIDUE_S)
    row = {"maps": 10, "cost": 3.0}
    assert cut(run, row, 1.0) == [(0, 3), (3, 6), (6, 10)]
    assert cut(run, row, 1e-9) == [(n, n + 1) for n in range(10)]


def test_a_plan_leaves_no_trace(run, monkeypatch, tmp_path) -> None:
    """Also not of alignments, which are written while it is timed."""
    before = sorted(tmp_path.rglob("*"))
    plan_here(monkeypatch)
    (line,) = estimate(JOB, replace(run, write_msa=True)).lines
    assert (line.name, line.rows, line.done) == ("pseudo-PSSMs", 5, 0) and line.seconds
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": Location("nowhere")}, "nowhere is not a folder"),
        ({"sequences": 0}, "--sequences is 0"),
        ({"actors": 0}, "--actors is 0"),
        ({"expected": True, "write_msa": True}, "give --expected or --write-msa"),
    ],
)
def test_refused_before_anything_starts(run, monkeypatch, change, message) -> None:
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    with pytest.raises(ValueError, match=message):
        run_batch(JOB, replace(run, **change))
    with pytest.raises(ValueError, match=message):
        estimate(JOB, replace(run, **change))
    assert not run.out.exists()


def test_tables_that_are_no_maps(run, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no map: no table maps-\*\.parquet or part-\*\.parquet"):
        identity(replace(run, maps=Location(tmp_path / "empty")))
    bad = Path(run.maps) / "part-0.parquet"
    pq.write_table(pa.table({"id": ["a"], "sequence": ["A"]}), bad)
    with pytest.raises(ValueError, match=r"part-0\.parquet: column 'prob_map' is missing"):
        identity(run)
    pq.write_table(pa.table({"id": ["a"], "sequence": ["A"], "prob_map": [[1]]}), bad)
    with pytest.raises(ValueError, match=r"column 'prob_map' is list<.*int64>, expected a list of float32 or float16"):
        identity(run)
    bad.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"part-0\.parquet is no readable Parquet file"):
        identity(run)
