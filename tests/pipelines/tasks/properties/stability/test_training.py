"""jobs/stability.py's pipeline on synthetic values of a few chains, and of a complex."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from batch_here import plan_here, use_no_ray
from decoys_here import decoys
from joint_encoders import save_random_joint
from score_nets import save_random_net
from structure_text import mmcif, pdb_chain
from train_here import train_here

from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.job import Span
from protray.cluster.train import driver
from protray.cluster.train.measure import estimate
from protray.data import schemas
from protray.data.embeddings import read_embeddings
from protray.data.location import Location
from protray.data.tasks.stability import read_measurements
from protray.inference.embeddings.residues import LanguageModel, mean_of
from protray.inference.tasks.heads import MutationEffects
from protray.inference.tasks.mutants import MutantInput, OfSequence
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.properties import mutants
from protray.pipelines.tasks.properties.annotate import annotate
from protray.pipelines.tasks.properties.annotate import mutants as annotate_mutants
from protray.pipelines.tasks.properties.annotate.inputs import Annotate
from protray.pipelines.tasks.properties.heads import WITH_LM
from protray.pipelines.tasks.properties.mutants import embed_mutants, input_of, stored, write_mutants
from protray.pipelines.tasks.properties.stability.inputs import StabilityRun
from protray.pipelines.tasks.properties.stability.results import COMPOSITION, MEAN, SUBSTITUTION, TRANSFER, ZERO_SHOT
from protray.pipelines.tasks.properties.stability.training import JOB
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.properties.head_export import HeadFacts, save_head
from protray.training.tasks.properties.head_steps import HeadFitConfig
from protray.training.tasks.properties.heads import predict

TINY = StabilityRun(
    model=(), task="ddg", net=HeadConfig(hidden=8), fit=HeadFitConfig(epochs=2, batch=8, micro_batch=4)
)  # fmt: skip
SPLITS = ["train"] * 4 + ["validation"] * 2 + ["test"] * 3


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, Location]:
    """A table of each task: nine chains, four mutations of each; and of the first two chains as a complex."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    tm, ddg, msp = ["id,sequence,value,split,cluster,structure"], [], ["id,structure,mutation,value,split,cluster"]
    ddg.append("id,sequence,mutation,value,split,cluster,structure")
    chains = decoys(9, 1)
    for n, (one, split) in enumerate(zip(chains, SPLITS, strict=True)):
        (folder / f"{n}.pdb").write_text("\n".join(pdb_chain(one.sequence, "A", one.backbone_L43)))
        tm.append(f"p{n},{one.sequence},{40 + n},{split},c{n},{n}.pdb")
        for site in range(3, 7):
            old, new = one.sequence[site], "A" if one.sequence[site] != "A" else "G"
            value, end = rng.normal(), f"{split},c{n},"
            ddg.append(f"m{n}-{site},{one.sequence},{old}{site + 1}{new},{value},{end}{n}.pdb")
            msp.append(f"m{n}-{site},{n}.pdb,A:{old}{site + 1}{new},{value + (-9 if site == 3 else 9)},{end[:-1]}")
    ddg.append(f"wrong,{chains[0].sequence},A900G,1,test,c8,")
    for name, lines in (("thermostability", tm), ("ddg", ddg), ("msp", msp)):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    save_random_net(folder / "net")
    return {name: Location(folder / f"{name}.csv") for name in ("thermostability", "ddg", "msp")} | {
        "net": Location(folder / "net")
    }  # fmt: skip


@pytest.mark.parametrize("task", ["msp", "thermostability", "ddg"])
def test_without_data_the_error_shows_a_table(task) -> None:
    with pytest.raises(ValueError, match=rf"--task {task} needs --data, a table of .*\nid,\w+,"):
        StabilityRun(task=task).check()


def test_vectors_are_computed_once(tables, tmp_path, monkeypatch) -> None:
    """By each kind of embedding; a mutant without a structure is listed."""
    seen: list[str] = []
    use_no_ray(monkeypatch, seen.append)
    found, errors = read_measurements(tables["ddg"], "ddg", 0)
    assert len(found.mutants) == 36 and len(errors) == 1
    some = [found.mutants[0], replace(found.mutants[1], row=replace(found.mutants[1].row, observed=None))]
    out, file = Location(tmp_path), Location(tmp_path / "m.parquet")
    write_mutants(file, some)
    for by, count in ((Embedding(lm="shipped"), 2), (Embedding(model=tables["net"]), 1)):
        folder = embed_mutants(out, file, by)
        rows = list(read_embeddings(folder))
        assert len(rows) == count and len(rows[0][2]) == mutants.width_of(by)
        assert embed_mutants(out, file, by) == folder
    assert len(seen) == 4
    assert "no coordinates" in pq.read_table(folder / "rejected.parquet")["reason"][0].as_py()
    summary = run_batch(mutants.JOB, mutants.EmbedMutants(out=folder, mutants=file, by=Embedding(model=tables["net"])))
    assert summary["cached"]


