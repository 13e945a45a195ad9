"""jobs/sites.py's pipeline on a few synthetic proteins with structures; it learns next to nothing in two epochs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_here import plan_here
from reuse import begin_with
from score_nets import random_chain, save_random_net
from structure_text import atom, helix, pdb, pdb_chain
from train_here import curves, train_here

from protray.cluster.health.estimate import Trials
from protray.cluster.train import driver
from protray.cluster.train.command import training_command
from protray.cluster.train.measure import estimate
from protray.data.location import Location
from protray.data.sites.table import read_sites
from protray.data.structure.rows import pack_backbone
from protray.models.tasks.site_config import SiteNetConfig
from protray.pipelines.tasks.embedding import row_folder
from protray.pipelines.tasks.sites.data import carved, make_proteins, splits_of
from protray.pipelines.tasks.sites.inputs import PAPER_FIT, PAPER_NET, PLAIN, WITH_LM, SitesRun
from protray.pipelines.tasks.sites.results import ALL, LOGISTIC
from protray.pipelines.tasks.sites.training import JOB, before
from protray.seq.alphabet import decode
from protray.training.tasks.sites.export import load_site_net
from protray.training.tasks.sites.steps import SiteFitConfig

WITH_NET = f"{PLAIN} + score net"
TINY = SitesRun(
    model=(),
    seeds=2,
    net=SiteNetConfig(hidden=(8, 4), ratio=0.1, kernels=(3, 5, 7)),
    fit=SiteFitConfig(epochs=2, batch=4, micro_batch=2),
)


def test_rows_follow_from_what_is_given() -> None:
    assert list(SitesRun().embeddings) == [PLAIN, WITH_LM, f"{PLAIN} + joint encoder"]  # the one in the package
    assert list(SitesRun(data=Location("sites.3line")).embeddings) == [PLAIN, WITH_LM]  # no structures
    assert list(SitesRun(lm="none", model=(Location("m"),)).embeddings) == [PLAIN, WITH_NET]
    assert list(replace(TINY, lm="none").trainings) == ["DeepPPISP, seed 0", "DeepPPISP, seed 1"]


def test_paper_settings() -> None:
    assert PAPER_NET.faithful and PAPER_NET.hidden == (1024, 256) and PAPER_NET.kernels == (13, 15, 17)
    assert (PAPER_NET.window, PAPER_NET.filters(49), PAPER_FIT.learning_rate, PAPER_FIT.epochs) == (7, 228, 1e-3, 10)


def test_unusable_settings_are_refused(tmp_path) -> None:
    run = replace(TINY, out=Location(tmp_path))
    with pytest.raises(ValueError, match="3 workers cannot share 2 micro-batches of 2"):
        replace(run, workers=3).check()
    with pytest.raises(ValueError, match="--seeds and --validation must be at least 1"):
        replace(run, seeds=0).check()
    with pytest.raises(ValueError, match="no such file"):
        JOB.identity(replace(run, data=Location(tmp_path / "none.parquet")))
    with pytest.raises(ValueError, match=r"holds no score_net\.json"):
        JOB.identity(replace(run, model=(Location(tmp_path),)))


def test_whole_clusters_become_the_validation_split() -> None:
    clusters = {f"p{n}": f"c{n // 2}" for n in range(12)}
    splits = {id: "test" if id in ("p0", "p1") else "train" for id in clusters}
    found = carved(clusters, splits, 50, seed=0)
    assert sum(split == "validation" for split in found.values()) == 2  # a quarter of 10, in whole clusters
    assert found["p0"] == found["p1"] == "test"
    assert all(found[f"p{n}"] == found[f"p{n + 1}"] for n in range(0, 12, 2))


def test_rows_without_splits_are_split_by_clusters() -> None:
    rows = [{"id": f"p{n}", "sequence": "M", "cluster": f"c{n // 2}", "split": ""} for n in range(20)]
    found = splits_of(rows, 50, seed=0)
    assert {split for _, split in found.values()} == {"train", "validation", "test"}
    assert all(found[f"p{n}"][1] == found[f"p{n + 1}"][1] for n in range(0, 20, 2))


@pytest.mark.parametrize("column", ["split", "cluster"])
def test_one_row_without_a_split_or_a_cluster_is_refused(column) -> None:
    """In place of new splits for all, which would let the user's test proteins train."""
    rows = [{"id": f"p{n}", "sequence": "M", "cluster": f"c{n}", "split": "test" if n else "train"} for n in range(9)]
    rows[4] |= {column: ""}
    with pytest.raises(ValueError, match=f"1 of 9 rows have no {column}, the first is 'p4'"):
        splits_of(rows, 50, seed=0)


