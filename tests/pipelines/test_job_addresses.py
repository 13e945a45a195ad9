"""Jobs whose inputs and results lie in an object store, against real servers of S3 and of Google's API here."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_here import TWO, plan_here, use_no_ray
from bucket import KEYS, keys, serve, serve_gs
from faults import RUN, STEPS
from score_nets import save_random_net
from tiny import tiny_proteins
from tiny_model import save_tiny_lm, save_tiny_model

from protray.cluster.batch.driver import run_batch
from protray.cluster.health.estimate import Process
from protray.cluster.train.driver import training_name
from protray.cluster.train.measure import estimate
from protray.cluster.tuning import sweep
from protray.cluster.tuning.settings import SweepRun
from protray.data import location, schemas
from protray.data.embeddings import read_embeddings
from protray.data.location import Location
from protray.data.sample import SAMPLE
from protray.data.structure.structures import chains_in, read_group
from protray.inference.embeddings.score_net import Embedder
from protray.pipelines.language_model import prob_maps, pseudo_msa
from protray.pipelines.secondary import predict
from protray.pipelines.secondary.sweep_distil import SWEEP
from protray.pipelines.structure import embed, score_net
from protray.plm.reading import Reading
from protray.seq.msa import read_msa
from protray.training.checkpoint import save_state

READING = Reading(passes=4)
PROTEINS = {name: f"{'ACDEFGHIKLMNPQRSTVWY' * 2}{name.upper() * 3}" for name in "acdefg"}


@pytest.fixture(scope="module", params=["s3", "gs"])
def server(request, tmp_path_factory) -> Iterator[tuple[str, dict[str, str]]]:
    """The scheme of its addresses, and the environment of its clients."""
    if request.param == "s3":
        with serve() as address:
            yield "s3", KEYS | {"AWS_ENDPOINT_URL": address}
    else:
        with serve_gs(tmp_path_factory.mktemp("account")) as environment:
            yield "gs", environment


@pytest.fixture
def bucket(server, tmp_path, monkeypatch) -> Iterator[Location]:
    scheme, environment = server
    for name, value in (environment | {"PROTRAY_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    location._filesystem.cache_clear()
    use_no_ray(monkeypatch)
    yield Location(f"{scheme}://bucket/{tmp_path.name}")
    location._filesystem.cache_clear()


def put(folder: Path, to: Location) -> Location:
    for file in folder.rglob("*"):
        if file.is_file():
            (to / file.relative_to(folder).as_posix()).write_bytes(file.read_bytes())
    return to


def names(folder: Location) -> set[str]:
    return {file[len(folder) + 1 :] for file in folder.files()}


def test_maps_what_is_drawn_from_them_and_predictions(bucket, tmp_path, monkeypatch) -> None:
    fasta = tmp_path / "p.fasta"
    fasta.write_text("".join(f">{name}\n{letters}\n" for name, letters in PROTEINS.items()))
    lm = save_tiny_lm(tmp_path / "lm")
    maps = prob_maps.ProbMaps(data=Location(fasta), lm=str(lm), reading=READING, hidden=True, out=bucket / "maps")
    assert run_batch(prob_maps.JOB, maps)["n_rows"] == 6

    fetch = Location.fetch
    with monkeypatch.context() as patch:
        patch.setattr(Location, "fetch", lambda self: pytest.fail(f"{self} was fetched"))
        drawn = pseudo_msa.PseudoMsa(maps=maps.out, out=bucket / "pseudo", sequences=20, write_msa=True)
        assert run_batch(pseudo_msa.JOB, drawn)["n_rows"] == 6
        assert run_batch(pseudo_msa.JOB, drawn)["cached"]
    alignments = {f"msas/{name}.a3m.gz" for name in PROTEINS}
    assert names(drawn.out) == alignments | {"pssms/part-00000.parquet", "rejected.parquet", "summary.json"}
    here = tmp_path / "a.a3m.gz"
    here.write_bytes((drawn.msas / "a.a3m.gz").read_bytes())
    assert read_msa(here).codes_NL.shape == (21, 43)

    assert Location.fetch is fetch
    model = put(save_tiny_model(tmp_path / "model", lm, READING), bucket / "model")
    run = predict.Predict(model=model, fasta=Location(fasta), maps=maps.out, out=bucket / "predicted" / "p.parquet")
    assert run_batch(predict.JOB, run)["n_rows"] == 6
    assert names(run.out.parent) == {
        "p.parquet",
        *(f"p.parquet.{more}" for more in ("html", "rejected.parquet", "summary.json")),
    }
    with run.out.open() as file:
        assert pq.read_table(file)["id"].to_pylist() == list(PROTEINS)
    assert run_batch(predict.JOB, run)["cached"]


@pytest.mark.parametrize("level", ["residue", "pair"])
def test_embeddings_of_a_dataset(bucket, tmp_path, monkeypatch, level) -> None:
    table = read_group(Location(SAMPLE), 0).slice(0, 3)
    empty = {"origin": [0.0] * 3, "breaks": [], "source": "s", "entry": "e", "cluster": "", "split": "train"}
    rows = [row | empty for row in table.to_pylist()]
    dataset = tmp_path / "data"
    (dataset / "structures").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schemas.STRUCTURES), dataset / "structures" / "part-0.parquet")
    (dataset / "dataset.json").write_text('{"digest": "d"}')
    net = save_random_net(tmp_path / "net")
    run = embed.Embed(
        model=put(net, bucket / "net"), structures=(put(dataset, bucket / "data"),), out=bucket / level, level=level
    )
    fetch = Location.fetch

    def fetch_model(self: Location) -> Path:
        if self.startswith((*run.structures, run.out)):
            pytest.fail(f"{self} was fetched")
        return fetch(self)

    with monkeypatch.context() as patch:
        patch.setattr(Location, "fetch", fetch_model)
        found = embed.amount(run)
        assert (found.rows, found.exact) == (3, True)
        assert run_batch(embed.JOB, run)["n_rows"] == 3
        assert names(run.out) == {"embeddings/part-00000.parquet", "rejected.parquet", "summary.json"}
        assert run_batch(embed.JOB, run)["cached"]
    embedder, found = Embedder.open(net), {id: values for id, _, values in read_embeddings(run.out)}
    for chain in chains_in(table):
        expected = embedder.residue(chain) if level == "residue" else np.concatenate(list(embedder.pair(chain)))
        np.testing.assert_allclose(found[chain.id], expected, rtol=1e-3, atol=1e-4)


def test_a_plan_of_a_sweep_counts_in_place(bucket, tmp_path, monkeypatch) -> None:
    """Nothing is copied here that is only counted, and nothing is written."""
    folder = tmp_path / "data" / "proteins"
    folder.mkdir(parents=True)
    pq.write_table(tiny_proteins().table, folder / "part-0.parquet")
    (tmp_path / "data" / "dataset.json").write_text('{"digest": "tiny"}')
    data, lm = put(tmp_path / "data", bucket / "data"), save_tiny_lm(tmp_path / "lm")
    monkeypatch.setattr(Location, "fetch", lambda self: pytest.fail(f"{self} was fetched"))
    monkeypatch.setattr(sweep, "start_ray", lambda: TWO)
    space = str(Path(__file__).parents[2] / "tune_spaces" / "enhance_net.py")
    run = SweepRun(space=space, data=data, lm=str(lm), out=bucket / "sweep", samples=4, repeats=2)
    found = sweep.plan_sweep(SWEEP, run)
    assert (found["count"], found["done"], found["repeats"]) == (4, 0, 8) and found["hours"] > 0
    assert names(bucket) == {"data/proteins/part-0.parquet", "data/dataset.json"}


def test_a_plan_of_a_training_leaves_its_folder_as_it_is(bucket, tmp_path, monkeypatch) -> None:
    """As beside a running job: the settings and a checkpoint of step 5 are there."""
    run = replace(RUN, out=bucket / "net")
    (run.out / "run.json").write_json(score_net.JOB.identity(run))
    save_state(tmp_path / "state", {"position": {"step": 5}})
    name = training_name(score_net.JOB, score_net.JOB.stages(run, None))
    put(tmp_path / "state", run.out / "cache" / name / "checkpoint-000001")
    before = keys(Path(bucket)), {file: file.stamp() for file in bucket.files()}
    assert len(before[0]) == len(before[1]) == 2
    plan_here(monkeypatch)
    monkeypatch.setattr(Process, "use_torch", lambda self: None)  # its threads would stay for the tests that follow
    (line,) = estimate(score_net.JOB, run).lines
    assert (line.rows, line.done) == (STEPS, 5) and line.seconds
    assert (keys(Path(bucket)), {file: file.stamp() for file in bucket.files()}) == before