@pytest.mark.ray
def test_vectors_of_mutants_on_ray(ray_local, tables, tmp_path) -> None:
    file = Location(tmp_path / "m.parquet")
    write_mutants(file, read_measurements(tables["ddg"], "ddg", 0)[0].mutants[:2])
    folder = embed_mutants(Location(tmp_path), file, Embedding(model=tables["net"]))
    assert len(list(read_embeddings(folder))) == 2


def test_a_plan_writes_nothing(tables, tmp_path, monkeypatch) -> None:
    plan_here(monkeypatch)
    run = replace(TINY, data=tables["ddg"], out=Location(tmp_path / "out"))
    vectors, head = estimate(JOB, run).lines
    assert (vectors.name, vectors.rows, vectors.unit) == ("mutants, language model", 36, "mutants")
    assert head.rows == run.fit.steps(16) and vectors.seconds and head.seconds and not (tmp_path / "out").exists()


def test_mutants_of_one_kind_are_refused_at_once(tables, tmp_path) -> None:
    head, *lines = tables["msp"].path.read_text().splitlines()
    rows = [line.split(",") for line in lines]
    same = [",".join([*row[:3], "1" if row[4] == "test" else row[3], *row[4:]]) for row in rows]
    file = tables["msp"].parent / "same.csv"
    file.path.write_text("\n".join([head, *same]) + "\n")
    run = replace(TINY, task="msp", data=file, out=Location(tmp_path / "out"))
    with pytest.raises(ValueError, match="all mutants of the split test bind worse; there is nothing to tell apart"):
        JOB.identity(run)


def untrained(folder: Path, task: str, channels: int) -> Head:
    """A head on the language model, whose mean is 50."""
    torch.manual_seed(0)
    config, head = HeadConfig(hidden=4), Head(HeadConfig(hidden=4), "value", channels, 1)
    head.mean_T += 50
    facts = HeadFacts(
        task=task, kind="value", channels=channels, labels=["melting temperature"], names={}, threshold=None,
        lm="shipped", noise=None,
    )  # fmt: skip
    save_head(folder, config, facts, head.state_dict())
    return head.eval()


def test_annotate_gives_temperatures(tmp_path, no_ray) -> None:
    """What a head gives for the mean of the language model's vectors."""
    head = untrained(tmp_path / "tm", "thermostability", 192)
    (tmp_path / "a.fasta").write_text(">one\nMKVLAAGG\n>two\nMKVLAWGG\n")
    fasta = (Location(tmp_path / "a.fasta"),)
    run = Annotate(model=Location(tmp_path / "tm"), fasta=fasta, out=Location(tmp_path / "out"))
    assert annotate.job_of(run) is annotate.JOB
    run_batch(annotate.JOB, run)
    found = pq.read_table(run.out / "annotations" / "part-00000.parquet").to_pylist()
    vector_C = mean_of(LanguageModel.open("shipped")("MKVLAAGG"))
    assert found[0]["labels"] == ["melting temperature"]
    assert found[0]["scores"][0] == pytest.approx(float(predict(head, vector_C[None])[0, 0]), abs=1e-4)
    assert found[0]["scores"][0] != found[1]["scores"][0] and abs(found[0]["scores"][0] - 50) < 5
    with pytest.raises(ValueError, match=r"whole proteins \(task thermostability\) and predicts nothing of mutations"):
        annotate.JOB.identity(replace(run, fasta=(), mutations=Location(tmp_path / "m.csv")))


def test_all_single_mutants_of_proteins(tmp_path, no_ray) -> None:
    """Whole, and cut into single residues: 19 mutants of each, in order; X has none."""
    head = untrained(tmp_path / "ddg", "ddg", 385)
    (tmp_path / "a.fasta").write_text(">one\nMXK\n>two\nWV\n")
    fasta = (Location(tmp_path / "a.fasta"),)
    run = Annotate(model=Location(tmp_path / "ddg"), fasta=fasta, out=Location(tmp_path / "out"))
    job = annotate.job_of(run)
    assert job is annotate_mutants.SCAN and job.amount(run).rows == 2
    summary = run_batch(job, run)
    assert summary["n_rows"] == summary["mutants"] == 19 * 4 and summary["n_done"] == 2
    table = pq.read_table(run.out / "annotations" / "part-00000.parquet")
    assert table.schema.equals(schemas.EFFECTS)
    found = table.to_pylist()
    assert [row["mutation"] for row in found[18:21]] == ["M1V", "K3A", "K3R"]
    assert [row["id"] for row in found[37:39]] == ["one", "two"]
    embed = OfSequence(LanguageModel.open("shipped"))
    for row, site in ((found[19], 2), (found[20], 2)):
        wanted = predict(head, embed(MutantInput("MXK", (0,), (site,), row["mutation"][-1]))[None])[0, 0]
        assert row["predicted"] == pytest.approx(float(wanted), abs=1e-4)
    first = next(iter(job.rows(run)))
    spans = [Span(0, first, *bounds) for bounds in job.cut(run, first, job.cost(run, first) / 3)]
    rows = job.work(job.open(run, "cpu"), spans).rows
    assert len(spans) == 3 and rows["start"].to_pylist() == sorted(set(rows["start"].to_pylist()))
    assert rows["mutation"].to_pylist() == [row["mutation"] for row in found[:38]]


