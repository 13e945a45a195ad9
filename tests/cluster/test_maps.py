"""Probability maps on Ray: processes that die, runs that are stopped, and counts."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from protray.pipelines.language_model.map_parts import Rows
from protray.pipelines.language_model.map_units import MapConfig
from protray.pipelines.language_model.maps import MapActor, compute_maps
from tiny_model import LM_CHANNELS, save_tiny_lm

from protray.cluster.batch import pool
from protray.cluster.batch.shards import Manifest
from protray.cluster.runtime import resources as plan
from protray.cluster.runtime.resources import Stage
from protray.data import schemas
from protray.data.dataset import read_table
from protray.inference.many import Source
from protray.pipelines.language_model import map_queue, maps
from protray.pipelines.language_model import prob_maps as module
from protray.pipelines.language_model.prob_maps import ProbMapsRun, prob_maps
from protray.plm import masked
from protray.plm.masked import hidden_rows, map_rows
from protray.plm.reading import Reading
from protray.seq.alphabet import decode, encode

ONE = Stage(name="maps", kind="map", workers=1, data_cpus=1.0)
PROTEINS = {f"p{n}": ("MKTAYIAKQRLEDWCHFGPNSV" * 3)[n : n + 10 + 2 * n] for n in range(12)}


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> Path:
    """Reads 36 residues: the longest of `PROTEINS`, 32, and no more than that."""
    return save_tiny_lm(tmp_path_factory.mktemp("lm"), positions="absolute")


@pytest.fixture
def config(lm) -> MapConfig:
    return MapConfig(lm=str(lm), hidden=True)


def staged(out: Path, config: MapConfig, proteins: dict[str, str] = PROTEINS, size: int = 100) -> Manifest:
    manifest = Manifest.open(out, {"lm": config.lm})
    sources = (Source(name, "f.fasta", line, letters) for line, (name, letters) in enumerate(proteins.items(), start=1))
    manifest.stage(sources, size, config.tokens)
    return manifest


def quiet(done: int, of: int, note: str) -> None:
    assert 0 <= done <= of


@pytest.mark.ray
def test_pieces_shards_and_windows_give_the_models_maps(ray_local, lm, tmp_path, monkeypatch) -> None:
    """Units of 300 tokens cut all but the shortest proteins; one protein is longer than the model reads."""
    proteins = PROTEINS | {"long": "MKTAYIAKQRLEDWCHFGPNSV" * 4}
    (tmp_path / "p.fasta").write_text(
        "".join(f">{name} x\n{letters}\n" for name, letters in proteins.items()) + ">b\n1\n"
    )
    monkeypatch.setattr(map_queue, "UNIT_TOKENS", 300)
    monkeypatch.setattr(masked, "TOKENS_AT_ONCE", 50)
    monkeypatch.setattr(plan, "actor_pool", lambda name, nodes, at_most: replace(ONE, workers=2))
    run = ProbMapsRun(data=tmp_path / "p.fasta", lm=str(lm), out=tmp_path / "out", hidden=True, shard=8)
    summary = prob_maps(run)
    assert (summary["n_computed"], summary["n_cached"], summary["n_rejected"], summary["cached"]) == (13, 0, 1, False)
    assert sorted(path.name for path in run.out.iterdir()) == ["manifest.json", "maps", "rejected.parquet"]
    tables = [pq.read_table(path) for path in sorted((run.out / "maps").iterdir())]
    assert [name for table in tables for name in table["id"].to_pylist()] == list(proteins)
    assert [table.num_rows for table in tables] == [8, 5]
    model = masked.load(str(lm))
    for row in read_table(run.out / "maps", schemas.MAPS).to_pylist():
        codes_L = encode(row["sequence"])
        assert row["sequence"] == proteins[row["id"]]
        np.testing.assert_allclose(np.reshape(row["prob_map"], (-1, 20)), map_rows(model, codes_L), atol=1e-6)
        hidden_LC = np.reshape(row["lm_hidden"], (-1, LM_CHANNELS))
        np.testing.assert_allclose(hidden_LC, hidden_rows(model, codes_L), rtol=1e-3, atol=1e-3)

    stamps = {path: path.stat().st_mtime_ns for path in run.out.rglob("*")}
    again = prob_maps(run)
    assert (again["cached"], again["n_cached"], again["reasons"]) == (True, 13, summary["reasons"])
    assert {path: path.stat().st_mtime_ns for path in run.out.rglob("*")} == stamps
    with pytest.raises(ValueError, match="float16 was False, is True"):
        prob_maps(replace(run, float16=True))


@pytest.mark.ray
def test_a_stopped_run_computes_only_what_is_missing(ray_local, config, tmp_path, monkeypatch) -> None:
    """One protein a unit; the driver stops after five, in the middle of the second of three shards."""
    monkeypatch.setattr(map_queue, "UNIT_TOKENS", 1)
    monkeypatch.setattr(masked, "TOKENS_AT_ONCE", 36 * 38)
    monkeypatch.setattr(maps, "MapActor", counting(tmp_path / "log"))
    manifest = staged(tmp_path / "out", config, size=4)
    calls = []

    def stop(done: int, of: int, note: str) -> None:
        calls.append(done)
        if len(calls) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_maps(manifest, config, ONE, 1, stop)
    parts = {path: path.stat().st_mtime_ns for path in manifest.work.rglob("*.arrow")}
    again = Manifest.open(manifest.out, manifest.settings)
    cached = compute_maps(again, config, ONE, 1, quiet)
    assert 4 <= cached <= 7
    read = (tmp_path / "log").read_text().split()
    assert set(read) == set(PROTEINS.values())
    assert len(read) - len(set(read)) <= 1  # what was in flight when the driver stopped
    assert len(parts) <= 6
    table = read_table(again.out / "maps", schemas.MAPS)
    assert table["id"].to_pylist() == sorted(PROTEINS)
    assert again.complete
    assert again.summary() == {"n_computed": 12, "n_rejected": 0, "n_again": 0, "reasons": {}}


@pytest.mark.ray
def test_proteins_that_take_processes_down(ray_local, config, tmp_path, monkeypatch) -> None:
    """All are in one unit.  `once` kills one process, `poison` any, `odd` raises, `big` is too big, `inf` is no map."""
    bad = {"once": "AAAA", "poison": "CCCC", "odd": "DDDD", "big": "EEEE", "inf": "FFFF"}
    monkeypatch.setattr(map_queue, "ALONE", 1)
    monkeypatch.setattr(maps, "MapActor", faulty(tmp_path / "marker"))
    manifest = staged(tmp_path / "out", config, PROTEINS | bad)
    assert compute_maps(manifest, config, ONE, 1, quiet) == 0
    summary = manifest.summary()
    assert (summary["n_computed"], summary["n_rejected"], summary["n_again"]) == (13, 4, 3)
    rejected = {row["id"]: row for row in pq.read_table(manifest.out / "rejected.parquet").to_pylist()}
    assert rejected.keys() == bad.keys() - {"once"}
    assert rejected["poison"]["reason"].startswith("its process died: worker process has died")
    assert rejected["odd"]["reason"] == "unexpected KeyError: 'odd'"
    assert rejected["big"]["reason"] == "out of memory: too big"
    assert rejected["inf"]["reason"] == "its probabilities are not finite"
    assert (rejected["big"]["file"], rejected["big"]["line"]) == ("f.fasta", 16)
    found = Counter(read_table(manifest.out / "maps", schemas.MAPS)["id"].to_pylist())
    assert found == Counter({*PROTEINS, "once"})

    monkeypatch.setattr(maps, "MapActor", counting(tmp_path / "log"))  # the machine is repaired
    again = Manifest.open(manifest.out, manifest.settings)
    assert not again.complete
    assert compute_maps(again, config, ONE, 1, quiet) == 13
    assert sorted((tmp_path / "log").read_text().split()) == ["CCCC", "DDDD", "EEEE", "FFFF"]
    assert again.summary()["n_computed"] == 17
    assert again.complete
    assert pq.read_table(manifest.out / "rejected.parquet").num_rows == 0


@pytest.mark.ray
def test_errors_that_are_no_proteins_fault_stop_the_run(ray_local, config, tmp_path, monkeypatch) -> None:
    manifest = staged(tmp_path / "out", config)
    with pytest.raises(ValueError, match="windows of 36 residues cannot share 36"):
        compute_maps(manifest, replace(config, reading=Reading(overlap=36)), ONE, 1, quiet)
    monkeypatch.setattr(maps, "MapActor", full_disk())
    with pytest.raises(OSError, match="No space left"):
        compute_maps(manifest, config, ONE, 1, quiet)
    assert manifest.summary() == {"n_computed": 0, "n_rejected": 0, "n_again": 0, "reasons": {}}


@pytest.mark.ray
def test_a_model_that_never_works_stops_the_run(ray_local, config, tmp_path, monkeypatch) -> None:
    """Twelve proteins in one unit: lost once together, then one alone."""
    monkeypatch.setattr(pool, "LOST_AT_FIRST", 2)
    monkeypatch.setattr(maps, "MapActor", faulty(tmp_path / "marker"))
    manifest = staged(tmp_path / "out", config, {f"d{n}": "DDDD" for n in range(12)})
    with pytest.raises(ChildProcessError, match="2 processes in a row were lost; the last: unexpected KeyError: 'odd'"):
        compute_maps(manifest, config, ONE, 1, quiet)


def counting(log: Path) -> type:
    """An actor without a model that notes every sequence it is given; local classes reach Ray's processes by value."""

    class Counting(MapActor):
        def open(self) -> None:
            pass

        def _rows(self, span, codes_L):  # noqa: ANN001, ANN202
            with log.open("a") as file:
                file.write(decode(codes_L) + "\n")
            return Rows(span, np.full((span.stop - span.start, 20), 0.05), None)

    return Counting


