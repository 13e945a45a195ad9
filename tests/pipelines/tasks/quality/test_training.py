"""jobs/quality.py's pipeline on a few natives of the sample, and on files; it learns next to nothing in two epochs."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from batch_here import plan_here
from decoys_here import decoys
from score_nets import save_random_net
from structure_text import pdb_chain
from train_here import curves, train_here

from protray.cluster.train import driver
from protray.cluster.train.command import training_command
from protray.cluster.train.measure import estimate
from protray.data.decoys.table import read_decoys
from protray.data.location import Location
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.pipelines.tasks.quality.decoys import DecoySettings, _files_of, _targets_of_files, make_decoys, targets_of
from protray.pipelines.tasks.quality.inputs import PAPER_FIT, PAPER_NET, PLAIN, WITH_LM, QualityRun
from protray.pipelines.tasks.quality.results import CONSTANT, LINEAR, folder_of
from protray.pipelines.tasks.quality.training import JOB
from protray.training.tasks.quality.export import load_graphqa
from protray.training.tasks.quality.steps import QualityFitConfig

WITH_NET = f"{PLAIN} + score net"
TINY = QualityRun(
    model=(),
    decoys=DecoySettings(targets=(9, 3, 4), each=3),
    net=GraphQaConfig(layers=2, edges=(8, 8), nodes=(8, 8), whole=(8, 8)),
    fit=QualityFitConfig(epochs=4, batch=4, micro_batch=2, validate_every=2),
)


def test_rows_follow_from_what_is_given() -> None:
    assert QualityRun().rows == [PLAIN, WITH_LM, f"{PLAIN} + joint encoder"]  # the one in the package
    assert TINY.rows == [PLAIN, WITH_LM]
    assert QualityRun(lm="none", model=(Location("m"),)).rows == [PLAIN, WITH_NET]


def test_several_score_nets_are_told_apart(tmp_path) -> None:
    run = QualityRun(lm="none", model=(Location("runs/few/model"), Location("runs/all/model")))
    assert run.rows == [PLAIN, f"{WITH_NET} few", f"{WITH_NET} all"]
    assert folder_of(run, f"{WITH_NET} few").name == "score-net-few"
    with pytest.raises(ValueError, match="two rows would have one name"):
        replace(run, model=(Location("a/net/model"), Location("b/net/model"))).check()


def test_paper_settings() -> None:
    assert PAPER_NET.sizes()[0] == (144, 256, 512) and PAPER_NET.sizes()[-1] == (16, 64, 32)
    assert (PAPER_NET.layers, PAPER_NET.radius, PAPER_NET.hops, PAPER_NET.dropout) == (6, 12, 5, 0.2)
    assert (PAPER_FIT.batch, PAPER_FIT.learning_rate, PAPER_FIT.weight_decay, PAPER_FIT.constant) == (
        16,
        5e-3,
        1e-5,
        True,
    )


def test_splits_of_the_table_count(tmp_path) -> None:
    """All targets have one, or none; each split has a target."""
    for name, one in zip("abc", decoys(3, 1), strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.pdb").write_text("\n".join(pdb_chain(one.sequence, "A", one.backbone_L43)))
    lines = ["a,one,train,1", "b,one,test,1", "c,one,validation,1"]

    def found(*lines: str) -> list[tuple[str, str]]:
        (tmp_path / "scores.csv").write_text("\n".join(["target,decoy,split,tm", *lines]))
        for cached in (_files_of, _targets_of_files):
            cached.cache_clear()
        return targets_of(Location(tmp_path), TINY.decoys)

    assert found(*lines) == [("a", "train"), ("b", "test"), ("c", "validation")]
    with pytest.raises(ValueError, match="1 of 3 rows have no split"):
        found(*lines[:2], "c,one,,1")
    with pytest.raises(ValueError, match="is of the validation split"):
        found(*lines[:2], "c,one,test,1")


def test_targets_of_the_sample_are_those_of_its_splits() -> None:
    """More of them contain fewer; and no target changes its split."""
    few, more = (dict(targets_of(None, DecoySettings(targets=(n, n, n)))) for n in (3, 5))
    assert few.items() <= more.items()
    assert sorted(few.values()) == ["test"] * 3 + ["train"] * 3 + ["validation"] * 3


def test_unusable_settings_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="3 workers cannot share 2 micro-batches of 2"):
        replace(TINY, out=Location(tmp_path), workers=3).check()
    with pytest.raises(ValueError, match=r"holds no score_net\.json"):
        JOB.identity(replace(TINY, model=(Location(tmp_path),)))
    with pytest.raises(ValueError, match="there is no such folder"):
        JOB.identity(replace(TINY, lm="/nowhere/at/all"))
    with pytest.raises(ValueError, match="targets and each must be at least 1"):
        DecoySettings(each=0)


# ---- a run


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Location:
    """The output folder of a run with all three networks, and one worker."""
    folder = tmp_path_factory.mktemp("runs")
    net = save_random_net(folder / "net")
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        driver.run_training(JOB, replace(TINY, out=Location(folder / "one"), model=(Location(net),)))
    return Location(folder / "one")


def test_writes_what_it_promises(finished) -> None:
    metrics = (finished / "metrics.json").read_json()
    assert [row["method"] for row in metrics["table"]] == [CONSTANT, LINEAR, PLAIN, WITH_LM, WITH_NET]
    assert metrics["table"][0]["r_target"] is None and metrics["table"][0]["skipped"] == 4
    assert all(row["decoys"] == 12 and row["targets"] == 4 for row in metrics["table"])
    assert metrics["decoys"] == {"train": 27, "validation": 9, "test": 12} and metrics["derived"]
    assert [point["epoch"] for point in metrics["histories"][PLAIN]] == [2, 4]
    for name, widths in (("plain", (0, 0)), ("language-model", (192, 0)), ("score-net", (8, 8))):
        net = load_graphqa(finished / "model" / name)
        assert (net.node_channels, net.edge_channels) == widths and net.config == TINY.net
    found = pq.read_table((finished / "predictions.parquet").path).to_pylist()
    assert len(found) == 5 * 12 and found[0]["true_cad"] is None
    assert len(found[0]["residue_lddt"]) > 50
    assert "derived from native structures" in (finished / "report.html").read_bytes().decode()
    assert (finished / "tables.md").read_bytes().decode().startswith("| GDT_TS, 12 decoys of 4 targets |")
    assert not (finished / "rejected.parquet").exists()


def test_each_network_has_its_run_in_mlflow(finished) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished}/mlflow.db")
    experiment = client.get_experiment_by_name("protray-quality")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {PLAIN, WITH_LM, WITH_NET} < set(runs)
    for name in (PLAIN, WITH_NET):
        parent = runs[name].data.tags["mlflow.parentRunId"]
        assert parent in {run.info.run_id for run in runs.values()}
        points = client.get_metric_history(runs[name].info.run_id, "validation/loss")
        assert [point.step for point in points] == [2, 4]
        assert "test/spearman" in runs[name].data.metrics


def test_again_starts_no_ray_and_shows_the_table(finished, monkeypatch, capsys) -> None:
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    run = replace(TINY, out=finished, model=(finished.parent / "net",))
    monkeypatch.setattr("protray.cluster.runtime.command.parse", lambda *_: run)
    assert training_command(JOB, QualityRun, "") == 0
    shown = capsys.readouterr().out
    assert "derived from natives, and no predictions of any program" in shown and f"| {WITH_LM} |" in shown
    with pytest.raises(ValueError, match="was made differently: [a-z. ]*noise was 1.0, is 2.0"):
        driver.run_training(JOB, replace(run, noise=2.0))


def test_a_plan_times_each_network_and_writes_nothing(tmp_path, monkeypatch) -> None:
    plan_here(monkeypatch)
    found = estimate(JOB, replace(TINY, out=Location(tmp_path / "planned")))
    lines = [(line.name, line.rows, line.done) for line in found.lines]
    assert lines == [("decoys", sum(TINY.decoys.targets), 0), (PLAIN, 12, 0), (WITH_LM, 12, 0)]
    assert all(line.seconds and line.seconds > 0 for line in found.lines)
    assert not (tmp_path / "planned").exists()


# ---- own files


@pytest.fixture
def files(tmp_path) -> Location:
    """Two decoys of each of 20 chains, the first of which is its own native; and one file that is none."""
    for one in decoys(20, 2):
        folder = tmp_path / "targets" / one.target
        folder.mkdir(parents=True, exist_ok=True)
        for name in ["native", one.id] if one.id.endswith("-0") else [one.id]:
            (folder / f"{name}.pdb").write_text("\n".join(pdb_chain(one.sequence, backbone_L43=one.backbone_L43)))
    (folder / "broken.pdb").write_text("no atoms")
    return Location(tmp_path / "targets")


def test_own_files_with_one_that_is_broken(files, tmp_path, monkeypatch) -> None:
    """The splits follow from the clusters of the natives."""
    train_here(monkeypatch)
    run = replace(TINY, data=files, out=Location(tmp_path / "out"), lm="none")
    facts = driver.run_training(JOB, run)
    assert facts["decoys"] == {"train": 26, "validation": 6, "test": 8} and not facts["derived"]
    assert [row["method"] for row in facts["table"]] == [CONSTANT, LINEAR, PLAIN]
    rejected = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert [Path(row["file"]).name for row in rejected] == ["broken.pdb"]
    made = read_decoys((run.out / "decoys").files("*.parquet"))
    assert [one.global_S[1] for one in made if one.id.endswith("-0")] == pytest.approx([1.0] * 20)


def test_files_that_cannot_be_used_are_named_by_each_run(no_ray, files, tmp_path) -> None:
    """Also when all decoys are there, and the driver had died before it could name them."""
    out, reasons = Location(tmp_path / "out"), []
    for _ in range(2):
        folder = make_decoys(out, files, TINY.decoys)
        reasons.append(pq.read_table((out / "rejected.parquet").path)["reason"].to_pylist())
        (out / "rejected.parquet").remove()
    assert folder == out / "decoys" and reasons[0] == reasons[1] and "no atoms" in reasons[0][0]
    worse = Location(shutil.copytree(files, tmp_path / "worse"))
    for one in decoys(20, 2)[:10:2]:
        (worse / one.target / "more.pdb").write_text("no atoms")
    with pytest.raises(ValueError, match="6 of 46 files cannot be used:\n  6 x "):
        make_decoys(Location(tmp_path / "other"), worse, TINY.decoys)


@pytest.mark.ray
def test_two_workers_on_ray_give_the_same_curves(finished, ray_local, tmp_path) -> None:
    """Decoys, embeddings and trainings are made anew; what is made of them is in the tests above."""
    run = replace(TINY, out=Location(tmp_path) / "two", workers=2, cpus_per_worker=1)
    job = replace(JOB, finish=lambda run, decoys, state, context: {"curves": curves(state)})
    two = driver.run_training(job, run)["curves"]
    assert list(two) == [PLAIN, WITH_LM]
    histories = (finished / "metrics.json").read_json()["histories"]
    for name, losses in two.items():
        assert losses == pytest.approx([point["validation/loss"] for point in histories[name]], rel=1e-3)
