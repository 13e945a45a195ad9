"""What a training loses when workers and nodes are lost, and that its curve stays the same.  Run with `-m cluster`."""

import functools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import FIT, SETTINGS, Letters, faulty, kill, note_node, once, same_curve, unbroken
from tiny import FEATURES, tiny_proteins, tiny_stages

from protray.cluster.runtime.capacity import cluster_nodes
from protray.cluster.runtime.resources import Stage, make_plan, trainer
from protray.cluster.train.fit import train
from protray.data.arrow import write_arrow
from protray.data.location import Location
from protray.pipelines.language_model import pretrain
from protray.pipelines.secondary import distil
from protray.plm.pretraining.config import MaskedLmConfig
from protray.plm.pretraining.corpus import Part
from protray.plm.pretraining.encode import IdTable, Sieve, add_up, encode_files
from protray.seq.alphabet import AMINO_ACIDS
from protray.training.secondary.session import run_stages
from protray.training.world import World

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def expected() -> list[dict]:
    return unbroken()


def run(out: Path, loop, letters: Letters, count: int, least: int | None = None) -> list[dict]:  # noqa: ANN001
    """Train and return the curve."""
    stage = Stage(name="train", kind="train", workers=count, least=least)
    state = train(loop, SETTINGS, name="run", storage=Location(out), stage=stage, on_report=letters)
    return state["position"]["history"]


def kill_node_of(nodes, folder: Path, rank: int, letters: Letters, step: int) -> threading.Thread:  # noqa: ANN001
    """Take a rank's node away once the training has come to `step`."""

    def kill() -> None:
        while letters.step < step:
            time.sleep(0.05)
        doomed = (folder / f"rank-{rank}").read_text()
        (folder / "doomed").write_text(doomed)
        nodes.remove_node(next(node for node in nodes.worker_nodes if node.node_id == doomed), allow_graceful=False)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_a_killed_worker(nodes, tmp_path, expected) -> None:
    nodes.add_node(num_cpus=2)
    letters = Letters()
    curve = run(tmp_path, faulty(once(tmp_path / "died", 13, 1, kill())), letters, count=2)
    assert (tmp_path / "died").exists()
    same_curve(curve, expected)
    letters.tell("worker killed")
    assert 0 < letters.lost() <= FIT.validate_every


def test_a_killed_node_and_a_spare_one(nodes, tmp_path, expected) -> None:
    for _ in range(3):
        nodes.add_node(num_cpus=1)
    letters = Letters()
    killer = kill_node_of(nodes, tmp_path, 1, letters, 12)
    curve = run(tmp_path, faulty(note_node(tmp_path), pause=0.8), letters, count=2)
    killer.join(timeout=10)
    same_curve(curve, expected)
    assert {point["train/world_size"] for point in curve} == {2}
    letters.tell("node killed, 2 workers and a spare node")
    assert (tmp_path / "doomed").read_text() not in {(tmp_path / f"rank-{rank}").read_text() for rank in range(2)}
    # the step that was seen, and those until the kill took effect; none where it did just after a checkpoint
    assert letters.lost() <= FIT.validate_every + 2


@pytest.fixture
def eager(monkeypatch) -> None:
    """An elastic training looks for new nodes every 3 s, not every 60."""
    import ray.train

    config = functools.partial(ray.train.ScalingConfig, elastic_resize_monitor_interval_s=3)
    monkeypatch.setattr(ray.train, "ScalingConfig", config)


def shrink_and_grow(nodes, folder: Path, train: Callable[[], Any], letters: Letters, step: int) -> Any:  # noqa: ANN001, ANN401
    """Take one of two nodes from a training that has come to `step`, give it another, and return what it returns."""
    results = []
    training = threading.Thread(target=lambda: results.append(train()), daemon=True)
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    killer = kill_node_of(nodes, folder, 1, letters, step)
    training.start()
    killer.join(timeout=120)
    while training.is_alive() and not any(metrics.get("train/world_size") == 1 for _, metrics in letters.seen):
        time.sleep(0.1)
    nodes.add_node(num_cpus=1)  # in the main thread
    training.join(timeout=240)
    return results[0]