def faulty(marker: Path) -> type:
    class Faulty(MapActor):
        def open(self) -> None:
            pass

        def _rows(self, span, codes_L):  # noqa: ANN001, ANN202
            sequence = decode(codes_L)
            if sequence == "CCCC" or (sequence == "AAAA" and not marker.exists()):
                marker.touch()
                os._exit(1)
            if sequence == "DDDD":
                raise KeyError("odd")
            if sequence == "EEEE":
                raise MemoryError("too big")
            return Rows(span, np.full((span.stop - span.start, 20), np.inf if sequence == "FFFF" else 0.05), None)

    return Faulty


def full_disk() -> type:
    class FullDisk(MapActor):
        def open(self) -> None:
            pass

        def compute(self, spans, sequences, part):  # noqa: ANN001, ANN202
            raise OSError(28, "No space left on device")

    return FullDisk


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shard": 0}, "--shard is 0"),
        ({"window": 1}, "a window of 1 residues"),
        ({"lm": "nobody/no-such-model"}, "language model 'nobody/no-such-model' cannot be loaded"),
        ({"data": Path("nowhere.fa")}, r"nowhere\.fa: no such file or folder"),
    ],
)
def test_refused_before_anything_starts(tmp_path, lm, monkeypatch, change, message) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "p.fasta").write_text(">a\nA\n")
    run = ProbMapsRun(data=tmp_path / "p.fasta", lm=str(lm), out=tmp_path / "out")
    monkeypatch.setattr(module, "_compute", lambda *_: pytest.fail("Ray was started"))
    with pytest.raises(ValueError, match=message):
        prob_maps(replace(run, **change))
    assert not run.out.exists()
