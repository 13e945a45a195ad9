"""jobs/function.py's pipeline on a few enzymes, and jobs/annotate.py with what it leaves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_here import plan_here, use_no_ray
from decoys_here import decoys
from reuse import begin_with
from score_nets import save_random_net
from structure_text import pdb_chain
from train_here import curves, train_here

from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.measure import estimate as batch_estimate
from protray.cluster.health.estimate import Trials
from protray.cluster.train import driver
from protray.cluster.train.measure import estimate
from protray.data import schemas
from protray.data.location import Location
from protray.data.sample import ENZYMES
from protray.data.tasks.tables import TaskRow
from protray.models.tasks.head_config import HeadConfig
from protray.pipelines.tasks.properties.annotate import annotate
from protray.pipelines.tasks.properties.annotate.inputs import Annotate
from protray.pipelines.tasks.properties.function.inputs import CathSettings, FunctionRun, LabelSettings, proteins_of
from protray.pipelines.tasks.properties.function.predictions import (
    COMPOSITION,
    FREQUENCIES,
    LENGTH,
    MAJORITY,
    STATES,
    TRANSFER,
)
from protray.pipelines.tasks.properties.function.training import JOB, before
from protray.pipelines.tasks.properties.heads import WITH_LM
from protray.pipelines.tasks.properties.inputs import check_rejected
from protray.training.tasks.properties.head_steps import HeadFitConfig

WITH_NET, WITH_BOTH = "score net", "language model + score net"
HEADS, NEAR_LM = [WITH_LM, WITH_NET, WITH_BOTH], f"{WITH_LM}, nearest neighbours"
TINY = FunctionRun(
    model=(),
    net=HeadConfig(hidden=8),
    fit=HeadFitConfig(epochs=3, batch=8, micro_batch=4),
    learn=LabelSettings(least=2),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Location:
    """A table of the shortest enzymes of each split, and a row that is none; one protein has no structure."""
    table = pq.read_table(ENZYMES).to_pylist()
    rows = []
    for split, count in (("train", 20), ("validation", 8), ("test", 12)):
        mine = [row for row in table if row["split"] == split]
        rows += sorted(mine, key=lambda row: (len(row["sequence"]), row["id"]))[:count]
    for row in rows:
        row |= {"labels": row["ec"], "below_30": row["split"] == "test"}
    rows[0]["backbone_cA"] = None
    names = ("id", "sequence", "labels", "split", "cluster", "backbone_cA", "below_30")
    rows.append(dict.fromkeys(names) | {"id": "wrong", "sequence": "M1", "split": "test"})
    kinds = {"backbone_cA": pa.list_(pa.int16()), "labels": pa.list_(pa.string())}
    file = tmp_path_factory.mktemp("data") / "t.parquet"
    pq.write_table(
        pa.table({name: pa.array([row[name] for row in rows], kinds.get(name)) for name in names}), file
    )  # fmt: skip
    return Location(file)


def test_rows_follow_from_what_is_given() -> None:
    assert list(TINY.rows) == [WITH_LM] and TINY.first is None
    joint = "joint encoder"  # the one in the package
    assert list(FunctionRun().rows) == [WITH_LM, joint, f"{WITH_LM} + {joint}"]
    one = FunctionRun(model=(Location("m"),))
    assert list(one.rows) == [WITH_LM, WITH_NET, WITH_BOTH] and one.first == WITH_LM
    assert list(replace(one, lm="none").rows) == [WITH_NET]
    two = replace(one, model=(Location("runs/few/model"), Location("runs/all/model")))
    nets = ["score net few", "score net all"]
    assert list(two.rows) == [WITH_LM, *nets, *(f"{WITH_LM} + {net}" for net in nets)] and two.first == nets[0]
    assert two.rows[f"{WITH_LM} + {nets[1]}"] == [WITH_LM, nets[1]]


def test_unusable_settings_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="no embedding is left: give --lm, or --model"):
        FunctionRun(lm="none", model=()).check()
    with pytest.raises(ValueError, match="download go-basic.obo from https://geneontology.org"):
        FunctionRun(task="go-mf").check()
    with pytest.raises(ValueError, match="goes with a dataset of jobs/prepare_structures.py in --data, got None"):
        FunctionRun(labels=Location(tmp_path)).check()
    with pytest.raises(ValueError, match=r"holds no score_net\.json"):
        JOB.identity(FunctionRun(model=(Location(tmp_path),)))
    with pytest.raises(ValueError, match="two rows would have one name, that of the run's folder"):
        FunctionRun(model=(Location("a/run/model"), Location("b/run/model"))).check()
    with pytest.raises(ValueError, match="least must be at least 1, got 0"):
        CathSettings(least=0)
    with pytest.raises(ValueError, match="least must be at least 1, got 0"):
        LabelSettings(least=0)


def test_a_tenth_of_the_rows_may_be_unusable(tmp_path) -> None:
    errors = [TaskRow(str(n), "", "t.csv", n).error("it is bad") for n in range(2)]
    check_rejected(Location(tmp_path), errors, 18)
    assert pq.read_table(tmp_path / "rejected.parquet")["reason"].to_pylist() == ["it is bad"] * 2
    with pytest.raises(ValueError, match="2 of 19 rows cannot be used:\n  2 x it is bad\nfirst: t.csv:0: it is bad"):
        check_rejected(Location(tmp_path), errors, 17)
    check_rejected(Location(tmp_path), [], 19)
    assert not (tmp_path / "rejected.parquet").exists()  # which was of other rows


def test_go_terms_follow_from_an_ontology(tmp_path, data) -> None:
    """Of the chains in the package, with an ontology of one term below the root: ATP binding."""
    (tmp_path / "go.obo").write_text(
        "[Term]\nid: GO:0003674\nnamespace: molecular_function\n\n[Term]\nid: GO:0005524\nname: ATP binding\n"
        "namespace: molecular_function\nis_a: GO:0003674\n"
    )
    run = FunctionRun(task="go-mf", ontology=Location(tmp_path / "go.obo"), learn=LabelSettings(least=1))
    proteins, errors = proteins_of(run)
    assert proteins.labels == ["GO:0005524"] and proteins.names == {"GO:0005524": "ATP binding"} and not errors
    assert sum(proteins.sizes()) == len(proteins.rows) > 30
    with pytest.raises(ValueError, match="the column|no column|none of"):
        proteins_of(replace(run, data=Location(data.replace("t.parquet", "none.parquet"))))


def test_a_plan_writes_nothing(tmp_path, monkeypatch) -> None:
    plan_here(monkeypatch)
    embeddings, line = estimate(JOB, replace(TINY, out=Location(tmp_path / "out"))).lines
    assert line.name == WITH_LM and line.rows == TINY.fit.steps(1003) and line.seconds
    assert embeddings.name == f"embeddings, {WITH_LM}" and embeddings.rows == 1003 + 127 + 271 and embeddings.seconds
    assert not (tmp_path / "out").exists()


# ---- a run


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> Location:
    """The output folder of a run with all three heads."""
    folder = tmp_path_factory.mktemp("runs")
    net = save_random_net(folder / "net")
    run = replace(TINY, data=data, out=Location(folder / "one"), model=(Location(net),))
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        driver.run_training(JOB, run)
    return Location(folder / "one")


def test_writes_what_it_promises(finished) -> None:
    metrics = (finished / "metrics.json").read_json()
    methods = [FREQUENCIES, *(f"{name}, linear" for name in (LENGTH, COMPOSITION, STATES)), TRANSFER]
    methods += [f"{name}, {out}" for name in HEADS for out in ("linear", "nearest neighbours")] + HEADS
    assert [row["method"] for row in metrics["table"]] == 2 * methods  # the test split, and those below 30 %
    assert metrics["proteins"]["train"] == 19 and metrics["table"][0]["proteins"] == metrics["proteins"]["test"] >= 10
    assert all(0 < row["fmax"] <= 1 and row["fmax_ci95"][0] <= row["fmax"] for row in metrics["table"])
    found = pq.read_table((finished / "predictions.parquet").path)
    assert found.schema.equals(schemas.FUNCTIONS) and found.num_rows == 14 * metrics["proteins"]["test"]
    one = found.to_pylist()[-1]
    assert one["scores"] == sorted(one["scores"], reverse=True) and len(one["labels"]) == len(one["scores"])
    assert pq.read_table((finished / "rejected.parquet").path)["id"].to_pylist() == ["wrong"]
    assert "Precision and recall" in (finished / "report.html").read_bytes().decode()
    assert (finished / "tables.md").read_bytes().decode().count(f"| {WITH_BOTH} |") == 2 * 3
    (head,) = [row for row in metrics["table"][:14] if row["method"] == WITH_NET]
    assert head["read_out"] == "3-layer head" and "gain_first" in head and "k = " in metrics["chosen"][NEAR_LM]


def test_each_head_has_its_run_in_mlflow(finished) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished}/mlflow.db")
    experiment = client.get_experiment_by_name("protray-function")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {WITH_LM, WITH_NET, WITH_BOTH} < set(runs)
    table = (finished / "metrics.json").read_json()["table"]
    for row in [row for row in table[:14] if row["method"] in HEADS]:
        assert runs[row["method"]].data.metrics["test/fmax"] == pytest.approx(row["fmax"])


def test_the_same_again_computes_nothing(finished, data, monkeypatch) -> None:
    monkeypatch.setattr(driver, "start_ray", None)
    run = replace(TINY, data=data, out=finished, model=(Location(finished.parent / "net"),))
    assert driver.run_training(JOB, run)["task"] == "ec"
    with pytest.raises(ValueError, match="was made differently: .*learn.least was"):
        driver.run_training(JOB, replace(run, learn=LabelSettings(least=3)))


def test_folds_with_two_models(tmp_path, monkeypatch) -> None:
    """The classes of the shortest chains in the package, by two score nets with random weights."""
    train_here(monkeypatch)
    table = [row for row in pq.read_table(ENZYMES).to_pylist() if len(row["cath"] or []) == 1]
    rows = []
    for split, count in (("train", 36), ("validation", 10), ("test", 14)):
        mine = [row for row in table if row["split"] == split]
        rows += sorted(mine, key=lambda row: (len(row["sequence"]), row["id"]))[:count]
    names = ("id", "sequence", "cath", "split", "cluster", "backbone_cA")
    kinds = {"backbone_cA": pa.list_(pa.int16()), "cath": pa.list_(pa.string())}
    data = Location(tmp_path / "t.parquet")
    pq.write_table(pa.table({name: pa.array([row[name] for row in rows], kinds.get(name)) for name in names}), data)
    models = [Location(save_random_net(tmp_path / name / "model", seed=n)) for n, name in enumerate(("one", "two"))]
    run = replace(
        TINY, task="cath", data=data, lm="none", model=tuple(models), out=Location(tmp_path / "out"),
        cath=CathSettings(level="class", least=3),
    )  # fmt: skip
    driver.run_training(JOB, run)

    metrics = (run.out / "metrics.json").read_json()
    nets = ["score net one", "score net two"]
    methods = [MAJORITY, "log L, linear", "composition + log L, linear", "DSSP composition + log L, linear", TRANSFER]
    methods += [f"{net}, {out}" for net in nets for out in ("linear", "nearest neighbours")] + nets
    found = {row["method"]: row for row in metrics["table"]}
    assert list(found) == methods and metrics["task"] == "cath" and metrics["labels"] >= 2
    for method, row in found.items():
        assert 0 <= row["accuracy"] <= 1 and row["chains"] == metrics["proteins"]["test"] >= 10
        has_other = method.startswith(nets[1]) or (method.endswith(", linear") and not method.startswith(nets[0]))
        assert ("gain" in row) == has_other
    one, two = (found[f"{net}, linear"]["accuracy"] for net in nets)
    assert found[f"{nets[1]}, linear"]["gain"] == pytest.approx(two - one)
    retrieval = metrics["retrieval"]
    assert [row["method"] for row in retrieval] == ["composition + log L", "DSSP composition + log L", *nets]
    assert all(row["chains"] == sum(metrics["proteins"].values()) for row in retrieval)
    assert retrieval[3]["gain"] == pytest.approx(retrieval[3]["agreement"] - retrieval[2]["agreement"])
    text = (run.out / "tables.md").read_bytes().decode()
    assert "gain over score net one, same read-out" in text and "same class" in text
    assert (run.out / "model" / "score-net-two" / "head.json").is_file()
    kept = pq.read_table((run.out / "predictions.parquet").path)
    assert kept.schema.equals(schemas.FUNCTIONS) and kept.num_rows == len(methods) * metrics["proteins"]["test"]
    assert "Accuracy of each read-out" in (run.out / "report.html").read_bytes().decode()


def dies_once(marker: Path) -> Callable:
    """The training, whose first worker dies once, in the second head."""

    def loop(settings, report, resume, world):  # noqa: ANN001, ANN202
        def report_or_die(metrics, state):  # noqa: ANN001, ANN202
            report(metrics, state)
            if metrics["stage"] == WITH_NET and metrics["epoch"] == 2 and world.rank == 0 and not marker.exists():
                marker.touch()
                raise RuntimeError("killed by the test")

        JOB.loop(settings, report_or_die, resume, world)

    return loop


@pytest.mark.ray
def test_two_workers_and_a_crash_on_ray_give_the_same_curves(finished, ray_local, data, tmp_path) -> None:
    """They go on in the middle of the second head; what is made of the heads is in the tests above."""
    died, out = tmp_path / "died", begin_with(finished, Location(tmp_path) / "two", "run.json", "cache")
    run = replace(TINY, data=data, out=out, model=(Location(finished.parent / "net"),), workers=2, cpus_per_worker=1)
    job = replace(JOB, loop=dies_once(died), finish=lambda run, inputs, state, context: {"heads": curves(state)})
    two = driver.run_training(job, run)["heads"]
    assert died.exists() and list(two) == HEADS
    for name, history in (finished / "metrics.json").read_json()["histories"].items():
        assert two[name] == pytest.approx([point["validation/loss"] for point in history], rel=1e-4)


# ---- annotate


@pytest.fixture
def structures(tmp_path) -> Location:
    folder = tmp_path / "pdb"
    folder.mkdir()
    one, two = decoys(2, 1)
    lines = [pdb_chain(decoy.sequence, name, decoy.backbone_L43) for decoy, name in ((one, "A"), (two, "B"))]
    (folder / "both.pdb").write_text("\n".join([*lines[0], "TER", *lines[1], "TER", "END", ""]))
    (folder / "notes.txt").write_text("none\n")
    return Location(folder)


def test_structures_are_annotated_by_both(finished, structures, tmp_path, monkeypatch) -> None:
    use_no_ray(monkeypatch)
    model = finished / "model" / "both"
    run = Annotate(
        model=model, structures=(structures,), out=Location(tmp_path / "out"), least=0.0, max_rejected=0.5
    )  # fmt: skip
    assert run_batch(annotate.JOB, run)["n_rejected"] == 1
    table = pq.read_table(run.out / "annotations" / "part-00000.parquet")
    assert table.schema.equals(schemas.ANNOTATED) and table["id"].to_pylist() == ["both_A", "both_B"]
    labels = (model / "head.json").read_json()["head"]["labels"]
    first = table.to_pylist()[0]
    assert sorted(first["labels"]) == labels and first["scores"] == sorted(first["scores"], reverse=True)


def test_fasta_is_annotated_by_the_language_model(finished, data, tmp_path, monkeypatch) -> None:
    """Test proteins get the scores that the run has written."""
    use_no_ray(monkeypatch)
    kept = pq.read_table((finished / "predictions.parquet").path).to_pylist()
    kept = {row["id"]: row for row in kept if row["method"] == WITH_LM}
    rows = [row for row in pq.read_table(data.path).to_pylist() if row["id"] in kept]
    records = [f">{row['id']}\n{row['sequence']}\n" for row in rows]
    (tmp_path / "a.fasta").write_text("".join(records) + ">bad\nM1K\n" + records[0])
    model = finished / "model" / "language-model"
    run = Annotate(
        model=model, fasta=(Location(tmp_path / "a.fasta"),), out=Location(tmp_path / "out"), max_rejected=0.5
    )  # fmt: skip
    summary = run_batch(annotate.JOB, run)
    assert (summary["n_rows"], summary["n_rejected"]) == (len(rows), 2)
    least = (model / "head.json").read_json()["head"]["threshold"]
    for row in pq.read_table(run.out / "annotations" / "part-00000.parquet").to_pylist():
        wanted = kept[row["id"]]
        expected = [score for score in wanted["scores"] if score >= least]
        np.testing.assert_allclose(row["scores"], expected, atol=1e-4)


def test_a_plan_sees_what_is_embedded(finished, data, monkeypatch) -> None:
    """Also that a protein without a structure is nothing to a score net."""
    plan_here(monkeypatch)
    run = replace(TINY, data=data, out=finished, model=(finished.parent / "net",))
    with Trials(run.out) as trials:
        lines = [(line.name, line.rows, line.done) for line in before(run, trials)]
        (again, *_) = before(replace(run, out=finished.parent / "new"), trials)
    rows = proteins_of(run)[0].rows
    observed = sum(row.observed is not None for row in rows)
    assert lines == [
        (f"embeddings, {WITH_LM}", len(rows), len(rows)), (f"embeddings, {WITH_NET}", observed, observed)
    ]  # fmt: skip
    assert (again.rows, again.done) == (len(rows), 0)


def test_what_does_not_fit_is_refused(finished, structures, tmp_path, monkeypatch) -> None:
    (tmp_path / "a.fasta").write_text(">a\nMKV\n")
    fasta, out = (Location(tmp_path / "a.fasta"),), Location(tmp_path / "out")
    with pytest.raises(ValueError, match="give --structures, not --fasta"):
        annotate.JOB.identity(Annotate(model=finished / "model" / "both", fasta=fasta, out=out))
    with pytest.raises(ValueError, match=r"--least is a probability and must lie in \[0, 1\], got 2"):
        annotate.JOB.identity(Annotate(model=finished / "model" / "language-model", fasta=fasta, least=2.0, out=out))
    with pytest.raises(ValueError, match="give --fasta, --structures or --mutations, one of them"):
        Annotate(model=finished / "model" / "both", out=out).check()
    plan_here(monkeypatch)
    (line,) = batch_estimate(
        annotate.JOB, Annotate(model=finished / "model" / "language-model", fasta=fasta, out=out)
    ).lines
    assert line.rows == 1 and line.seconds
