"""jobs/predict.py with a language model as the card says, or with maps in its place."""

import errno
import shutil
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_here import use_no_ray
from predict_inputs import PROTEINS, fasta
from tiny_model import LM_CHANNELS, save_tiny_lm, save_tiny_model

from protray.cluster.batch import worker
from protray.cluster.batch.driver import run_batch
from protray.data.location import Location
from protray.inference.secondary.predict import Predictor, Query
from protray.pipelines.language_model import prob_maps, stored_maps
from protray.pipelines.language_model.stored_maps import MapReader, Place, places
from protray.pipelines.secondary.predict import JOB, Predict
from protray.plm.masked import hidden_rows, load, probability_map
from protray.plm.reading import Reading
from protray.seq.alphabet import encode

WINDOWS = Reading(passes=4, window=12, overlap=6)


def test_proteins_are_read_as_the_card_says(asked, lm, tmp_path) -> None:
    """In windows of 12 with 4 passes each: maps and hidden states of the language model in just this reading."""
    model = Location(save_tiny_model(tmp_path / "model", lm, WINDOWS))
    run = Predict(model=model, fasta=fasta(tmp_path, PROTEINS), out=Location(tmp_path / "p.parquet"))
    run_batch(JOB, run)
    bare, language_model = Predictor.open(model, with_lm=False), load(str(lm))
    for row in pq.read_table(run.out).to_pylist():
        codes_L = encode(PROTEINS[row["id"]])
        hidden_LC = hidden_rows(language_model, codes_L, WINDOWS).astype(np.float16).astype(np.float32)
        query = Query(row["id"], codes_L[None], probability_map(language_model, codes_L, WINDOWS), hidden_LC)
        np.testing.assert_allclose(np.reshape(row["prob"], (-1, 3)), bare.predict([query])[0].prob_L3, atol=1e-5)


@pytest.fixture(scope="module")
def maps(tmp_path_factory, lm) -> Location:
    """Of all proteins but p7, and of other letters of p6."""
    folder = tmp_path_factory.mktemp("maps")
    proteins = {name: letters for name, letters in PROTEINS.items() if name != "p7"} | {"p6": "MKMKMKMK"}
    data = fasta(folder, proteins)
    run = prob_maps.ProbMaps(data=data, lm=str(lm), reading=WINDOWS, hidden=True, out=Location(folder / "out"))
    with pytest.MonkeyPatch.context() as patch:
        use_no_ray(patch)
        run_batch(prob_maps.JOB, run)
    return run.out


@pytest.mark.parametrize("backwards", [False, True])
def test_maps_take_the_place_of_the_language_model(asked, lm, maps, tmp_path, monkeypatch, backwards) -> None:
    model = Location(save_tiny_model(tmp_path / "model", lm, WINDOWS))
    proteins = dict(sorted(PROTEINS.items(), reverse=backwards))
    run = Predict(model=model, fasta=fasta(tmp_path, proteins), out=Location(tmp_path / "p.parquet"), max_rejected=0.5)
    run_batch(JOB, run)
    monkeypatch.setattr("protray.inference.secondary.predict.load", lambda *_, **__: pytest.fail("it was loaded"))
    with_maps = replace(run, out=Location(tmp_path / "m.parquet"), maps=maps)
    run_batch(JOB, with_maps)
    expected = {row["id"]: row for row in pq.read_table(run.out).to_pylist()}
    found = pq.read_table(with_maps.out).to_pylist()
    assert [row["id"] for row in found] == [name for name in proteins if name not in ("p6", "p7")]
    for row in found:
        np.testing.assert_allclose(row["prob"], expected[row["id"]]["prob"], atol=1e-4)
    reasons = {row["id"]: row["reason"] for row in pq.read_table(with_maps.rejected).to_pylist()}
    assert reasons["p6"] == "its map is of another sequence" and "no map of id 'p7' in" in reasons["p7"]


def test_maps_of_another_reading_are_refused(lm, maps, model, tmp_path) -> None:
    """`model` was trained with exact maps of whole proteins; the place of the language model does not matter."""
    run = Predict(model=model, fasta=fasta(tmp_path, PROTEINS), out=Location(tmp_path / "p.parquet"), maps=maps)
    with pytest.raises(ValueError, match=r"they were read in .*, 4 passes for a protein, .*, not in .*, one pass"):
        run_batch(JOB, run)
    other = save_tiny_model(tmp_path / "other", save_tiny_lm(tmp_path / "lm", positions="absolute"), WINDOWS)
    with pytest.raises(ValueError, match="does not fit the model: they are of the language model .*, not of "):
        run_batch(JOB, replace(run, model=Location(other)))
    with pytest.raises(ValueError, match="this is no finished --out of jobs/prob_maps.py"):
        run_batch(JOB, replace(run, maps=Location(tmp_path)))


def test_damaged_maps_end_the_job(asked, lm, maps, tmp_path, monkeypatch) -> None:
    """No protein is to blame for a disk, also where a map is read a second time."""
    monkeypatch.setattr(worker, "PAUSES_S", (0.0,))
    copied = Location(shutil.copytree(maps, tmp_path / "maps"))
    path = copied.path / "maps" / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    content[pq.read_metadata(path).row_group(0).column(2).data_page_offset + 60] ^= 1
    path.write_bytes(content)
    model = Location(save_tiny_model(tmp_path / "model", lm, WINDOWS))
    out = Location(tmp_path / "p.parquet")
    run = Predict(model=model, fasta=fasta(tmp_path, PROTEINS), out=out, maps=copied, max_rejected=1.0)
    with pytest.raises(OSError, match=r"part-00000\.parquet is damaged .*; copy it again.*what is done is kept"):
        run_batch(JOB, run)
    assert not run.summary.exists() and not run.rejected.exists()


def test_a_map_is_read_anew_after_an_error(maps, monkeypatch) -> None:
    def broken(*_: object) -> Iterator[pa.RecordBatch]:
        raise OSError(errno.EIO, "Input/output error")
        yield

    place, reader = places(maps)["p0"], MapReader()
    with monkeypatch.context() as patch:
        patch.setattr(stored_maps, "read_batches", broken)
        with pytest.raises(OSError, match="Input/output error"):
            reader(place)
    assert reader(place).sequence == PROTEINS["p0"]


def test_maps_are_read_in_any_order(maps) -> None:
    known = places(maps)
    reader = MapReader()
    for name in ("p5", "p0", "p3", "p3", "p6", "p1"):
        found = reader(known[name])
        length = len(found.sequence)
        assert found.sequence == (PROTEINS[name] if name != "p6" else "MKMKMKMK")
        assert found.hidden_LC is not None
        assert (found.prob_LA.shape, found.hidden_LC.shape) == ((length, 20), (length, LM_CHANNELS))
    assert known["p0"] == Place(str(maps / "maps" / "part-00000.parquet"), 0, 0)