# ---- a run


def write_table(path: Path) -> Location:
    """20 chains, the last of them without a structure, of which 4 are the test split."""
    rows = []
    for number in range(20):
        chain = random_chain(16 + number, number)
        backbone_L43 = np.full((len(chain.codes_L), 4, 3), np.nan)
        backbone_L43[:, 1] = chain.ca_L3 - chain.ca_L3.mean(axis=0)
        sequence = decode(chain.codes_L)
        rows.append({
            "id": f"p{number}", "sequence": sequence, "cluster": f"c{number}",
            "label": "".join("1" if letter in "AWKR" else "0" for letter in sequence),
            "split": "test" if number < 4 else "train", "index": chain.index_L,
            "backbone_cA": pack_backbone(backbone_L43) if number < 19 else None,
        })  # fmt: skip
    rows.append(rows[3] | {"id": "bad", "label": "0"})
    pq.write_table(pa.Table.from_pylist(rows), path)
    return Location(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[SitesRun, dict]:
    """The settings and metrics of a run with all three rows."""
    folder = tmp_path_factory.mktemp("runs")
    table, net = write_table(folder / "table.parquet"), Location(save_random_net(folder / "net"))
    run = replace(TINY, data=table, out=Location(folder / "one"), model=(net,))
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        return run, driver.run_training(JOB, run)


def test_writes_what_it_promises(finished) -> None:
    run, metrics = finished
    rows = {row["method"]: row for row in metrics["table"]}
    assert list(rows) == [ALL, LOGISTIC, PLAIN, WITH_LM, WITH_NET]
    assert rows[ALL]["recall"] == 1 and rows[ALL]["f"] == pytest.approx(
        2 * rows[ALL]["sites"] / (1 + rows[ALL]["sites"])
    )
    assert [rows[name]["trainings"] for name in rows] == [1, 1, 2, 2, 2] and rows[PLAIN]["f_sd"] is not None
    assert metrics["proteins"] == {"train": 12, "validation": 4, "test": 4}
    for row, channels in ((PLAIN, 0), (WITH_LM, 192), (WITH_NET, 8)):
        model = load_site_net(run.out / "model" / row_folder(row, PLAIN))
        assert model.wanted.channels == channels and 0 < model.threshold < 1
    predictions = pq.read_table((run.out / "predictions.parquet").path).to_pylist()
    assert len(predictions) == (2 + 3 * 2) * 4 and len(predictions[0]["prob"]) == len(predictions[0]["sequence"])
    assert "Precision and recall" in (run.out / "report.html").read_bytes().decode()
    assert "mean ± sd of 2 trainings" in (run.out / "tables.md").read_bytes().decode()
    (refused,) = pq.read_table((run.out / "rejected.parquet").path).to_pylist()
    assert refused["id"] == "bad" and "labels" in refused["reason"]


def test_each_training_has_its_run_in_mlflow(finished) -> None:
    from mlflow import MlflowClient

    run, _ = finished
    client = MlflowClient(f"sqlite:///{run.out}/mlflow.db")
    experiment = client.get_experiment_by_name("protray-sites")
    runs = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    assert set(run.trainings) < set(runs)
    one = runs[f"{WITH_NET}, seed 1"]
    assert [point.step for point in client.get_metric_history(one.info.run_id, "validation/loss")] == [1, 2]
    assert "test/f" in one.data.metrics and one.data.params["row"] == WITH_NET


def test_again_starts_no_ray_and_shows_the_table(finished, monkeypatch, capsys) -> None:
    run, _ = finished
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    monkeypatch.setattr("protray.cluster.runtime.command.parse", lambda *_: run)
    assert training_command(JOB, SitesRun, "") == 0
    assert f"| {WITH_LM} |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was made differently: .*seeds was 2, is 3"):
        driver.run_training(JOB, replace(run, seeds=3))


@pytest.mark.ray
def test_two_workers_on_ray_give_the_same_curves(finished, ray_local, tmp_path) -> None:
    """The table is read anew; what is made of the trainings is in the tests above."""
    run, one = finished
    out = begin_with(run.out, Location(tmp_path / "two"), "run.json", "cache")
    job = replace(JOB, finish=lambda run, data, state, context: {"curves": curves(state)})
    two = driver.run_training(job, replace(run, out=out, workers=2, cpus_per_worker=1))["curves"]
    assert list(two) == list(run.trainings)
    for name, (row, _) in run.trainings.items():
        alone = [point["validation/loss"] for point in one["histories"][row][name]]
        assert two[name] == pytest.approx(alone, rel=1e-3)