def test_an_elastic_training_goes_on_with_fewer_and_grows_again(nodes, eager, tmp_path, expected) -> None:
    letters = Letters()
    loop = faulty(note_node(tmp_path), pause=0.8)
    train = functools.partial(run, tmp_path, loop, letters, count=2, least=1)
    curve = shrink_and_grow(nodes, tmp_path, train, letters, 7)
    same_curve(curve, expected)
    sizes = [point["train/world_size"] for point in curve]
    assert (sizes[0], min(sizes), sizes[-1]) == (2, 1, 2)
    letters.tell("node killed, elastic 1 to 2")


def test_an_elastic_distillation(nodes, eager, tmp_path) -> None:
    """A stage of distil, with a checkpoint after each of its epochs."""
    proteins, stage, place = tiny_proteins(), tiny_stages(epochs=40)["Real"], Location(tmp_path)
    write_arrow(proteins.table, tmp_path / "proteins.arrow")
    write_arrow(proteins.maps, tmp_path / "maps.arrow")
    run_stages([stage], {stage.name: place / "expected"}, proteins, FEATURES, lambda *_: None)
    settings = {
        "stages": [stage], "folders": {stage.name: place / "found"}, "inputs": place, "features": FEATURES,
    }  # fmt: skip
    letters = Letters()
    loop = faulty(note_node(tmp_path), pause=0.8, train_on=distil.loop)
    shrink_and_grow(
        nodes, tmp_path, letters=letters, step=5,
        train=lambda: train(
            loop, settings, name="run", storage=place, stage=Stage(name="train", kind="train", workers=2, least=1),
            on_report=lambda metrics: letters(metrics | {"step": metrics["epoch"]}) if "epoch" in metrics else None,
        ),
    )  # fmt: skip
    expected, found = (
        json.loads((tmp_path / folder / "stage.json").read_text())["history"] for folder in ("expected", "found")
    )
    sizes = [point["train/world_size"] for point in found]
    assert (sizes[0], min(sizes), sizes[-1]) == (2, 1, 2)
    for name in ("train/loss", "validation/q3"):
        assert [point[name] for point in found] == pytest.approx([point[name] for point in expected], rel=1e-4)
    letters.tell("node killed in a stage of distil, elastic 1 to 2")
    assert letters.lost() <= 2  # the epoch in flight, and the one that was over when the kill took effect


def test_an_elastic_pretraining(nodes, eager, tmp_path) -> None:
    """A language model, with a point of its curve every 4 steps and a checkpoint every 2."""
    words = ["".join(np.random.default_rng(m).choice(list(AMINO_ACIDS), 30 + m % 20)) for m in range(90)]
    (tmp_path / "a.fasta").write_text("".join(f">p{m}\n{word}\n" for m, word in enumerate(words)))
    sieve = Sieve(min_length=1, clusters=IdTable.make((f"p{m}", m % 9 == 0) for m in range(90)))

    def save(part: Part, name: str) -> None:
        for file, array in part.files(name).items():
            np.save(tmp_path / file, array)

    corpus = add_up([encode_files([tmp_path / "a.fasta"], save, "0", sieve)])
    (tmp_path / "corpus.json").write_text(json.dumps(corpus))
    lm = MaskedLmConfig(
        steps=60, warmup=2, tokens_per_step=320, tokens_at_once=160, crop=32, report_every=4, checkpoint_every=2,
        validation_sequences=10, bf16=False,
    )  # fmt: skip
    settings = {"lm": lm, "corpus": Location(tmp_path), "held_out": None, "min_length": 1}
    states: list[dict | None] = []
    pretrain.loop(settings, lambda _, state: states.append(state), None, World())
    assert states[-1]
    expected = states[-1]["position"]["history"]

    letters = Letters()
    loop = faulty(note_node(tmp_path), pause=1.2, train_on=pretrain.loop)
    state = shrink_and_grow(
        nodes, tmp_path, letters=letters, step=8,
        train=lambda: train(
            loop, settings, name="run", storage=Location(tmp_path),
            stage=Stage(name="train", kind="train", workers=2, least=1), on_report=letters,
        ),
    )  # fmt: skip
    found = state["position"]["history"]
    sizes = [point["train/world_size"] for point in found]
    assert (sizes[0], min(sizes), sizes[-1]) == (2, 1, 2)
    assert [point["step"] for point in found] == [point["step"] for point in expected]
    for name in ("train/perplexity", "validation/perplexity"):
        assert [point[name] for point in found] == pytest.approx([point[name] for point in expected], rel=1e-4)
    letters.tell("node killed in pre-training, elastic 1 to 2")
    assert letters.lost() <= 2 * lm.checkpoint_every


