"""jobs/pseudo_msa.py end to end: maps good and bad, alignments, workers, restarts, refusals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protray.cluster.runtime.start import Cluster
from protray.data import schemas
from protray.data.parquet import WRITING
from protray.pipelines.language_model import pseudo_msa as module
from protray.pipelines.language_model.pseudo_msa import PseudoRun, find_units, make_pseudo, make_unit, mark_repeated
from protray.seq.alphabet import decode, encode
from protray.seq.msa import read_msa
from protray.seq.pseudo_msa import pseudo_pssm
from protray.seq.pssm import count_residues, pssm

JOB = Path(__file__).parents[2] / "jobs" / "pseudo_msa.py"
SEQUENCES = {"a": "ACDEF", "b": "MKX", "../c": "W", "d": "YVTG", "e": "LL"}


def prob_map(id: str) -> np.ndarray:
    """float32, rows that sum to 1 up to rounding."""
    rng = np.random.default_rng(list(id.encode()))
    return rng.dirichlet(np.full(20, 0.5), len(SEQUENCES[id])).astype(np.float32)


def write_maps(path: Path, rows: list[tuple[str, str, np.ndarray]], rows_per_group: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [{"id": id, "sequence": sequence, "prob_map": flat.ravel()} for id, sequence, flat in rows]
    schema = schemas.MAPS_FLOAT16 if rows[0][2].dtype == np.float16 else schemas.MAPS
    pq.write_table(pa.Table.from_pylist(columns, schema=schema), path, row_group_size=rows_per_group)


@pytest.fixture
def run(tmp_path) -> PseudoRun:
    """Five proteins in two tables, of which the first has two row groups and the second is float16."""
    rows = [(id, sequence, prob_map(id)) for id, sequence in SEQUENCES.items()]
    write_maps(tmp_path / "maps" / "maps-00000.parquet", rows[:3])
    write_maps(tmp_path / "maps" / "shard-1" / "part-7.parquet", [(*row[:2], row[2].astype("f2")) for row in rows[3:]])
    return PseudoRun(maps=tmp_path / "maps", out=tmp_path / "out", seed=3)


def read(run: PseudoRun) -> dict[str, np.ndarray]:
    table = pa.concat_tables(pq.read_table(path) for path in sorted((run.out / "pssms").rglob("*.parquet")))
    return {row["id"]: np.reshape(row["pssm"], (-1, 20)) for row in table.to_pylist()}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


@pytest.mark.ray
def test_one_and_four_workers_write_the_same_bytes(ray_local, run, tmp_path) -> None:
    run = replace(run, write_msa=True, sequences=50)
    one, four = (replace(run, out=tmp_path / f"out{workers}", workers=workers) for workers in (1, 4))
    summaries = [make_pseudo(one), make_pseudo(four)]
    for summary in summaries:
        assert (summary["n_proteins"], summary["n_rejected"], summary["cached"]) == (5, 0, False)
    first = files(one.out)
    assert first == files(four.out)
    assert {name for name in first if name.startswith("pssms")} == {
        "pssms/maps-00000-00000.parquet", "pssms/maps-00000-00001.parquet", "pssms/shard-1/part-7-00000.parquet",
    }  # fmt: skip
    assert len([name for name in first if name.startswith("msas/")]) == 5  # also ../c, whose name is made safe
    assert not list(one.out.parent.glob("c*"))
    assert make_pseudo(one)["cached"]
    assert files(one.out) == first


def make(run: PseudoRun) -> dict[str, np.ndarray]:
    """All units, in this process."""
    for unit in mark_repeated(find_units(run.maps)):
        make_unit(run, unit)
    return read(run)


def test_without_strings_it_is_the_pseudo_pssm_of_the_training(run) -> None:
    found = make(run)
    assert list(found) == list(SEQUENCES)
    for id in ("a", "b", "../c"):
        expected_LA = pseudo_pssm(prob_map(id), encode(SEQUENCES[id]), (3, id))
        np.testing.assert_allclose(found[id], expected_LA, atol=1e-6)
    path = run.out / "pssms" / "maps-00000-00000.parquet"
    schemas.check(pq.read_table(path), schemas.PSEUDO_PSSMS, "pssms")


def test_expected(run) -> None:
    found = make(replace(run, expected=True, background="fixed"))
    expected_LA = pseudo_pssm(prob_map("b"), encode("MKX"), (0, "b"), "expected", "fixed")
    np.testing.assert_allclose(found["b"], expected_LA, atol=1e-6)


def test_the_pssm_is_that_of_the_written_alignment(run) -> None:
    found = make(replace(run, write_msa=True))
    for id in ("a", "b", "d", "e"):
        codes_NL = read_msa(run.out / "msas" / f"{id}.a3m.gz").codes_NL
        assert codes_NL.shape == (2001, len(SEQUENCES[id]))
        assert decode(codes_NL[0]) == SEQUENCES[id]
        np.testing.assert_array_equal(found[id], pssm(count_residues(codes_NL), 2001))


def test_unusable_maps_are_listed_with_reasons(run) -> None:
    good = prob_map("a")
    bad = {
        "short": ("ACDEF", good[:4], "the map has 80 numbers, but 5 residues need 100"),
        "nan": ("ACDEF", np.where(np.arange(5)[:, None] == 2, np.nan, good), "not finite at position 3"),
        "negative": ("A", np.array([[1.5, -0.5, *[0] * 18]]), "negative probability -0.5 at position 1"),
        "sum": ("AC", np.full((2, 20), 0.06), "position 1 sum to 1.2000, not 1 +- 0.001"),
        "gap": ("A-DEF", good, "position 2 of the sequence is '-'"),
        "none": ("", good[:0], "the sequence or the map is missing"),
        "a": ("ACDEF", good, "an earlier map has this id"),
    }
    rows = [(id, sequence, flat.astype(np.float32)) for id, (sequence, flat, _) in bad.items()]
    write_maps(run.maps / "zz" / "part-0.parquet", [*rows, ("last", "ACDEF", good)], rows_per_group=99)
    found = make(run)
    assert list(found) == [*SEQUENCES, "last"]
    (path,) = (run.out / "rejects").rglob("*.parquet")
    rejected = pq.read_table(path).to_pylist()
    assert [row["id"] for row in rejected] == list(bad)
    for row in rejected:
        assert bad[row["id"]][2] in row["reason"]
        assert row["file"].endswith("zz/part-0.parquet")


@pytest.mark.ray
def test_damaged_maps_are_named(ray_local, run) -> None:
    path = run.maps / "maps-00000.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=2, **WRITING)
    content = bytearray(path.read_bytes())
    content[pq.read_metadata(path).row_group(1).column(2).data_page_offset + 60] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"maps-00000\.parquet is damaged .*; copy it again"):
        make_pseudo(run)


def test_a_restart_makes_only_what_is_missing_or_was_made_from_other_maps(run, monkeypatch) -> None:
    asked: list[str] = []

    def here(task: Callable, pieces: list, *, at_once: int | None, run: PseudoRun) -> list[tuple[int, int]]:
        asked.extend(piece["name"] for piece in pieces)
        return [(number, task(piece, run)) for number, piece in enumerate(pieces)]

    monkeypatch.setattr(module, "start_ray", lambda: Cluster((), local=True, ours=False))
    monkeypatch.setattr(module, "stop_ray", lambda cluster: None)
    monkeypatch.setattr(module, "run_tasks", here)
    assert make_pseudo(run)["n_proteins"] == 5
    first = files(run.out)
    assert len(asked) == 3

    asked.clear()
    (run.out / "pssms" / "maps-00000-00001.parquet").unlink()
    assert not make_pseudo(run)["cached"]
    assert asked == ["maps-00000-00001.parquet"]
    assert files(run.out) == first
    assert make_pseudo(run)["cached"]

    asked.clear()
    write_maps(run.maps / "shard-1" / "part-7.parquet", [("new", "ACDEF", prob_map("a"))])
    make_pseudo(run)
    assert asked == ["shard-1/part-7-00000.parquet"]
    assert list(read(run)) == ["a", "b", "../c", "new"]

    with pytest.raises(ValueError, match=r"was made with other settings: seed was 3, is 4; sequences was 2000, is 9"):
        make_pseudo(replace(run, sequences=9, seed=4))
    (run.maps / "shard-1" / "part-7.parquet").unlink()
    with pytest.raises(ValueError, match="part-7-00000.parquet was made from maps that are no longer in"):
        make_pseudo(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": Path("nowhere")}, "nowhere is not a folder"),
        ({"sequences": 0}, "--sequences is 0"),
        ({"workers": 0}, "--workers is 0"),
        ({"expected": True, "write_msa": True}, "give --expected or --write-msa"),
    ],
)
def test_refused_before_anything_starts(run, monkeypatch, change, message) -> None:
    monkeypatch.setattr(module, "start_ray", lambda: pytest.fail("Ray was started"))
    with pytest.raises(ValueError, match=message):
        make_pseudo(replace(run, **change))
    assert not run.out.exists()


def test_tables_that_are_no_maps(run, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no map: no table maps-\*\.parquet or part-\*\.parquet"):
        find_units(tmp_path / "empty")
    pq.write_table(pa.table({"id": ["a"], "sequence": ["A"]}), run.maps / "part-0.parquet")
    with pytest.raises(ValueError, match=r"part-0\.parquet: column 'prob_map' is missing"):
        find_units(run.maps)
    pq.write_table(pa.table({"id": ["a"], "sequence": ["A"], "prob_map": [[1]]}), run.maps / "part-0.parquet")
    with pytest.raises(ValueError, match=r"column 'prob_map' is list<.*int64>, expected a list of float32 or float16"):
        find_units(run.maps)
    (run.maps / "part-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"part-0\.parquet is no readable Parquet file"):
        find_units(run.maps)
