"""Jobs on two nodes that share nothing but a bucket, and a folder of one node's own.  Run with `pytest -m cluster`.

Each node has a mirror of its own, and so has the driver, whose mirror the second node does not see: under its name, and
that of all in the folder `own`, it has another.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from bucket import KEYS, keys, serve, serve_gs
from faults import FIT, NET, STEPS, same_curve, unbroken
from tiny import tiny_networks, tiny_proteins
from tiny_model import save_tiny_lm
from tracking_store import curve, forget

from protray.cluster.storage import remote
from protray.seq.alphabet import AMINO_ACIDS

pytestmark = pytest.mark.cluster
TESTS = Path(__file__).parents[1]


@dataclass
class Nodes:
    """A cluster of two nodes with a CPU each, and the inputs of the jobs."""

    folder: Path
    address: str
    runs: int = 0

    def new_mirror(self) -> Path:
        """As a driver on another machine, or on one that was lost."""
        self.runs += 1
        mirror = self.folder / "own" / f"driver-{self.runs}"
        os.environ["PROTRAY_CACHE"] = str(mirror)
        remote._as_there.clear()
        forget()
        return mirror

    def die(self, job: str, out: str, place: str) -> None:
        """Start a job with an empty mirror and have its driver killed at `place`."""
        self.new_mirror()
        command = [sys.executable, str(TESTS / "die_job.py"), job, str(self.folder), out, place]
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(TESTS)}, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[Nodes]:
    import ray
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("nodes")
    own = folder / "own"
    own.mkdir()
    private = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(own)]
    if shutil.which("unshare") is None or subprocess.run([*private, "true"], capture_output=True).returncode:
        pytest.skip("a node with a folder of its own needs `unshare -m`")
    (folder / "data" / "proteins").mkdir(parents=True)
    pq.write_table(tiny_proteins().table, folder / "data" / "proteins" / "part-0.parquet")
    (folder / "data" / "dataset.json").write_text(json.dumps({"digest": "tiny"}))
    save_tiny_lm(folder / "lm")
    with serve() as server, serve_gs(folder) as google, pytest.MonkeyPatch.context() as patch:
        for name, value in (KEYS | google | {"AWS_ENDPOINT_URL": server}).items():
            patch.setenv(name, value)
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
        patch.setenv("PROTRAY_CACHE", str(folder / "one"))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        patch.setenv("RAY_ADDRESS", cluster.address)
        ray_command = [str(Path(sys.executable).with_name("ray")), "start", f"--address={cluster.address}"]
        with (folder / "second.log").open("wb") as log:
            second = subprocess.Popen(
                [*private, *ray_command, "--num-cpus=1", f"--object-store-memory={200 << 20}", "--block"],
                env=os.environ | {"PROTRAY_CACHE": str(folder / "two")}, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            ray.init(log_to_driver=False)
            deadline = time.monotonic() + 120
            while sum(node["Alive"] for node in ray.nodes()) < 2:
                assert time.monotonic() < deadline, (folder / "second.log").read_text()
                time.sleep(0.2)
            yield Nodes(folder, cluster.address)
        finally:
            second.send_signal(signal.SIGTERM)  # it ends the processes that it has started
            ray.shutdown()
            cluster.shutdown()
            second.wait(60)


@pytest.fixture
def small(monkeypatch) -> None:
    import protray.training.secondary.stages

    monkeypatch.setattr(protray.training.secondary.stages, "SMALL", tiny_networks())


def mirrored(folder: Path, out: str, name: str) -> bool:
    """Whether a node has some file of this name below its mirror of `out`."""
    return any((folder / "protray-mirror" / out.replace("://", "/")).rglob(name))


def test_a_folder_of_one_node_alone_is_refused_before_anything_is_computed(nodes: Nodes, small) -> None:
    from protray.pipelines.secondary.distil_run import DistilRun
    from protray.pipelines.structure.score_net_run import ScoreRun

    from protray.cluster.batch.driver import run_batch
    from protray.data.location import Location
    from protray.pipelines.language_model.prob_maps import JOB, ProbMaps
    from protray.pipelines.secondary.distil import distil
    from protray.pipelines.structure.score_net import score_net

    out, lm = nodes.folder / "own" / "run", str(nodes.folder / "lm")
    jobs = {
        "distil": lambda: distil(DistilRun(data=nodes.folder / "data", lm=lm, out=out / "a")),
        "score_net": lambda: score_net(ScoreRun(out=out / "b", net=NET, fit=FIT)),
        "prob_maps": lambda: run_batch(
            JOB, ProbMaps(data=Location(nodes.folder / "data"), lm=lm, out=Location(out / "c"))
        ),
    }
    for name, job in jobs.items():
        with pytest.raises(ValueError) as raised:
            job()
        told = str(raised.value)
        assert told.startswith(f"--out {out}/"), name
        assert "is another folder on " in told and "would write what nobody finds" in told
        assert "give --out an address, such as s3://bucket/folder, or mount one file system" in told
    written = {path.name for path in out.rglob("*") if path.is_file()}
    assert written <= {"run.json", "manifest.json", "shard-00000.parquet", "rejected.parquet"}, written


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_score_net_goes_on_from_the_bucket_alone(nodes: Nodes, scheme: str) -> None:
    """Its driver is killed in training and before its last file; each time the next one has an empty mirror."""
    from protray.pipelines.structure.score_net_run import ScoreRun

    from protray.evaluation.denoising import DenoisingConfig
    from protray.pipelines.structure.score_net import score_net

    out, path = f"{scheme}://bucket/score", Path(f"{scheme}:/bucket/score")
    nodes.die("score_net", out, "training")
    found = keys(path)
    assert any(name.endswith("/state.pt") for name in found) and "model/model.safetensors" not in found
    nodes.die("score_net", out, "end")
    found = keys(path)
    numbers = [int(name.split("/")[-2].split("-")[1]) for name in found if name.endswith("/state.pt")]
    assert max(numbers) == STEPS // 5  # numbers go on: a training from the start would have come farther
    assert "model/model.safetensors" in found and "metrics.json" not in found
    mirror = nodes.new_mirror()
    denoising = DenoisingConfig(chains=3, longest=60, every=16, sampled=2, stop=2.0, shown=1)
    run = ScoreRun(net=NET, fit=FIT, denoising=denoising, out=path)
    metrics = score_net(run)
    same_curve(metrics["history"], unbroken())
    found = keys(run.out)
    assert {"metrics.json", "report.html", "model/score_net.json", "mlflow.db", "run.json"} <= found
    assert not any(name.startswith("cache/") for name in found)
    logged = curve(mirror / "protray-mirror" / scheme / "bucket" / "score", "protray-score-net")
    assert sorted(step for step, _ in logged["train/loss"]) == list(range(5, STEPS + 1, 5))  # each point once
    nodes.new_mirror()
    assert score_net(run) == metrics


def test_distil_on_two_nodes_that_share_a_bucket_alone(nodes: Nodes, small, monkeypatch) -> None:
    """A driver is killed when the first stage is finished; the next goes on with a worker on each node."""
    from protray.pipelines.secondary.distil_run import DistilRun

    from protray.pipelines.secondary import distil as module

    out = "s3://bucket/distil"
    nodes.die("distil", out, "Real")
    assert len([name for name in keys(Path("s3:/bucket/distil")) if name.endswith("stage.json")]) >= 1
    mirror = nodes.new_mirror()
    run = DistilRun(
        data=nodes.folder / "data", lm=str(nodes.folder / "lm"), out=Path("s3:/bucket/distil"), lm_features="hidden",
        workers=2,
    )  # fmt: skip
    metrics = module.distil(run)
    for node in ("one", "two"):
        assert mirrored(nodes.folder / node, out, "proteins.arrow") and mirrored(nodes.folder / node, out, "stage.json")
    found = keys(run.out)
    assert {"metrics.json", "report.html", "tables.md", "predictions.parquet", "model/config.json"} <= found
    assert {name.split("-")[-1] for name in found if "predictions-" in name} >= {"2.parquet"}
    assert not any("checkpoint" in name or "work" in name.split("/") for name in found)
    assert {"protray", "Real", "Bagging", "teacher"} <= {row["method"] for row in metrics["table"]}
    predictions = pq.read_table(mirror / "protray-mirror" / "s3" / "bucket" / "distil" / "predictions.parquet")
    assert predictions.num_rows == 3
    nodes.new_mirror()
    monkeypatch.setattr(module, "start_ray", lambda: pytest.fail("Ray was started"))
    assert module.distil(run) == json.loads(json.dumps(metrics))


def test_maps_on_two_nodes_that_share_a_bucket_alone(nodes: Nodes) -> None:
    from protray.cluster.batch.driver import run_batch
    from protray.data.location import Location
    from protray.pipelines.language_model.prob_maps import JOB, ProbMaps

    nodes.new_mirror()
    data, lm = Location(nodes.folder / "data"), str(nodes.folder / "lm")
    run = ProbMaps(data=data, lm=lm, out=Location("s3://bucket/maps"))
    summary = run_batch(JOB, run)
    assert (summary["n_rows"], summary["n_rejected"]) == (14, 0)
    assert keys(Path(run.out)) == {"maps/part-00000.parquet", "summary.json", "rejected.parquet"}
    plain = replace(run, out=Location(nodes.folder / "shared-maps"))  # the same by way of a folder that both see
    run_batch(JOB, plain)
    with (run.out / "maps/part-00000.parquet").open() as file:
        assert pq.read_table(file).equals(pq.read_table(plain.out / "maps/part-00000.parquet"))
    assert run_batch(JOB, run)["cached"]


def test_a_language_model_that_is_trained_on_both_nodes(nodes: Nodes) -> None:
    from protray.pipelines.language_model.pretrain_run import PretrainRun

    from protray.pipelines.language_model.pretrain import pretrain
    from protray.plm.pretraining import MaskedLmConfig

    nodes.new_mirror()
    words = {f"p{m}": "".join(np.random.default_rng(m).choice(list(AMINO_ACIDS), 30 + m % 20)) for m in range(90)}
    (nodes.folder / "a.fasta").write_text("".join(f">{name}\n{word}\n" for name, word in words.items()))
    (nodes.folder / "clusters.tsv").write_text("".join(f"p{m - m % 3}\tp{m}\n" for m in range(90)))
    tiny = MaskedLmConfig(
        steps=6, warmup=2, tokens_per_step=320, tokens_at_once=160, crop=32, report_every=3, checkpoint_every=3,
        validation_sequences=10, bf16=False,
    )  # fmt: skip
    run = PretrainRun(
        fasta=(nodes.folder / "a.fasta",), clusters=nodes.folder / "clusters.tsv", held_out_share=0.3, lm=tiny,
        workers=2, out=Path("s3:/bucket/bert"),
    )  # fmt: skip
    facts = pretrain(run)
    found = keys(run.out)
    assert {"model/pretraining.json", "model/model.safetensors", "model/vocab.txt", "curve.png", "run.json"} <= found
    assert not any("checkpoint" in name for name in found)
    for node in ("one", "two"):
        assert mirrored(nodes.folder / node, "s3://bucket/bert", "corpus.json")
    nodes.new_mirror()
    again = pretrain(run)
    assert again["maps"] == facts["maps"] and again["metrics"] == facts["metrics"]


def test_a_sweep_whose_trials_are_on_both_nodes(nodes: Nodes, small, monkeypatch) -> None:
    """The second time a trial's record is lost: what it has trained is not."""
    from protray.cluster.tuning.sweep_run import SweepRun

    from protray.cluster.tuning import sweep as module

    study = nodes.folder / "study.py"
    study.write_text(
        'JOB, METRIC, MODE = "distil", "validation/q3", "max"\n'
        'PAPER = {"weights.alpha": 0.16}\nSPACE = {"weights.alpha": (0.16, 0.3, 0.5, 0.7, 0.9)}\n'
    )
    nodes.new_mirror()
    run = SweepRun(
        space=str(study), data=nodes.folder / "data", lm=str(nodes.folder / "lm"), out=Path("s3:/bucket/sweep"),
        epochs=2, repeats=0,
    )  # fmt: skip
    metrics = module.sweep(run)
    assert len(metrics["table"]) == 5 and not metrics["not_finished"] and metrics["complete"]
    found = keys(run.out)
    trials = {name.split("/")[1] for name in found if name.startswith("trials/")}
    assert {"metrics.json", "report.html", "model/config.json", "mlflow.db"} <= found and len(trials) == 5
    for key in trials:
        assert {f"trials/{key}/trial.json", f"trials/{key}/stage.json", f"trials/{key}/model.safetensors"} <= found
    assert not any(part in ("state", "tune") for name in found for part in name.split("/"))
    for node in ("one", "two"):
        assert mirrored(nodes.folder / node, "s3://bucket/sweep", "trial.json")
    nodes.new_mirror()
    lost = remote.located(run.out) / "trials" / min(trials) / "trial.json"
    written = json.loads(remote.pull(lost).read_text())
    for path in (lost, remote.located(run.out) / "metrics.json"):
        remote.remove(path)
    assert module.sweep(run)["table"] == metrics["table"]
    again = json.loads(lost.read_text())
    assert again["history"] == written["history"] and again["values"] == written["values"]
    nodes.new_mirror()
    monkeypatch.setattr(module, "start_ray", lambda: pytest.fail("Ray was started"))
    assert module.sweep(run)["table"] == metrics["table"]


def test_inputs_and_outputs_of_the_other_jobs(nodes: Nodes) -> None:
    from protray.cluster.batch.driver import run_batch
    from protray.data.location import Location
    from protray.pipelines.secondary.prepare import JOB, Prepare

    nodes.new_mirror()
    (nodes.folder / "msas").mkdir()
    for name in "abcdef":
        (nodes.folder / "msas" / f"{name}.a3m").write_text(f">{name}\n{'ACDEFGHIKLMNPQRSTVWY' * 2}{name.upper() * 3}\n")
    dataset = Prepare(msas=Location(nodes.folder / "msas"), out=Location("s3://bucket/dataset"))
    assert run_batch(JOB, dataset)["n_proteins"] == 6
    assert {name.split("/")[0] for name in keys(Path("s3:/bucket/dataset"))} == {
        "proteins", "dataset.json", "rejected.parquet",
    }  # fmt: skip
    assert run_batch(JOB, dataset)["cached"]