def test_two_workers_on_two_nodes_of_one_cpu(nodes, tmp_path, expected) -> None:
    """A worker asks for the CPUs of its threads, so that no node has to hold both."""
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    there = cluster_nodes(joined=True)
    plan = make_plan([trainer("train", 2, None, there)], there)
    assert (plan["train"].cpus_per_worker, plan.threads("train")) == (1, 1)
    same_curve(run(tmp_path, faulty(note_node(tmp_path)), Letters(), count=2), expected)
    assert len({(tmp_path / f"rank-{rank}").read_text() for rank in range(2)}) == 2


def test_two_workers_on_two_nodes_of_two_cpus(nodes, tmp_path, expected) -> None:
    """Each takes a node, though one node has room for two processes of one CPU."""
    for _ in range(2):
        nodes.add_node(num_cpus=2)
    nodes.wait_for_nodes()
    there = cluster_nodes(joined=True)
    plan = make_plan([trainer("train", 2, None, there)], there)
    assert (plan["train"].cpus_per_worker, plan.threads("train")) == (2, 2)
    state = train(
        faulty(note_node(tmp_path)), SETTINGS, name="run", storage=Location(tmp_path), stage=plan["train"],
        threads=plan.threads("train"), on_report=Letters(),
    )  # fmt: skip
    same_curve(state["position"]["history"], expected)
    assert len({(tmp_path / f"rank-{rank}").read_text() for rank in range(2)}) == 2


def test_three_workers_share_four_micro_batches(nodes, tmp_path, expected) -> None:
    """What an elastic training of four has when one is lost."""
    nodes.add_node(num_cpus=3)
    same_curve(run(tmp_path, faulty(lambda *_: None), Letters(), count=3), expected)


def test_a_node_that_is_to_be_taken_away(nodes, tmp_path, expected, monkeypatch) -> None:
    """Notice of a preemption: training goes on until the deadline, elsewhere after it, and that is no failure."""
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    for _ in range(3):
        nodes.add_node(num_cpus=1)
    monkeypatch.setattr("protray.cluster.train.fit.MOST_FAILURES", 0)
    letters = Letters()
    taken = []

    def notice() -> None:
        while letters.step < 7:
            time.sleep(0.05)
        node, deadline = (tmp_path / "rank-1").read_text(), int((time.time() + 6) * 1000)
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        accepted, why = GcsClient(address=nodes.address).drain_node(node, reason, "spot instance", deadline)
        assert accepted, why
        taken.append((node, letters.step))

    threading.Thread(target=notice, daemon=True).start()
    curve = run(tmp_path, faulty(note_node(tmp_path), pause=0.7), letters, count=2)
    same_curve(curve, expected)
    node, step = taken[0]
    letters.tell(f"preemption notice in step {step}, 6 s before")
    assert node not in {(tmp_path / f"rank-{rank}").read_text() for rank in range(2)}
    assert letters.lost() <= FIT.validate_every