def test_a_scan_of_a_structure_names_residues_as_its_file_does(tmp_path, no_ray) -> None:
    """The file numbers them 104, 105, 106 and 111."""
    untrained(tmp_path / "ddg", "ddg", 385)
    (tmp_path / "x.cif").write_text(mmcif([("A", "1", "ACDE", [4, 5, 6, 11])]))
    structures = (Location(tmp_path / "x.cif"),)
    run = Annotate(model=Location(tmp_path / "ddg"), structures=structures, out=Location(tmp_path / "out"))
    run_batch(annotate_mutants.SCAN, run)
    found = pq.read_table(run.out / "annotations" / "part-00000.parquet").to_pylist()
    names = list(dict.fromkeys((row["mutation"][:-1], row["residue"]) for row in found))
    assert names == [("A1", "104"), ("C2", "105"), ("D3", "106"), ("E4", "111")]


def test_of_a_scan_the_share_of_unusable_files_counts(tmp_path, no_ray) -> None:
    """Not that among mutants, of which a file gives any number."""
    untrained(tmp_path / "ddg", "ddg", 385)
    for name in "xyz":
        (tmp_path / f"{name}.cif").write_text(
            mmcif([("A", "1", "ACDE"[: 4 if name == "x" else 1], [4, 5, 6, 11][: 4 if name == "x" else 1])])
        )
    structures = tuple(Location(tmp_path / f"{name}.cif") for name in "xyz")
    run = Annotate(model=Location(tmp_path / "ddg"), structures=structures, out=Location(tmp_path / "out"))
    with pytest.raises(ValueError, match="2 of 3 proteins in the input cannot be used, more than --max-rejected 0.1"):
        run_batch(annotate_mutants.SCAN, run)
    summary = run_batch(annotate_mutants.SCAN, replace(run, max_rejected=0.7))
    assert (summary["n_done"], summary["n_rejected"], summary["mutants"]) == (1, 2, 76)


@pytest.mark.parametrize("task", ["thermostability", "ddg", "msp"])
def test_each_task_writes_what_it_promises(tables, tmp_path, task, monkeypatch) -> None:
    """The same loop trains heads on Ray in the tests of jobs/function.py."""
    train_here(monkeypatch)
    run = replace(TINY, task=task, data=tables[task], model=(tables["net"],), out=Location(tmp_path / "out"))
    driver.run_training(JOB, run)
    metrics = (run.out / "metrics.json").read_json()
    methods = [MEAN, COMPOSITION if task == "thermostability" else SUBSTITUTION]
    methods += {"thermostability": [TRANSFER], "ddg": [TRANSFER, ZERO_SHOT], "msp": [ZERO_SHOT]}[task]
    heads = [WITH_LM, "score net", f"{WITH_LM} + score net"]
    methods += [f"{name}, {out}" for name in heads for out in ("linear", "nearest neighbours")] + heads
    assert [row["method"] for row in metrics["table"]] == methods
    first = metrics["table"][0]
    assert first["measurements"] == metrics["measurements"]["test"] == (3 if task == "thermostability" else 12)
    assert first.get("positive") == (3 if task == "msp" else None)
    found = pq.read_table((run.out / "predictions.parquet").path)
    assert found.schema.equals(schemas.STABILITIES) and found.num_rows == len(methods) * first["measurements"]
    facts = (run.out / "model" / "both" / "head.json").read_json()["head"]
    assert facts["task"] == task and facts["threshold"] is None and len(facts["labels"]) == 1
    assert "<img" in (run.out / "report.html").read_bytes().decode()
    assert (run.out / "rejected.parquet").is_file() == (task == "ddg")
    if task != "thermostability":
        annotates_as_it_was_trained(run, tables[task], tmp_path)