def test_a_plan_times_each_row_and_writes_nothing(tmp_path, monkeypatch) -> None:
    plan_here(monkeypatch)
    found = estimate(JOB, replace(TINY, out=Location(tmp_path / "planned")))
    assert [(line.name, line.rows, line.done) for line in found.lines] == [("embeddings, language model", 277, 0)] + [
        (f"{row}, seed {seed}", 2 * 41, 0) for row in (PLAIN, WITH_LM) for seed in (0, 1)
    ]
    assert all(line.seconds and line.seconds > 0 for line in found.lines)
    assert not (tmp_path / "planned").exists()


# ---- own files


def dimer(sequences: tuple[str, str], apart: float) -> str:
    """Two helices side by side, with a CB beside each CA."""
    chains = []
    for name, sequence, shift in zip("AB", sequences, (0.0, apart), strict=True):
        lines = []
        for line in pdb_chain(sequence, name, helix(len(sequence)) + np.array([0, shift, 0], np.float32)):
            lines.append(line)
            if line[12:16].strip() == "CA":
                xyz = [float(line[start : start + 8]) for start in (30, 38, 46)]
                lines.append(
                    atom(0, "CB", line[17:20], name, line[22:27].strip() + " ", (xyz[0], xyz[1] + 1.5, xyz[2]))
                )
        chains.append(lines)
    return pdb(*chains)


def test_complexes_become_proteins_with_splits(no_ray, tmp_path, monkeypatch) -> None:
    """Chains of 12 random sequences; a file that is none is named, and more than a tenth of them are an error.  A plan
    knows how many files there are before, and how many proteins afterwards.

    A glycine with a CB is in no table of radii.
    """
    folder = tmp_path / "complexes"
    folder.mkdir()
    for number in range(6):
        sequences = tuple(decode(random_chain(30, 2 * number + k).codes_L).replace("X", "A") for k in (0, 1))
        (folder / f"c{number}.pdb").write_text(dimer(sequences, 9.0))
    plan_here(monkeypatch)
    run = replace(TINY, data=Location(folder), out=Location(tmp_path / "out"))
    with Trials(run.out) as trials:
        labels, embeddings = before(run, trials)
    assert (labels.name, labels.rows, labels.done) == ("sites of complexes", 6, 0) and labels.seconds
    assert embeddings.rows == 277 and embeddings.about and not run.out.exists()
    for name in ("broken", "worse"):
        (folder / f"{name}.pdb").write_text("no atoms")
    with pytest.raises(ValueError, match="2 of 14 proteins"):
        make_proteins(Location(tmp_path / "out"), Location(folder), 50, 0)
    (folder / "worse.pdb").unlink()  # the corrected files go to the same folder
    tables = make_proteins(Location(tmp_path / "out"), Location(folder), 50, 0)
    splits = {split: read_sites(tables, split) for split in ("train", "validation", "test")}
    assert sum(map(len, splits.values())) == 12 and min(map(len, splits.values())) >= 1
    assert all(one.label_L.any() for found in splits.values() for one in found)
    (refused,) = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert refused["file"].endswith("broken.pdb")
    with Trials(run.out) as trials:
        labels, embeddings = before(run, trials)
    assert (labels.done, embeddings.rows, embeddings.about) == (labels.rows, 12, False)


def test_a_corrected_table_goes_to_the_folder_of_the_refused_one(tmp_path, monkeypatch) -> None:
    train_here(monkeypatch)
    out, table = Location(tmp_path / "out"), write_table(tmp_path / "t.parquet")
    rows = pq.read_table(table.path).to_pylist()
    pq.write_table(pa.Table.from_pylist(rows + [rows[-1]] * 2), table.path)
    with pytest.raises(ValueError, match="3 of 23 proteins"):
        make_proteins(out, table, 50, 0)
    pq.write_table(pa.Table.from_pylist(rows[:-2]), table.path)
    tables = make_proteins(out, table, 50, 0)
    assert sum(len(read_sites(tables, split)) for split in ("train", "validation", "test")) == 19
    assert not (out / "rejected.parquet").exists()