@pytest.mark.parametrize("task", ["msp", "ddg"])
def test_encoders_that_are_trained_on_mutations(tables, tmp_path, task, monkeypatch) -> None:
    """Joint encoders are, the language model is not; and their mutants are predicted by what was learnt."""
    train_here(monkeypatch)
    run = replace(
        TINY, task=task, data=tables[task], model=(save_random_joint(tmp_path / "net"),), fine_tune=True,
        out=Location(tmp_path / "out"), fine=FineTuneConfig(epochs=2, batch=8, micro_batch=4, learning_rate=1e-2),
    )  # fmt: skip
    driver.run_training(JOB, run)
    metrics, name = (run.out / "metrics.json").read_json(), "joint encoder, fine-tuned"
    assert list(run.tuned) == [name] and metrics["table"][-1]["method"] == name
    assert [point["epoch"] for point in metrics["histories"][name]] == [0, 1, 2]
    (row,) = metrics["tuned"]
    assert row["after"] >= row["before"] and (run.kind == "value" or -2 < row["before"] < 0)
    effect_of = MutationEffects.open(run.out / "model" / "joint-encoder-fine-tuned")
    found, _ = read_measurements(tables[task], task, 0)
    mutant_of = {one.row.id: input_of(stored(one)) for one in found.mutants}
    kept = pq.read_table((run.out / "predictions.parquet").path).to_pylist()
    for row in (row for row in kept if row["method"] == name):
        assert effect_of(mutant_of[row["id"]]) == pytest.approx(row["predicted"], abs=1e-4)


def test_a_plan_of_training_on_mutations(tables, tmp_path, monkeypatch) -> None:
    plan_here(monkeypatch)
    model = (save_random_joint(tmp_path / "net"),)
    run = replace(TINY, data=tables["ddg"], lm="none", model=model, fine_tune=True, out=Location(tmp_path / "out"))
    line = estimate(JOB, run).lines[-1]
    assert line.name == "joint encoder, fine-tuned" and line.rows == run.fine.steps(16) and line.seconds


def annotates_as_it_was_trained(run: StabilityRun, table: Location, folder: Path) -> None:
    """Rows of the test split without values: the numbers that the training has written; and what cannot be used."""
    head, *lines = table.path.read_text().splitlines()
    names = head.split(",")
    kept = [name for name in ("id", "sequence", "structure", "mutation") if name in names]
    cells = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    rows = [row for row in cells if row["split"] == "test" and row["id"] != "wrong"]
    bad = rows[0] | {"id": "bad", "mutation": rows[0]["mutation"][:-1] + "?"}
    file = table.parent / f"new-{run.task}.csv"
    file.path.write_text("\n".join([",".join(kept), *(",".join(row[name] for name in kept) for row in [*rows, bad])]))
    trained = pq.read_table((run.out / "predictions.parquet").path).to_pylist()
    for name, model in ((WITH_LM, "language-model"), ("score net", "score-net"), (f"{WITH_LM} + score net", "both")):
        new = Annotate(model=run.out / "model" / model, mutations=file, out=Location(folder / f"new-{model}"))
        job = annotate.job_of(new)
        assert run_batch(job, new)["n_rejected"] == 1
        found = pq.read_table(new.out / "annotations" / "part-00000.parquet").to_pylist()
        assert [row["mutation"] for row in found] == [row["mutation"] for row in rows]
        wanted = {row["id"]: row["predicted"] for row in trained if row["method"] == name}
        assert {row["id"]: row["predicted"] for row in found} == pytest.approx(wanted, abs=1e-5)
    (reject,) = pq.read_table(new.out / "rejected.parquet").to_pylist()
    assert reject["id"] == "bad" and reject["line"] == len(rows) + 2 and "is no mutation" in reject["reason"]
    if run.task == "ddg":
        file.path.write_text(f"id,sequence,mutation\na,{rows[0]['sequence']},{rows[0]['mutation']}\n")
        annotate_mutants._read.cache_clear()
        with pytest.raises(ValueError, match="model of structures, but no row of .* has one: give it a column `struc"):
            job.identity(new)
        scan = replace(new, mutations=None, structures=(table.parent / rows[0]["structure"],))
        with pytest.raises(ValueError, match="give --structures, not --fasta"):
            job.identity(replace(scan, structures=(), fasta=(file,)))
        (row, *_) = job.rows(scan)
        done = job.work(job.open(scan, "cpu"), [Span(0, row, 0, 2)])  # of a chain its first two residues
        assert done.rows.num_rows == 2 * 19 and set(done.rows["sequence"].to_pylist()) == {rows[0]["sequence"]}
    else:
        with pytest.raises(ValueError, match=r"\(task msp\): give --mutations, a table with the columns id, structure"):
            job.identity(replace(new, mutations=None, structures=(file,)))
